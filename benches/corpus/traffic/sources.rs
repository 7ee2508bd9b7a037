//! The texts of this workspace.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use super::super::Random;

/// The sources of this workspace, and the words and names in them.
#[derive(Clone, Debug)]
pub struct Sources {
    /// Paths and texts of Rust files, without their tests.
    pub(super) rust: Vec<(String, String)>,
    pub(super) markdown: Vec<String>,
    pub(super) manifests: Vec<String>,
    /// The packages of the lock file.
    pub(super) lock: Vec<String>,
    /// Names of functions and variables, as often as they are used.
    names: Vec<String>,
    /// Which words stand behind a word.
    next: BTreeMap<String, Vec<String>>,
    words: Vec<String>,
}

impl Sources {
    /// Reads the workspace that this package is part of.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read() -> io::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .ancestors()
            .find(|folder| folder.join("Cargo.lock").is_file())
            .ok_or_else(|| io::Error::other("no workspace around this package"))?;
        Self::of(root)
    }

    /// Reads the workspace in this folder.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn of(root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for folder in ["crates", "bins"] {
            walk(&root.join(folder), &mut files)?;
        }
        let mut sources = Self {
            rust: Vec::new(),
            markdown: Vec::new(),
            manifests: Vec::new(),
            lock: Vec::new(),
            names: Vec::new(),
            next: BTreeMap::new(),
            words: Vec::new(),
        };
        files.extend(
            ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Cargo.toml"]
                .map(|name| root.join(name)),
        );
        for file in files {
            let name = file
                .strip_prefix(root)
                .unwrap_or(&file)
                .display()
                .to_string();
            let text = fs::read_to_string(&file)?;
            if name.ends_with(".rs") {
                // Tests hold what looks like secrets.
                let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
                sources.rust.push((name, code.to_owned()));
            } else if name.ends_with(".md") {
                sources.markdown.push(text);
            } else {
                sources.manifests.push(text);
            }
        }
        let lock = fs::read_to_string(root.join("Cargo.lock"))?;
        sources.lock = lock.split("\n\n").map(str::to_owned).collect();
        sources.learn();
        Ok(sources)
    }

    /// Collects the words of prose and the names of code.
    fn learn(&mut self) {
        let comments = self.rust.iter().flat_map(|(_, code)| code.lines());
        let comments = comments.filter_map(|line| Some(line.trim_start().split_once("// ")?.1));
        let lines = self
            .markdown
            .iter()
            .flat_map(|text| text.lines())
            .chain(comments);
        for line in lines {
            let is_word = |word: &&str| {
                let bare = word.trim_end_matches([',', '.', ':', ';']);
                !bare.is_empty()
                    && bare
                        .bytes()
                        .all(|byte| byte.is_ascii_alphabetic() || byte == b'\'')
            };
            let words: Vec<&str> = line.split(' ').filter(is_word).collect();
            for pair in words.windows(2) {
                let behind = self.next.entry(pair[0].to_owned()).or_default();
                behind.push(pair[1].to_owned());
                self.words.push(pair[0].to_owned());
            }
        }
        for (_, code) in &self.rust {
            let code = code.lines().filter(|line| !line.contains("//"));
            let names = code.flat_map(|line| {
                line.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
            });
            let names = names.filter(|name| {
                name.len() > 2 && name.starts_with(|first: char| first.is_ascii_lowercase())
            });
            self.names.extend(names.map(str::to_owned));
        }
    }

    /// A name in snake case.
    pub(super) fn name<'a>(&'a self, random: &mut Random) -> &'a str {
        &self.names[random.below(self.names.len())]
    }

    /// A word of prose in lower case, without punctuation.
    pub(super) fn word(&self, random: &mut Random) -> String {
        let word = &self.words[random.below(self.words.len())];
        word.trim_end_matches([',', '.', ':', ';']).to_lowercase()
    }

    /// A sentence whose words follow each other as they do in the sources.
    pub(super) fn sentence(&self, random: &mut Random) -> String {
        let mut word = &self.words[random.below(self.words.len())];
        let wanted = random.within(5, 22);
        let mut out = String::new();
        for _ in 0..wanted {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word.trim_end_matches(['.', ':', ';']));
            word = match self.next.get(word) {
                Some(behind) => &behind[random.below(behind.len())],
                None => &self.words[random.below(self.words.len())],
            };
        }
        let end = out.trim_end_matches([',', '.', ':', ';']).len();
        out.truncate(end);
        out.push('.');
        out[..1].to_uppercase() + &out[1..]
    }

    /// A Rust file of at least some lines.
    pub(super) fn file<'a>(&'a self, random: &mut Random) -> (&'a str, Vec<&'a str>) {
        let (path, code) = &self.rust[random.below(self.rust.len())];
        (path, code.lines().collect())
    }

    /// The path of a file.
    pub(super) fn path<'a>(&'a self, random: &mut Random) -> &'a str {
        &self.rust[random.below(self.rust.len())].0
    }
}

/// The sources under a folder, in order of their names, without tests, rules and test data.
fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if path.is_dir() {
            if !["tests", "rules", "testdata", "cookbook", "target", "it"].contains(&&*name)
                || path.ends_with("src/rules")
            {
                walk(&path, into)?;
            }
        } else if name == "Cargo.toml"
            || name.ends_with(".md")
            || (name.ends_with(".rs") && name != "tests.rs")
        {
            into.push(path);
        }
    }
    Ok(())
}
