//! The masker and what it makes of whole texts.

use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use tollbook_exchange::{Action, Coverage, Digest, Fact, Finding, Gap, Masked, Operator, Redact};

use crate::{
    Confidence, Kind, MaskKey, MaskStream,
    engine::{Counts, Engine, Span},
    json::{self, JsonStream},
    masked,
    operator::{self, Digests},
    profile::{Base, Profile, ProfileBuilder},
    rules::{self, BuildError, Origin},
    vault::Session,
};

/// Finds secrets and masks them. A cheap handle: clones share the compiled rules.
#[derive(Clone)]
pub struct Masker {
    pub(crate) engine: Arc<Engine>,
    pub(crate) profile: Arc<Profile>,
}

/// Collects rules for a [`Masker`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct MaskerBuilder {
    origins: Vec<Origin>,
}

/// A whole text, masked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scan {
    /// The text with every match replaced. Without a match, the bytes that came.
    pub masked: Masked<Bytes>,
    /// Which rules matched, and how often.
    pub matches: Vec<Match>,
    /// Whether a rule matched that lets nothing pass ([`Operator::Block`]).
    pub blocked: bool,
    /// Findings with digests, without a place.
    digests: Vec<Finding>,
}

/// A whole JSON document, masked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JsonScan {
    /// The document with every match replaced. Everything else is byte for byte what came.
    pub masked: Masked<Bytes>,
    /// What was found, and under which keys.
    pub found: Vec<Finding>,
    /// How much was looked at. Signed, encrypted and binary members are in neither number: they
    /// are known to hold no text.
    pub coverage: Coverage,
    /// Whether a rule matched that lets nothing pass ([`Operator::Block`]).
    pub blocked: bool,
}

/// A rule that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Match {
    /// The id of the rule.
    pub rule: Arc<str>,
    /// What was done with the matches.
    pub operator: Operator,
    /// How often it matched.
    pub count: u32,
}

/// What is told about a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo<'a> {
    /// The id, as in `[REDACTED:id]`.
    pub id: &'a str,
    /// What it finds.
    pub description: &'a str,
    /// The public description of the format.
    pub source: &'a str,
    /// Whether it gives access or tells who somebody is.
    pub kind: Kind,
    /// What profiles may choose it by.
    pub tags: &'a [String],
    /// How sure it is.
    pub confidence: Confidence,
    /// What the profile does with what it finds; `None` where the rule does not count.
    pub operator: Option<Operator>,
}

