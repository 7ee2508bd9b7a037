//! What agents really send: code they read, what commands print, and prose around it.
//!
//! About half of it is the source of this workspace: Rust, Markdown, manifests and the lock file, as
//! files are read, searched, listed and compared. The other half is written from a seed, with the
//! words and names of those sources: Python, TypeScript, Go, SQL, HTML, YAML, logs, tables, tool
//! answers in JSON, and talk. Look-alikes of secrets are as rare as they are in such text; the
//! corpus that is dense with them is [`clean`](super::clean).
//!
//! The same seed gives the same texts for the same state of the workspace.

mod listed;
mod request;
mod sources;
mod written;

use super::{Document, Random};

pub use self::sources::Sources;

/// A way in which a text comes about, what it is called, and how often it is seen.
type Sort = (&'static str, usize, fn(&Sources, &mut Random) -> String);

const SORTS: &[Sort] = &[
    ("rust", 14, listed::file),
    ("rust-numbered", 10, listed::numbered),
    ("markdown", 9, listed::markdown),
    ("manifest", 2, listed::manifest),
    ("lock-file", 2, listed::lock),
    ("diff", 7, listed::diff),
    ("search", 5, listed::search),
    ("listing", 3, listed::listing),
    ("build", 4, listed::build),
    ("history", 2, listed::history),
    ("packages", 2, listed::packages),
    ("python", 6, written::python),
    ("typescript", 6, written::typescript),
    ("go", 4, written::go),
    ("sql", 4, written::sql),
    ("html", 4, written::html),
    ("yaml", 5, written::yaml),
    ("log", 4, written::log),
    ("table", 2, written::table),
    ("json", 3, written::json),
    ("talk", 8, written::talk),
];

/// Texts as they stand in requests, each of 1 to 8 KiB, of this many bytes in all at least.
pub fn traffic(sources: &Sources, seed: u64, bytes: usize) -> Vec<Document> {
    let mut random = Random::new(seed);
    let mut documents: Vec<Document> = Vec::new();
    let mut length = 0;
    while length < bytes {
        let document = text(sources, &mut random);
        length += document.text.len();
        documents.push(document);
    }
    documents
}

/// Bodies of requests to the Messages API with such texts in them, of this many bytes in all at
/// least: tools, a system prompt, and one to ten turns in which tools are called.
pub fn requests(sources: &Sources, seed: u64, bytes: usize) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut bodies: Vec<String> = Vec::new();
    let mut length = 0;
    while length < bytes {
        let body = request::body(sources, &mut random);
        length += body.len();
        bodies.push(body);
    }
    bodies
}

fn text(sources: &Sources, random: &mut Random) -> Document {
    let all: usize = SORTS.iter().map(|(_, weight, _)| weight).sum();
    let mut at = random.below(all);
    for (name, weight, write) in SORTS {
        if at < *weight {
            let text = write(sources, random);
            return Document { name, text };
        }
        at -= weight;
    }
    let text = written::talk(sources, random);
    Document { name: "talk", text }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[test]
    fn every_sort_of_text_comes_up_and_half_of_it_is_real() {
        let sources = Sources::read().unwrap();
        let documents = traffic(&sources, 1, 2 << 20);
        let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
        for document in &documents {
            assert!(document.text.len() > 100, "{}", document.name);
            *bytes.entry(document.name).or_default() += document.text.len();
        }
        assert_eq!(bytes.len(), SORTS.len(), "{bytes:?}");
        let all: usize = bytes.values().sum();
        let real = [
            "rust",
            "rust-numbered",
            "markdown",
            "manifest",
            "lock-file",
            "diff",
            "search",
            "listing",
            "build",
        ];
        let real: usize = real.iter().filter_map(|name| bytes.get(name)).sum();
        assert!(real * 2 >= all, "{real} of {all}: {bytes:?}");
    }

    #[test]
    fn the_same_seed_makes_the_same_requests_and_they_are_json() {
        let sources = Sources::read().unwrap();
        let bodies = requests(&sources, 7, 200 << 10);
        assert_eq!(bodies, requests(&sources, 7, 200 << 10));
        assert_ne!(bodies, requests(&sources, 8, 200 << 10));
        for body in bodies {
            let body: Value = serde_json::from_str(&body).unwrap();
            assert!(
                body["messages"]
                    .as_array()
                    .is_some_and(|all| !all.is_empty())
            );
        }
    }
}
