//! `[[sink]]`.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use super::{connection::SecretSource, document::Section, mistake::Located};

/// Somewhere that copies of records are sent to, for as long as the gateway runs.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// The line of the configuration in which it begins.
    pub line: usize,
    /// The name, which its cursor goes by; empty where it is missing.
    pub name: String,
    /// What it is, and where.
    pub to: Option<SinkTo>,
    /// The format's name.
    pub format: Option<Located<String>>,
    /// Whether what was said is sent.
    pub contents: bool,
    /// Which exchanges.
    pub query: Option<Located<String>>,
    /// Only those of these connections.
    pub connections: Vec<Located<String>>,
    /// At most so many records at a time.
    pub batch: Option<usize>,
    /// At most about so many bytes at a time.
    pub batch_size: Option<usize>,
    /// How often it looks for what is there.
    pub interval: Option<Duration>,
    /// How long one delivery may take.
    pub timeout: Option<Duration>,
    /// How often a record is refused before it is set aside.
    pub tries: Option<u32>,
    /// How long it fails before that is in the book.
    pub alarm_after: Option<Duration>,
    /// Certificate authorities to trust, PEM.
    pub ca_file: Option<PathBuf>,
    /// Whether records may go to another machine without TLS.
    pub plain: bool,
}

/// Where a sink sends to.
#[derive(Clone, Debug)]
pub enum SinkTo {
    /// A file that grows.
    File {
        /// Its path.
        path: PathBuf,
        /// The most bytes that it has before it is put aside.
        rotate_size: Option<usize>,
        /// Whether it is put aside when a day begins.
        rotate_daily: bool,
    },
    /// An address that batches are posted to.
    Webhook {
        /// The address.
        url: String,
        /// `whsec_` and base64.
        credential: SecretSource,
    },
    /// A collector of OpenTelemetry.
    Otlp {
        /// Its address.
        url: String,
        /// The name of a header.
        header: String,
        /// What stands in the header.
        credential: Option<SecretSource>,
    },
    /// An object store that speaks S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// What stands before the names of objects.
        prefix: String,
        /// The region.
        region: String,
        /// The store's address, unless it is AWS.
        url: Option<String>,
        /// The id of an access key.
        access_key: String,
        /// Its secret.
        credential: SecretSource,
    },
    /// A stream of NATS.
    Nats {
        /// The server.
        url: String,
        /// The subject that the stream listens to.
        subject: String,
        /// The name to log in with; without one the credential is a token.
        user: Option<String>,
        /// The token or the password.
        credential: Option<SecretSource>,
    },
}

const KINDS: &[&str] = &["file", "webhook", "otlp", "s3", "nats"];

/// The keys that are about where, each with the kinds that have it.
const WHERE: [(&str, &[&str]); 12] = [
    ("path", &["file"]),
    ("rotate_size", &["file"]),
    ("rotate_daily", &["file"]),
    ("url", &["webhook", "otlp", "s3", "nats"]),
    ("credential", &["webhook", "otlp", "s3", "nats"]),
    ("header", &["otlp"]),
    ("bucket", &["s3"]),
    ("prefix", &["s3"]),
    ("region", &["s3"]),
    ("access_key", &["s3"]),
    ("subject", &["nats"]),
    ("user", &["nats"]),
];

impl SinkConfig {
    /// `sealed`: only who has an identity can read the book.
    pub(super) fn read(section: Section<'_>, folder: &Path, data: &Path, sealed: bool) -> Self {
        if sealed {
            section.wrong(
                "a sink reads the book, which the `recipient` of `[keys]` keeps from the gateway: \
                 it would never send anything",
            );
        }
        let name = section.required("name");
        let kind = match section.required("kind") {
            Some(_) => section.word("kind", KINDS),
            None => None,
        };
        let to = SinkTo::read(&section, kind, folder, data);
        let notes = section.notes();
        let located = |key| {
            let text = section.text(key);
            text.map(|text| text.located(notes, |text| text))
        };
        let count = |key| {
            section
                .count(key)
                .map(|count| usize::try_from(count).unwrap_or(0))
        };
        let connections = section.texts("connections").unwrap_or_default();
        let config = Self {
            line: section.line(),
            name: name.map_or_else(String::new, |name| name.value),
            to,
            format: located("format"),
            contents: section.flag("contents").unwrap_or(true),
            query: located("query"),
            connections: connections
                .into_iter()
                .map(|connection| connection.located(notes, |connection| connection))
                .collect(),
            batch: count("batch"),
            batch_size: section.size("batch_size"),
            interval: section.duration_above_zero("interval"),
            timeout: section.duration_above_zero("timeout"),
            tries: section
                .count("tries")
                .map(|tries| u32::try_from(tries).unwrap_or(u32::MAX)),
            alarm_after: section.duration("alarm_after"),
            ca_file: section.text("ca_file").map(|file| folder.join(file.value)),
            plain: section.flag("plain").unwrap_or(false),
        };
        section.finish();
        config
    }
}

impl SinkTo {
    fn read(
        section: &Section<'_>,
        kind: Option<&'static str>,
        folder: &Path,
        data: &Path,
    ) -> Option<Self> {
        for (key, kinds) in WHERE {
            let there = section.has(key);
            if let Some(kind) = kind.filter(|kind| there && !kinds.contains(kind)) {
                section.wrong(format!("`{key}` is not for a sink of the kind `{kind}`"));
            }
        }
        let text = |key| section.text(key).map(|text| text.value);
        let needed = |key| section.required(key).map(|text| text.value);
        let secret = || SecretSource::read(section, "credential", folder);
        let maybe = || section.has("credential").then(secret).flatten();
        match kind? {
            "file" => {
                let path = section.required("path")?;
                let file = folder.join(&path.value);
                if file.starts_with(data) || place(&file).starts_with(place(data)) {
                    path.wrong(
                        section.notes(),
                        "`path` lies in the folder of the book, where only the book is written",
                    );
                }
                Some(Self::File {
                    path: file,
                    rotate_size: section.size("rotate_size"),
                    rotate_daily: section.flag("rotate_daily").unwrap_or(false),
                })
            }
            "webhook" => {
                let (url, credential) = (needed("url"), secret());
                Some(Self::Webhook {
                    url: url?,
                    credential: credential?,
                })
            }
            "otlp" => Some(Self::Otlp {
                url: needed("url")?,
                header: text("header").unwrap_or_else(|| "authorization".to_owned()),
                credential: maybe(),
            }),
            "s3" => {
                let (bucket, access_key, credential) =
                    (needed("bucket"), needed("access_key"), secret());
                Some(Self::S3 {
                    bucket: bucket?,
                    prefix: text("prefix").unwrap_or_default(),
                    region: text("region").unwrap_or_else(|| "us-east-1".to_owned()),
                    url: text("url"),
                    access_key: access_key?,
                    credential: credential?,
                })
            }
            _ => {
                let (url, subject) = (needed("url"), needed("subject"));
                Some(Self::Nats {
                    url: url?,
                    subject: subject?,
                    user: text("user"),
                    credential: maybe(),
                })
            }
        }
    }
}

/// Where a path leads to, through links and `..`, as far as it is there.
pub(crate) fn place(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut place = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                place.pop();
            }
            part => place.push(part),
        }
        // What is not there yet cannot be a link.
        if let Ok(there) = place.canonicalize() {
            place = there;
        }
    }
    place
}