impl Masker {
    /// The masker with the rules of this crate and no others.
    #[expect(
        clippy::expect_used,
        reason = "the rules are part of this crate, and its tests compile them"
    )]
    pub fn builtin() -> Self {
        static BUILT: OnceLock<Masker> = OnceLock::new();
        BUILT
            .get_or_init(|| {
                Self::builder()
                    .builtin()
                    .build()
                    .expect("built-in rules compile")
            })
            .clone()
    }

    fn of(engine: Engine) -> Self {
        Self {
            profile: Arc::new(Base::Default.profile(&engine.rules)),
            engine: Arc::new(engine),
        }
    }

    /// A masker with other rules.
    pub fn builder() -> MaskerBuilder {
        MaskerBuilder::default()
    }

    /// Begins a profile: which rules count, and what is done with what they find. A masker that
    /// was given none has [`Base::Default`].
    ///
    /// ```
    /// # use tollbook_masking::{Base, MaskKey, Masker, Operator};
    /// let masker = Masker::builtin()
    ///     .profile(Base::Secrets)
    ///     .key(MaskKey::new([42; 32]))
    ///     .rule("aws-access-key-id", Operator::Hash)
    ///     .build()?;
    /// let scan = masker.mask(b"AKIAIOSFODNN7EXAMPLE");
    /// assert!(scan.masked.as_inner().starts_with(b"[REDACTED:aws-access-key-id#"));
    /// # Ok::<(), tollbook_masking::ProfileError>(())
    /// ```
    pub fn profile(&self, base: Base) -> ProfileBuilder {
        ProfileBuilder::new(self.clone(), base)
    }

    /// The same masker for a session: what its profile has tokens for gets those of the session.
    /// Without a session it is redacted.
    #[must_use]
    pub fn session(&self, session: &Session) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            profile: Arc::new(self.profile.in_session(session.clone())),
        }
    }

    /// The same masker with another key for hashes and surrogates.
    #[must_use]
    pub fn keyed(&self, key: MaskKey) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            profile: Arc::new(self.profile.with_key(key)),
        }
    }

    /// The same masker, which leaves [digests](tollbook_exchange::Digest) of the secrets that it masks
    /// in the findings, made with this key. The key should be for nothing else.
    #[must_use]
    pub fn digesting(&self, key: MaskKey) -> Self {
        Self {
            engine: Arc::clone(&self.engine),
            profile: Arc::new(self.profile.with_digests(Digests::new(key))),
        }
    }

    /// What [`Masker::digesting`] with this key leaves of this secret: of the text as it is, and of
    /// each secret in it that this masker knows, so that a line of a file with it in will do.
    pub fn digests_of(&self, key: &MaskKey, secret: &[u8]) -> BTreeSet<Digest> {
        let secret = secret.trim_ascii();
        let found = self.digesting(key.clone()).mask(secret).findings("");
        let known = found.into_iter().flat_map(|finding| finding.digests);
        let own = [
            operator::digest(key, secret),
            operator::digest(key, &operator::letters(secret)),
        ];
        known.chain(own).collect()
    }

    /// The same masker for one text or body, so that the digests of it come together.
    pub(crate) fn gathering(&self) -> Self {
        match &self.profile.digests {
            Some(digests) if !digests.is_gathering() => Self {
                engine: Arc::clone(&self.engine),
                profile: Arc::new(self.profile.with_digests(digests.gathering())),
            },
            _ => self.clone(),
        }
    }

    /// Adds the digests to the findings that were gathered for them.
    pub(crate) fn tell_digests(&self, findings: &mut [Finding]) {
        if let Some(digests) = &self.profile.digests {
            digests.tell(&self.engine, findings);
        }
    }

    /// Whether a secret is among what was found, and not personal data alone.
    pub fn has_secret(&self, found: &[Finding]) -> bool {
        let rules = &self.engine.rules;
        found.iter().any(|found| {
            let rule = rules.iter().find(|rule| *rule.id == *found.rule);
            rule.is_some_and(|rule| rule.kind == Kind::Secret)
        })
    }

    /// Whether this does the same to every text as `other` does, so that what one of them made
    /// need not be made again by the other.
    pub fn is_like(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine) && self.profile.is_like(&other.profile)
    }

    /// Whether a rule that counts has this operator.
    pub fn uses(&self, operator: Operator) -> bool {
        self.profile.has(operator)
    }

    /// The rules, in the order in which they were given.
    pub fn rules(&self) -> impl Iterator<Item = RuleInfo<'_>> {
        let rules = self.engine.rules.iter().enumerate();
        rules.map(|(index, rule)| RuleInfo {
            id: &rule.id,
            description: &rule.description,
            source: &rule.source,
            kind: rule.kind,
            tags: &rule.tags,
            confidence: rule.confidence,
            operator: self
                .profile
                .on
                .has(index)
                .then(|| self.profile.operator(index)),
        })
    }

    /// Masks a text that comes in pieces. The result is that of [`Masker::mask`], however the text
    /// is cut.
    pub fn stream(&self) -> MaskStream {
        MaskStream::new(self.clone(), false)
    }

    /// Masks a whole JSON document; `place` names it in the findings.
    ///
    /// Texts are scanned as they are after decoding, names included, and a member whose name says
    /// that its value is secret is masked as a whole. What is no JSON is masked as text from there on,
    /// and what is nested more than 512 levels deep is not scanned and does not come out.
    pub fn json(&self, document: &[u8], place: &str) -> JsonScan {
        self.gathering().gathered_json(document, place)
    }

    fn gathered_json(&self, document: &[u8], place: &str) -> JsonScan {
        let length = document.len() as u64;
        let Ok(scanned) = json::scan(&self.engine, &self.profile, document, &[]) else {
            return self.no_document(document, place);
        };
        let bytes = if scanned.edits.is_empty() {
            Bytes::copy_from_slice(document)
        } else {
            json::splice(document, &scanned.edits).into()
        };
        let (mut coverage, opaque) = (Coverage::default(), scanned.opaque as u64);
        coverage.inspect(length - opaque);
        coverage.skip(Gap::Opaque, opaque);
        let mut found = scanned.found.findings(&self.engine, &self.profile, place);
        self.tell_digests(&mut found);
        JsonScan {
            masked: masked(bytes),
            blocked: blocks(&found),
            found,
            coverage,
        }
    }

    /// Masks what is no document as far as it is one, and as a text from there on.
    fn no_document(&self, document: &[u8], place: &str) -> JsonScan {
        let (mut coverage, length) = (Coverage::default(), document.len() as u64);
        let (bytes, counts) = JsonStream::whole(self, document).unwrap_or_else(|| {
            coverage.skip(Gap::Unreadable, length);
            (Vec::new(), Counts::default())
        });
        coverage.inspect(length - coverage.uninspected);
        let mut found = findings(&self.matches(&counts), place);
        self.tell_digests(&mut found);
        JsonScan {
            masked: masked(bytes.into()),
            blocked: blocks(&found),
            found,
            coverage,
        }
    }

    /// Masks a whole text of any kind.
    pub fn mask(&self, text: &[u8]) -> Scan {
        let spans = self.engine.spans(&self.profile.on, text, false);
        // Nothing is done for digests where there is nothing to mask.
        let gathering = (!spans.is_empty()).then(|| self.gathering());
        let bytes = match &gathering {
            None => Bytes::copy_from_slice(text),
            Some(masker) => masker.replace(text, &spans).into(),
        };
        let mut counts = Counts::default();
        spans.iter().for_each(|span| counts.add(span.rule));
        let matches = self.matches(&counts);
        Scan {
            masked: masked(bytes),
            blocked: matches
                .iter()
                .any(|found| found.operator == Operator::Block),
            digests: gathering
                .map(|masker| masker.told(&matches))
                .unwrap_or_default(),
            matches,
        }
    }

    /// The matches as findings that digests were gathered for, of those that have any.
    fn told(&self, matches: &[Match]) -> Vec<Finding> {
        let mut told = findings(matches, "");
        self.tell_digests(&mut told);
        told.retain(|finding| !finding.digests.is_empty());
        told
    }

    pub(crate) fn matches(&self, counts: &Counts) -> Vec<Match> {
        counts
            .iter()
            .map(|(rule, count)| Match {
                rule: self.engine.rules[rule].id.clone(),
                operator: self.profile.operator(rule),
                count,
            })
            .collect()
    }

    fn replace(&self, text: &[u8], spans: &[Span]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for span in spans {
            out.extend_from_slice(&text[at..span.start]);
            let rule = &self.engine.rules[span.rule];
            self.profile
                .write(rule, span.rule, &text[span.start..span.end], &mut out);
            at = span.end;
        }
        out.extend_from_slice(&text[at..]);
        out
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Masker")
            .field("rules", &self.engine.rules.len())
            .finish_non_exhaustive()
    }
}

