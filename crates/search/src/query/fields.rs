//! The fields of the query language, in one table.

use serde::Serialize;

/// A field of the query language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Field {
    /// How it is written.
    pub name: &'static str,
    /// A shorter way to write it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub short: Option<&'static str>,
    /// What its values are.
    pub kind: FieldKind,
    /// What it is, in a few words.
    pub about: &'static str,
}

/// What the values of a field are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldKind {
    /// Names: compared as a whole and without case; `*` stands for any text.
    Word,
    /// Text: words or a quoted phrase that stands in it.
    Text,
    /// A count; `k`, `m` and `g` are thousands, millions and billions.
    Count,
    /// Bytes; `kb`, `mb` and `gb` are powers of a thousand, `kib`, `mib` and `gib` of 1024.
    Bytes,
    /// A length of time, with `us`, `ms`, `s`, `m`, `h` or `d`.
    Duration,
    /// US dollars.
    Dollars,
    /// A time: so long ago, a date, or an RFC 3339 time.
    Time,
}

/// All fields, in the order in which they are told about. Besides them, `principal.NAME` is any
/// claim of the caller.
pub fn fields() -> &'static [Field] {
    FIELDS
}

/// Where texts stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Anywhere but in the system prompt.
    Any,
    Prompt,
    Answer,
    Thinking,
    Input,
    Result,
    System,
}

impl Place {
    /// The places that texts stand at, in the order of the index's columns.
    pub(crate) const ALL: [Self; 6] = [
        Self::Prompt,
        Self::Answer,
        Self::Thinking,
        Self::Input,
        Self::Result,
        Self::System,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Any => "text",
            Self::Prompt => "prompt",
            Self::Answer => "answer",
            Self::Thinking => "thinking",
            Self::Input => "input",
            Self::Result => "result",
            Self::System => "system",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = Self::ALL.into_iter().chain([Self::Any]);
        all.into_iter().find(|place| place.name() == name)
    }

    /// Whether a search at this place looks at texts of that one.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == other || (self == Self::Any && other != Self::System)
    }
}

/// Fields that are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum NumberField {
    Status,
    Tokens,
    TokensIn,
    TokensOut,
    TokensCached,
    TokensWritten,
    Cost,
    Duration,
    FirstByte,
    BytesIn,
    BytesOut,
    Masked,
    Calls,
    Risk,
    Index,
}

impl NumberField {
    pub(crate) const ALL: [Self; 15] = [
        Self::Status,
        Self::Tokens,
        Self::TokensIn,
        Self::TokensOut,
        Self::TokensCached,
        Self::TokensWritten,
        Self::Cost,
        Self::Duration,
        Self::FirstByte,
        Self::BytesIn,
        Self::BytesOut,
        Self::Masked,
        Self::Calls,
        Self::Risk,
        Self::Index,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Tokens => "tokens",
            Self::TokensIn => "tokens.in",
            Self::TokensOut => "tokens.out",
            Self::TokensCached => "tokens.cached",
            Self::TokensWritten => "tokens.written",
            Self::Cost => "cost",
            Self::Duration => "duration",
            Self::FirstByte => "first_byte",
            Self::BytesIn => "bytes.in",
            Self::BytesOut => "bytes.out",
            Self::Masked => "masked",
            Self::Calls => "calls",
            Self::Risk => "risk",
            Self::Index => "index",
        }
    }

    /// Its column in the index.
    pub(crate) const fn column(self) -> &'static str {
        match self {
            Self::TokensIn => "tokens_in",
            Self::TokensOut => "tokens_out",
            Self::TokensCached => "tokens_cached",
            Self::TokensWritten => "tokens_written",
            Self::BytesIn => "bytes_in",
            Self::BytesOut => "bytes_out",
            Self::Index => "intent",
            other => other.name(),
        }
    }

    pub(crate) const fn kind(self) -> FieldKind {
        match self {
            Self::Cost => FieldKind::Dollars,
            Self::Duration | Self::FirstByte => FieldKind::Duration,
            Self::BytesIn | Self::BytesOut => FieldKind::Bytes,
            _ => FieldKind::Count,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// Fields that are times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimeField {
    Started,
    Ended,
}

impl TimeField {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ended => "ended",
        }
    }
}

/// The field that goes by this name or short name.
pub(crate) fn named(name: &str) -> Option<&'static Field> {
    let is = |field: &&Field| field.name == name || field.short == Some(name);
    FIELDS.iter().find(is)
}

/// The name in full, of one that may be short.
pub(crate) fn full_name(name: &str) -> &str {
    named(name).map_or(name, |field| field.name)
}

/// The name that was most likely meant, if one is near enough.
pub(crate) fn nearest(name: &str) -> Option<&'static str> {
    let names = FIELDS
        .iter()
        .flat_map(|field| [Some(field.name), field.short])
        .flatten();
    let (distance, nearest) = names
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + name.chars().count() / 6).then_some(nearest)
}

const fn word(name: &'static str, about: &'static str) -> Field {
    field(name, None, FieldKind::Word, about)
}

const fn who(name: &'static str, short: &'static str, about: &'static str) -> Field {
    field(name, Some(short), FieldKind::Word, about)
}

