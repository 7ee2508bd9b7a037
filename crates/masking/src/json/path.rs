//! Where in a document a value stands.

/// The longest path that is told whole.
const MAX_PATH: usize = 200;
const MAX_NAME: usize = 40;

/// A path such as `messages[].content[].text`.
///
/// Indices are left out, and a name that is not an ordinary one becomes `*`: names are written by
/// callers and may be long, or secret. A document that is held in a string is told as if it stood
/// in its place.
#[derive(Debug, Default)]
pub(crate) struct Path(String);

impl Path {
    /// The length to come back to with [`Path::truncate`].
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.0.truncate(length);
    }

    /// Goes to a member. `None` is one whose name must not be told.
    pub(crate) fn push_member(&mut self, name: Option<&[u8]>) {
        if !self.0.is_empty() {
            self.0.push('.');
        }
        let is_ordinary = |name: &&str| {
            (1..=MAX_NAME).contains(&name.len())
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let name = name
            .and_then(|name| std::str::from_utf8(name).ok())
            .filter(is_ordinary);
        self.0.push_str(name.unwrap_or("*"));
    }

    /// Goes to the elements of an array.
    pub(crate) fn push_elements(&mut self) {
        self.0.push_str("[]");
    }

    /// The path as it is told, and on to `inner` in the document that the value is.
    pub(crate) fn told_with(&self, inner: &str) -> String {
        let dot = if self.0.is_empty() || inner.is_empty() || inner.starts_with('[') {
            ""
        } else {
            "."
        };
        let told = format!("{}{dot}{inner}", self.0);
        // The path is ASCII, so it can be cut anywhere.
        match told.get(..MAX_PATH) {
            Some(start) if told.len() > MAX_PATH => format!("{start}*"),
            _ => told,
        }
    }
}