impl Masker {
    /// The action with every text in it masked.
    pub fn action(&self, action: &Action) -> Masked<Action> {
        let redact = |text: &String| self.redact("action", text).0.into_inner();
        let mut action = action.clone();
        for fact in action.facts.values_mut() {
            match fact {
                Fact::Text(text) => *text = redact(text),
                Fact::Set(names) => *names = names.iter().map(redact).collect(),
                _ => {}
            }
        }
        masked(action)
    }
}

impl Redact for Masker {
    fn redact(&self, place: &str, text: &str) -> (Masked<String>, Vec<Finding>) {
        let scan = self.mask(text.as_bytes());
        let found = scan.findings(place);
        let text = match String::from_utf8(scan.masked.into_inner().into()) {
            Ok(text) => text,
            // Matches begin and end at ASCII bytes, so this is a text without its meaning at worst.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        (masked(text), found)
    }
}

impl MaskerBuilder {
    /// Adds the rules of this crate.
    pub fn builtin(mut self) -> Self {
        self.origins.push(Origin::Builtin);
        self
    }

    /// Adds rules written in TOML. `name` says in errors where they came from.
    pub fn rules(mut self, name: impl Into<String>, toml: impl Into<String>) -> Self {
        self.origins.push(Origin::File {
            name: name.into(),
            toml: toml.into(),
        });
        self
    }

    /// Compiles the rules and runs the test vectors of those that are not of this crate.
    ///
    /// # Errors
    ///
    /// When anything is wrong with any rule. The error names every mistake.
    pub fn build(self) -> Result<Masker, BuildError> {
        rules::compile(&self.origins).map(Masker::of)
    }
}

impl Scan {
    /// What was found, as it goes into a record; `place` names the text.
    pub fn findings(&self, place: &str) -> Vec<Finding> {
        let mut found = findings(&self.matches, place);
        for told in &self.digests {
            if let Some(finding) = found.iter_mut().find(|finding| finding.rule == told.rule) {
                finding.digests.clone_from(&told.digests);
                finding.digests_cut = told.digests_cut;
            }
        }
        found
    }
}

pub(crate) fn findings(matches: &[Match], place: &str) -> Vec<Finding> {
    matches
        .iter()
        .map(|found| Finding::new(&*found.rule, place, found.operator, found.count))
        .collect()
}

/// Whether something was found that lets nothing pass.
pub(crate) fn blocks(found: &[Finding]) -> bool {
    found.iter().any(|found| found.operator == Operator::Block)
}