const fn text(place: Place, about: &'static str) -> Field {
    field(place.name(), None, FieldKind::Text, about)
}

const fn number(number: NumberField, about: &'static str) -> Field {
    field(number.name(), None, number.kind(), about)
}

const fn time(name: &'static str, about: &'static str) -> Field {
    field(name, None, FieldKind::Time, about)
}

const fn field(
    name: &'static str,
    short: Option<&'static str>,
    kind: FieldKind,
    about: &'static str,
) -> Field {
    Field {
        name,
        short,
        kind,
        about,
    }
}

const FIELDS: &[Field] = &[
    time("since", "begun then or later"),
    time("until", "begun before"),
    time("started", "when it began"),
    time("ended", "when it ended"),
    who(
        "principal.subject",
        "subject",
        "the issuer's name for the caller",
    ),
    who("principal.issuer", "issuer", "who vouched for the caller"),
    who("principal.kind", "kind", "ci, human or service"),
    who("principal.group", "group", "a group of the caller"),
    who("principal.role", "role", "a role of the caller"),
    who(
        "principal.repository",
        "repository",
        "the repository of a job",
    ),
    who(
        "principal.actor",
        "actor",
        "login or id of the person behind a job",
    ),
    who(
        "principal.environment",
        "environment",
        "the deployment environment of a job",
    ),
    who("principal.run", "run", "the run of a job"),
    who(
        "principal.for",
        "for",
        "whom the caller acts for, as issuer/id",
    ),
    who(
        "principal.token",
        "token",
        "the id of the gateway token that was shown",
    ),
    word("session", "the session's id"),
    word("connection", "the connection it came through"),
    word("protocol", "the connection's protocol"),
    word("action", "what was asked for, such as messages.create"),
    word("method", "the method of the HTTP request"),
    word("target", "path and query of the HTTP request"),
    word("model", "the model that was asked for, or that answered"),
    word("stream", "true or false: whether a stream was asked for"),
    word("verdict", "allow, deny or approve"),
    word("rule", "a rule that the decision names"),
    word("approval", "the approval or grant that let it through"),
    word("policy", "the hash of the policies that decided"),
    word(
        "outcome",
        "how it ended, such as complete; open while it has not",
    ),
    word("refusal", "the code of the gate's refusal"),
    word("error", "the type of the upstream's error"),
    word("stop", "why the model stopped"),
    word("tool", "a tool that the answer calls"),
    word("tool.verdict", "what became of a tool call that was judged"),
    word("tool.id", "the id of a tool call, made or answered"),
    word(
        "tool.statement",
        "the fingerprint of a SQL statement in the input of a tool call",
    ),
    word("statement", "the fingerprint of a SQL statement"),
    word(
        "statement_class",
        "what a SQL statement does, such as read, write, ddl or unknown",
    ),
    word("statement_kind", "what it is, such as select or copy_out"),
    word("table", "a table or view that it reads or changes"),
    word("function", "a function that it calls"),
    word("sqlstate", "the code of the database's error"),
    word("database", "the database of a session"),
    word("finding", "a masking rule that found something"),
    word(
        "secret",
        "the keyed digest of a secret that was masked; `more` where not all are kept",
    ),
    word("label", "a label that detectors gave the request"),
    text(Place::Any, "in prompt, answer, thinking, input or result"),
    text(Place::Prompt, "in what the user said"),
    text(Place::Answer, "in what the model said"),
    text(Place::Thinking, "in what the model thought"),
    text(Place::Input, "in the input of a tool call"),
    text(Place::Result, "in the result of a tool call"),
    text(Place::System, "in the system prompt"),
    number(NumberField::Status, "the status that the caller saw"),
    number(NumberField::Tokens, "tokens of prompt and answer"),
    number(
        NumberField::TokensIn,
        "tokens of the prompt that no cache held",
    ),
    number(NumberField::TokensOut, "tokens of the answer"),
    number(NumberField::TokensCached, "tokens read from a cache"),
    number(NumberField::TokensWritten, "tokens written to a cache"),
    number(NumberField::Cost, "what the answer cost"),
    number(NumberField::Duration, "how long it took"),
    number(
        NumberField::FirstByte,
        "how long until the first byte of the answer",
    ),
    number(NumberField::BytesIn, "bytes of the request's body"),
    number(NumberField::BytesOut, "bytes of the answer's body"),
    number(NumberField::Masked, "how many findings were masked"),
    number(NumberField::Calls, "how many tools the answer calls"),
    number(NumberField::Risk, "the risk that detectors saw, of 100"),
    number(
        NumberField::Index,
        "the index of its first entry in the log",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_told_of_once() {
        let mut names: Vec<_> = FIELDS
            .iter()
            .flat_map(|field| [Some(field.name), field.short])
            .flatten()
            .collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        for number in NumberField::ALL {
            assert_eq!(
                named(number.name()).map(|field| field.kind),
                Some(number.kind())
            );
        }
        for place in Place::ALL {
            assert_eq!(
                named(place.name()).map(|field| field.kind),
                Some(FieldKind::Text)
            );
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_could_have_been_meant() {
        assert_eq!(nearest("verdit"), Some("verdict"));
        assert_eq!(nearest("repositroy"), Some("repository"));
        assert_eq!(nearest("https"), None);
    }
}
