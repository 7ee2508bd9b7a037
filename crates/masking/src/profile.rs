//! Which rules count, and what becomes of what they find.

mod builder;

use std::sync::Arc;

use tollbook_exchange::Operator;

pub use self::builder::{Base, OPERATORS, ProfileBuilder, ProfileError};
use crate::{
    Kind,
    engine::{
        Engine, Rule, Selection, is_encoded,
        rule::{CAP, Shape},
    },
    operator::{self, Digests, MaskKey, Surrogate},
    vault::Session,
};

/// Which rules count, and what takes the place of what each of them finds.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub on: Selection,
    /// By the rule's index.
    operators: Arc<[Operator]>,
    /// Whether any of them puts surrogates in the place of what is found.
    surrogates: bool,
    key: Option<MaskKey>,
    session: Option<Session>,
    pub digests: Option<Digests>,
}

impl Profile {
    /// Every rule, and what it finds is redacted.
    pub(crate) fn all(engine: &Engine) -> Self {
        Self::new(
            (0..engine.rules.len()).collect(),
            vec![Operator::Redact; engine.rules.len()],
            None,
        )
    }

    fn new(on: Selection, operators: Vec<Operator>, key: Option<MaskKey>) -> Self {
        Self {
            on,
            surrogates: operators.contains(&Operator::Surrogate),
            operators: operators.into(),
            key,
            session: None,
            digests: None,
        }
    }

    /// The same profile for a session: its tokens can be turned back.
    pub(crate) fn in_session(&self, session: Session) -> Self {
        Self {
            session: Some(session),
            ..self.clone()
        }
    }

    /// The same profile with another key.
    pub(crate) fn with_key(&self, key: MaskKey) -> Self {
        Self {
            key: Some(key),
            ..self.clone()
        }
    }

    /// The same profile, which leaves digests of secrets.
    pub(crate) fn with_digests(&self, digests: Digests) -> Self {
        Self {
            digests: Some(digests),
            ..self.clone()
        }
    }

    /// Whether digests of what this rule finds are left.
    pub(crate) fn digests(&self, rule: &Rule) -> bool {
        rule.kind == Kind::Secret && self.digests.as_ref().is_some_and(Digests::is_gathering)
    }

    /// Notes a match, of which this is all.
    pub(crate) fn note(&self, rule: &Rule, index: usize, value: &[u8]) {
        if let Some(digests) = &self.digests
            && !self.is_replacement(value)
        {
            digests.note(index, rule, value);
        }
    }

    /// The key of hashes and surrogates.
    pub(crate) const fn key(&self) -> Option<&MaskKey> {
        self.key.as_ref()
    }

    /// What is done with what a rule finds.
    pub(crate) fn operator(&self, rule: usize) -> Operator {
        self.operators
            .get(rule)
            .copied()
            .unwrap_or(Operator::Redact)
    }

    /// Whether a rule that counts has this operator.
    pub(crate) fn has(&self, operator: Operator) -> bool {
        let mut all = self.operators.iter().enumerate();
        all.any(|(rule, own)| *own == operator && self.on.has(rule))
    }

    /// Whether this does the same to every text as `other` does.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let same_key = match (&self.key, &other.key) {
            (Some(key), Some(other)) => key.is(other),
            (None, None) => true,
            _ => false,
        };
        let in_session = self.session.is_some() || other.session.is_some();
        self.on == other.on && self.operators == other.operators && same_key && !in_session
    }

    /// Writes what takes the place of a match, of which this is all.
    pub(crate) fn write(&self, rule: &Rule, index: usize, value: &[u8], out: &mut Vec<u8>) {
        self.note(rule, index, value);
        self.replace(rule, index, value, out);
    }

    /// Writes what takes the place of a match that begins so.
    ///
    /// Where an operator cannot do what it is for, the match is redacted. A match that goes on
    /// beyond what a decision looks at is not known whole, so only its beginning could be told
    /// from others. One that is encoded differs with what stands beside it.
    pub(crate) fn replace(&self, rule: &Rule, index: usize, value: &[u8], out: &mut Vec<u8>) {
        let operator = self.operator(index);
        if operator == Operator::Flag || self.is_replacement(value) {
            out.extend_from_slice(value);
            return;
        }
        let whole = value.len() < CAP
            && rule.shape != Shape::PrivateKey
            && (operator == Operator::Redact || !is_encoded(rule, value));
        let before = out.len();
        match (operator, &self.key, &self.session) {
            // Half an escape would say something else.
            (Operator::Partial, ..) if whole && !value.contains(&b'\\') => {
                operator::partial(value, out);
            }
            (Operator::Hash, Some(key), _) if whole => operator::hash(key, rule, value, out),
            (Operator::Surrogate, Some(key), _) if whole => {
                if let Some(kind) = Surrogate::of(&rule.id) {
                    operator::surrogate(kind, key, value, out);
                }
            }
            (Operator::Token, _, Some(session)) if whole => {
                if let Some(token) = session.token(&operator::kind(&rule.id), value) {
                    out.extend_from_slice(token.as_bytes());
                }
            }
            _ => {}
        }
        if out.len() == before {
            out.extend_from_slice(&rule.placeholder);
        }
    }

    /// Whether a match is what an operator of this profile has put there.
    fn is_replacement(&self, value: &[u8]) -> bool {
        if operator::is_placeholder(value) {
            return true;
        }
        // Whichever rule meets the surrogate or the token now, another one may have made it.
        if self.surrogates && Surrogate::ALL.into_iter().any(|kind| kind.holds(value)) {
            return true;
        }
        self.session
            .as_ref()
            .is_some_and(|session| operator::split(value).is_some_and(|_| session.knows(value)))
    }
}

/// Whether an operator may be asked for what is found by rules of this kind. A secret is not
/// given back, not in part either: what restores it for its owner restores it for whoever talks
/// the model into repeating the token.
const fn allows(kind: Kind, operator: Operator) -> bool {
    match kind {
        Kind::Secret => !matches!(
            operator,
            Operator::Token | Operator::Partial | Operator::Surrogate
        ),
        _ => true,
    }
}
