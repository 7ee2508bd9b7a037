//! The vectors of the built-in rules, read from the files that the engine compiles.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use tollbook_masking::{Base, Masker};

/// A rule's test vectors.
#[derive(Debug)]
pub(crate) struct Vectors {
    pub(crate) id: String,
    pub(crate) shape: String,
    /// Whether its matches are found in an encoding too.
    pub(crate) is_found_encoded: bool,
    pub(crate) positive: Vec<String>,
}

pub(crate) fn vectors() -> &'static [Vectors] {
    static VECTORS: OnceLock<Vec<Vectors>> = OnceLock::new();
    VECTORS.get_or_init(|| {
        let mut files = Vec::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        files_below(&folder, &mut files);
        files.sort();
        files.iter().flat_map(|file| rules_of(file)).collect()
    })
}

/// Every positive vector that is a text, with the id of its rule.
pub(crate) fn texts() -> impl Iterator<Item = (&'static str, &'static str)> {
    vectors()
        .iter()
        .filter(|rule| rule.shape != "json-key")
        .flat_map(|rule| rule.positive.iter().map(|text| (&*rule.id, &**text)))
}

/// A masker in which every rule counts, the unsure ones too.
pub(crate) fn strict() -> Masker {
    Masker::builtin().profile(Base::Strict).build().unwrap()
}

pub(crate) fn whole(masker: &Masker, text: &[u8]) -> Vec<u8> {
    masker.mask(text).masked.into_inner().to_vec()
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
}

fn rules_of(file: &Path) -> Vec<Vectors> {
    let table: toml::Table = toml::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let rules = table.get("rule").and_then(toml::Value::as_array);
    rules.into_iter().flatten().map(read).collect()
}

fn read(rule: &toml::Value) -> Vectors {
    let text = |key: &str| {
        rule.get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let list = |key: &str| {
        let join = |value: &toml::Value| match value {
            toml::Value::Array(pieces) => pieces.iter().filter_map(toml::Value::as_str).collect(),
            value => value.as_str().unwrap().to_owned(),
        };
        rule[key].as_array().unwrap().iter().map(join).collect()
    };
    Vectors {
        id: text("id"),
        shape: text("shape"),
        is_found_encoded: is_found_encoded(rule),
        positive: list("positive"),
    }
}

/// As the engine decides it: what is sure, secret, begins with something of its own and is not short.
fn is_found_encoded(rule: &toml::Value) -> bool {
    let text = |key: &str, unless: &'static str| {
        rule.get(key)
            .and_then(toml::Value::as_str)
            .unwrap_or(unless)
    };
    let tags = rule.get("tags").and_then(toml::Value::as_array);
    let is_middle = |tag: &toml::Value| tag.as_str() == Some("middle");
    let is_token = text("shape", "token") == "token";
    text("kind", "secret") == "secret"
        && text("confidence", "high") == "high"
        && (is_token || text("shape", "token") == "private-key")
        && rule.get("keywords").is_none()
        && !tags.is_some_and(|tags| tags.iter().any(is_middle))
}
