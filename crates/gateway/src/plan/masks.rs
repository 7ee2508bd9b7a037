//! Masking: profiles, and what connections ask of them.

use std::collections::{BTreeMap, BTreeSet};

use tollbook_inspect::RecordMaskers;
use tollbook_masking::{Base, Kind, MaskKey, Masker, OPERATORS, Operator, ProfileBuilder};
use zeroize::Zeroizing;

use super::build::Builder;
use crate::{
    config::{
        ConnectionConfig, MaskProfiles, MaskingConfig, ProfileConfig, ProtocolConfig, nearest,
    },
    masks::{ConnectionMasks, Masks},
};

/// Every profile by its name.
pub(super) type Profiles = BTreeMap<String, Masker>;

/// What stands in a configuration where nothing is masked.
const OFF: &str = "off";
/// A shorter key can be guessed.
const MIN_KEY: usize = 32;

impl Builder<'_> {
    /// The profiles. Until the gateway starts they have a key that is none.
    pub(super) fn profiles(&mut self, config: &MaskingConfig, masker: &Masker) -> Profiles {
        let mut profiles = Profiles::new();
        for (name, base) in Base::ALL {
            if let Ok(built) = masker.profile(base).build() {
                profiles.insert(name.to_owned(), built);
            }
        }
        for profile in &config.profiles {
            let line = Some(profile.line);
            if profile.name == OFF || Base::ALL.iter().any(|(name, _)| *name == profile.name) {
                self.wrong(line, format!("the name `{}` is taken", profile.name));
                continue;
            }
            let base = profile.base.as_deref().unwrap_or("default");
            let base = match base.parse::<Base>() {
                Ok(base) => base,
                Err(error) => {
                    self.wrong(line, error.to_string());
                    continue;
                }
            };
            let builder = masker.profile(base).key(MaskKey::new([0; 32]));
            match self.profile(builder, profile).build() {
                Ok(built) => {
                    profiles.insert(profile.name.clone(), built);
                }
                Err(error) => {
                    for mistake in error.mistakes() {
                        self.wrong(line, format!("profile `{}`: {mistake}", profile.name));
                    }
                }
            }
        }
        profiles
    }

    /// The profile with this name, with a key.
    pub(super) fn profile_named(&mut self, config: &MaskingConfig, name: &str) -> Option<Masker> {
        let masker = self.masker(&config.rules)?;
        let profiles = self.profiles(config, &masker);
        let key = match config.key {
            Some(_) => self.mask_key(config),
            None => self.new_key(),
        };
        Some(self.named(None, &profiles, name)?.keyed(key?))
    }

    fn new_key(&mut self) -> Option<MaskKey> {
        let mut bytes = Zeroizing::new([0; 32]);
        if let Err(error) = getrandom::fill(&mut *bytes) {
            self.wrong(None, format!("the system has no random numbers: {error}"));
            return None;
        }
        Some(MaskKey::new(*bytes))
    }

    /// From the general to the particular, so that the particular counts.
    fn profile(&mut self, mut builder: ProfileBuilder, config: &ProfileConfig) -> ProfileBuilder {
        let line = Some(config.line);
        let kinds = [
            (Kind::Secret, &config.secrets),
            (Kind::Personal, &config.personal),
        ];
        for (kind, word) in kinds {
            if let Some(operator) = word.as_ref().and_then(|word| self.operator(line, word)) {
                builder = builder.kind(kind, operator);
            }
        }
        for (name, word) in one_each(&config.tags) {
            if word == OFF {
                builder = builder.without_tag(name);
            } else if let Some(operator) = self.operator(line, word) {
                builder = builder.tag(name, operator);
            }
        }
        for (name, word) in one_each(&config.rules) {
            if word == OFF {
                builder = builder.without(name);
            } else if let Some(operator) = self.operator(line, word) {
                builder = builder.rule(name, operator);
            }
        }
        builder
    }

    fn operator(&mut self, line: Option<usize>, word: &str) -> Option<Operator> {
        let found = OPERATORS.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let names = OPERATORS.map(|(name, _)| name).join(", ");
            self.wrong(
                line,
                format!("there is no operator `{word}`; it is one of {names}, or `off`"),
            );
        }
        found.map(|(_, operator)| *operator)
    }

    /// The key that the configuration names.
    pub(super) fn mask_key(&mut self, config: &MaskingConfig) -> Option<MaskKey> {
        let source = config.key.as_ref()?;
        match self.secret(&source.value) {
            Ok(secret) if secret.len() >= MIN_KEY => {
                Some(MaskKey::new([0; 32]).derive(&[b"masking key", secret.as_bytes()]))
            }
            Ok(_) => {
                let message = format!("a masking key has at least {MIN_KEY} characters");
                self.wrong(source.line, message);
                None
            }
            Err(why) => {
                self.wrong(source.line, format!("the masking key: {why}"));
                None
            }
        }
    }

    /// What is masked on one connection.
    pub(super) fn masks(
        &mut self,
        connection: &ConnectionConfig,
        profiles: &Profiles,
    ) -> Option<ConnectionMasks> {
        let config = &connection.mask;
        if let ProtocolConfig::Postgres(_) = connection.protocol {
            let groups = config.groups.iter().map(|(_, own)| own);
            for told in groups.chain([&config.everyone]) {
                self.check_answers_only(profiles, told);
            }
        }
        let everyone = self.masks_of(profiles, &config.everyone);
        let mut groups = Vec::new();
        for (names, own) in &config.groups {
            let names: BTreeSet<String> = names.iter().cloned().collect();
            groups.push((names, self.masks_of(profiles, &own.or(&config.everyone))));
        }
        let groups: Option<Vec<_>> = groups
            .into_iter()
            .map(|(names, masks)| Some((names, masks?)))
            .collect();
        Some(ConnectionMasks::new(
            connection.name.clone(),
            everyone?,
            groups?,
        ))
    }

    /// Statements are not rewritten, so there is nothing that could be turned back.
    fn check_answers_only(&mut self, profiles: &Profiles, told: &MaskProfiles) {
        let line = (told.line > 0).then_some(told.line);
        if told.restore == Some(true) {
            self.wrong(
                line,
                "`restore` has no place on a database's connection: statements are not rewritten",
            );
        }
        let masker = told.wire.as_ref().and_then(|name| profiles.get(name));
        if masker.is_some_and(|masker| masker.uses(Operator::Token)) {
            self.wrong(line, "`wire` masks the answers of a database, and callers would get the tokens; use `hash`");
        }
    }

    fn masks_of(&mut self, profiles: &Profiles, told: &MaskProfiles) -> Option<Masks> {
        let line = (told.line > 0).then_some(told.line);
        let record = told.record.as_deref().unwrap_or("default");
        let answers = told.record_answers.as_deref().unwrap_or(record);
        let requests = self.named(line, profiles, record);
        let answers = self.named(line, profiles, answers);
        let mut wire = |name: &Option<String>| {
            let name = name.as_deref().filter(|name| *name != OFF)?;
            Some(self.named(line, profiles, name))
        };
        let (wire, told_answers) = (wire(&told.wire), wire(&told.wire_answers));
        // A name that is not known was told.
        let wire = wire.map_or(Some(None), |masker| masker.map(Some))?;
        let wire_answers = match (told_answers, &told.wire_answers) {
            (Some(masker), _) => Some(masker?),
            (None, Some(_)) => None,
            // Tokens are for the upstream's eyes: in an answer they would stand where the caller
            // needs the value.
            (None, None) => wire.clone().filter(|masker| !masker.uses(Operator::Token)),
        };
        let masks = Masks {
            record: RecordMaskers::new(requests?).answers(answers?),
            wire,
            wire_answers,
            restore: told.restore.unwrap_or(false),
        };
        self.check(line, &masks).then_some(masks)
    }

    /// A rule that a way cannot carry is a mistake here, not a surprise later.
    fn check(&mut self, line: Option<usize>, masks: &Masks) -> bool {
        let before = self.all.len();
        let Masks {
            record,
            wire,
            wire_answers,
            restore,
        } = masks;
        for (key, masker) in [
            ("record", &record.requests),
            ("record_answers", &record.answers),
        ] {
            let mut rules = masker.rules().peekable();
            // That there are no rules at all was told where they are named, or meant there.
            if rules.peek().is_some() && rules.all(|rule| rule.operator.is_none()) {
                self.wrong(
                    line,
                    format!("`{key}` masks nothing, and the record is always masked"),
                );
            }
            if masker.uses(Operator::Token) {
                self.wrong(line, format!("`{key}` cannot have tokens: what is recorded is not turned back; use `hash`"));
            }
            let flags = |kind| {
                let mut rules = masker.rules();
                rules.any(|rule| rule.kind == kind && rule.operator == Some(Operator::Flag))
            };
            if flags(Kind::Secret) {
                self.wrong(
                    line,
                    format!("`{key}` cannot only flag secrets: they would be in the book"),
                );
            }
        }
        let answers = [
            ("record_answers", Some(&record.answers)),
            ("wire_answers", wire_answers.as_ref()),
        ];
        for (key, masker) in answers {
            if masker.is_some_and(|masker| masker.uses(Operator::Drop)) {
                self.wrong(line, format!("`{key}` cannot drop: an answer comes in pieces, and what stands before has gone out"));
            }
        }
        if record.answers.uses(Operator::Block) {
            self.wrong(line, "`record_answers` cannot block: what is blocked in answers stands in `wire_answers`");
        }
        if wire_answers
            .as_ref()
            .is_some_and(|masker| masker.uses(Operator::Token))
        {
            self.wrong(
                line,
                "`wire_answers` cannot have tokens: the caller would get them",
            );
        }
        let has_tokens = |masker: &Masker| masker.uses(Operator::Token);
        if *restore && !wire.as_ref().is_some_and(has_tokens) {
            self.wrong(
                line,
                "`restore` turns tokens back, and the profile of `wire` makes none",
            );
        }
        self.all.len() == before
    }

    /// The masker with this profile.
    fn named(&mut self, line: Option<usize>, profiles: &Profiles, name: &str) -> Option<Masker> {
        if let Some(masker) = profiles.get(name) {
            return Some(masker.clone());
        }
        let hint = nearest(name, profiles.keys().map(String::as_str));
        let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.wrong(line, format!("there is no masking profile `{name}`{hint}"));
        None
    }
}

/// Each name with its word; with more words than one, the last.
fn one_each(pairs: &[(String, Vec<String>)]) -> impl Iterator<Item = (&str, &str)> {
    pairs
        .iter()
        .filter_map(|(name, words)| Some((&**name, &**words.last()?)))
}
