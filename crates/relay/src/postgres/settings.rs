//! What a client asks for when its session begins.

use tollbook_exchange::{Code, Refusal};
use tollbook_wire_postgres::{Startup, Version};

/// What a client asks for when its session begins, as far as it may.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The role that it names. It proves nothing and decides nothing: the session has the
    /// connection's own.
    pub(super) user: String,
    /// The database, if it names one.
    pub(super) database: Option<String>,
    /// What it calls itself.
    pub(super) application: Option<String>,
    /// The name of its session among the caller's own.
    pub(super) label: Option<String>,
    /// What it sets, for the server.
    pub(super) settings: Vec<(String, String)>,
    /// What of it cannot be had.
    pub(super) refusal: Option<Refusal>,
}

/// The setting with which a client names its session.
pub(super) const SESSION: &str = "tollbook.session";

/// Settings that a session may begin with: they change how values look and how long things may take,
/// and nothing of what a statement means or may do. Everything else is a statement's matter, which
/// is judged.
const SETTINGS: &[&str] = &[
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lock_timeout",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
];

impl Wanted {
    /// What `startup` asks for. What cannot be had is noted in it, so that it can be recorded who
    /// asked.
    pub(super) fn read(startup: &Startup) -> Self {
        let mut wanted = Self {
            user: String::new(),
            database: None,
            application: None,
            label: None,
            settings: Vec::new(),
            refusal: None,
        };
        for (name, value) in &startup.parameters {
            match &**name {
                "user" => wanted.user.clone_from(value),
                "database" => wanted.database = Some(value.clone()).filter(|name| !name.is_empty()),
                "replication" if is_off(value) => {}
                "replication" => wanted.refuse(
                    "replication",
                    "replication does not pass: the gate judges statements",
                ),
                "options" => match options(value) {
                    Some(settings) => {
                        for (name, value) in settings {
                            wanted.set(&name, value);
                        }
                    }
                    None => wanted.refuse(
                        "startup_options",
                        "`options` takes settings of the form `-c name=value`",
                    ),
                },
                // Answered by negotiation.
                name if name.starts_with("_pq_.") => {}
                name => wanted.set(name, value.clone()),
            }
        }
        if wanted.user.is_empty() {
            wanted.refuse("startup_user", "no user is named");
        }
        wanted
    }

    fn set(&mut self, name: &str, value: String) {
        let name = name.to_ascii_lowercase();
        match &*name {
            "application_name" => self.application = Some(value),
            SESSION => self.label = Some(value).filter(|label| !label.is_empty()),
            "client_encoding" if is_utf8(&value) => {}
            "client_encoding" => self.refuse(
                "startup_encoding",
                "the gate speaks UTF-8: leave `client_encoding` out or set it to UTF8",
            ),
            _ if SETTINGS.contains(&&*name) => self.settings.push((name, value)),
            // The name is the caller's own, and short: what is as long as that is no name.
            _ if name.len() <= 63 && name.bytes().all(is_of_a_name) => {
                let message = format!(
                    "a session cannot begin with `{name}`: set it by a statement, which is judged"
                );
                self.refuse("startup_setting", message);
            }
            _ => self.refuse(
                "startup_setting",
                "a session cannot begin with this setting",
            ),
        }
    }

    fn refuse(&mut self, why: &'static str, message: impl Into<String>) {
        let refusal = || Refusal::new(Code::MalformedRequest, message).because(why);
        self.refusal.get_or_insert_with(refusal);
    }
}

/// The version that is spoken with a client that asks for this one.
pub(super) fn spoken(asked: Version) -> Version {
    match asked.minor {
        0 | 1 => Version::V3_0,
        _ => Version::V3_2,
    }
}

/// Settings as the server reads them from `options`: `-c name=value`, `-cname=value` or
/// `--name=value`, between white space, where a backslash makes the next character plain.
fn options(text: &str) -> Option<Vec<(String, String)>> {
    let mut words = words(text).into_iter();
    let mut settings = Vec::new();
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => setting.to_owned(),
            (None, Some("")) => words.next()?,
            (None, Some(setting)) => setting.to_owned(),
            (None, None) => return None,
        };
        let (name, value) = setting.split_once('=')?;
        // Dashes and underscores are the same to the server.
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Some(settings)
}

fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_plain) = (Vec::new(), None::<String>, false);
    for char in text.chars() {
        match char {
            '\\' if !is_plain => is_plain = true,
            char if char.is_ascii_whitespace() && !is_plain => words.extend(word.take()),
            char => {
                word.get_or_insert_default().push(char);
                is_plain = false;
            }
        }
    }
    words.extend(word);
    words
}

fn is_off(value: &str) -> bool {
    ["", "0", "false", "no", "off"].contains(&&*value.to_ascii_lowercase())
}

fn is_utf8(value: &str) -> bool {
    let name: String = (value.chars())
        .filter(char::is_ascii_alphanumeric)
        .collect();
    ["", "utf8", "unicode", "auto"].contains(&&*name.to_ascii_lowercase())
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(parameters: &[(&str, &str)]) -> Wanted {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Wanted::read(&Startup {
            version: Version::V3_0,
            parameters: [("user", "ann")]
                .iter()
                .chain(parameters)
                .map(own)
                .collect(),
        })
    }

    #[test]
    fn what_says_how_values_look_may_be_set() {
        let wanted = wanted(&[
            ("database", "orders"),
            ("application_name", "psql"),
            ("client_encoding", "'utf-8'"),
            ("DateStyle", "ISO"),
            (
                "options",
                r"-c statement-timeout=5s --TimeZone=Europe/Berlin -ctollbook.session=a\ b -c extra_float_digits=3",
            ),
            ("replication", "false"),
            ("_pq_.x", "1"),
        ]);
        assert!(wanted.refusal.is_none(), "{:?}", wanted.refusal);
        let (user, database) = (&*wanted.user, wanted.database.as_deref());
        assert_eq!((user, database), ("ann", Some("orders")));
        let names = (wanted.application.as_deref(), wanted.label.as_deref());
        assert_eq!(names, (Some("psql"), Some("a b")));
        let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            wanted.settings,
            [
                own("datestyle", "ISO"),
                own("statement_timeout", "5s"),
                own("timezone", "Europe/Berlin"),
                own("extra_float_digits", "3"),
            ]
        );
    }

    #[test]
    fn what_changes_meaning_may_not() {
        for (name, value, told) in [
            ("search_path", "evil", "`search_path`"),
            ("options", "-c role=admin", "`role`"),
            (
                "options",
                "--session-authorization=x",
                "`session_authorization`",
            ),
            (
                "options",
                "-c standard_conforming_strings=off",
                "`standard_con",
            ),
            ("options", "-d 5", "`-c name=value`"),
            ("options", "-c", "`-c name=value`"),
            ("client_encoding", "LATIN1", "UTF-8"),
            ("replication", "database", "replication"),
            ("user", "", "no user"),
        ] {
            let refusal = wanted(&[(name, value)]).refusal.unwrap();
            assert!(refusal.message.contains(told), "{}", refusal.message);
        }
    }

    #[test]
    fn an_unknown_minor_version_is_the_newest_one() {
        let of = |minor| spoken(Version { major: 3, minor });
        assert_eq!([of(0), of(1)], [Version::V3_0; 2]);
        assert_eq!([of(2), of(3), of(9999)], [Version::V3_2; 3]);
    }
}
