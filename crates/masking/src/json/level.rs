//! What is known of an open object or array.

use std::ops::Range;

use crate::engine::Rules;

/// The longest name that says something of the texts under it.
pub(super) const MAX_NAME: usize = 40;

/// Members of the Messages API that hold no text, with the `type` of the object they are in. What
/// is in them is signed, encrypted or a picture; changing it breaks it, and nothing can be read in
/// it. They count only outside tool inputs, and only where they are made of base64.
const OPAQUE_MEMBERS: &[(&[u8], &[&[u8]])] = &[
    (b"data", &[b"base64", b"redacted_thinking"]),
    (b"signature", &[b"thinking", b"signature_delta"]),
    (b"encrypted_content", &[b"web_search_result", b"compaction"]),
    (b"encrypted_index", &[b"web_search_result_location"]),
    (b"encrypted_stdout", &[b"encrypted_code_execution_result"]),
];

/// An open object or array.
#[derive(Debug, Default)]
pub(super) struct Level {
    pub is_object: bool,
    /// The input of a tool, in which names mean what the tool wants.
    pub in_input: bool,
    /// Tells objects apart.
    pub number: u32,
    /// What the value that comes next is called, or the array as a whole.
    pub name: Name,
    /// The rules for the value that comes next.
    pub members: Rules,
    /// The rules for everything in it.
    pub within: Rules,
    /// Which of [`OPAQUE_MEMBERS`] comes next.
    pub opaque: Option<usize>,
    /// What may hold no text, depending on the object's type.
    pub deferred: Vec<Deferred>,
    pub is_input: bool,
    pub is_type: bool,
    pub types: Vec<Range<usize>>,
}

/// A value of which only the end of its object tells whether it is a text.
#[derive(Debug)]
pub(super) struct Deferred {
    pub range: Range<usize>,
    pub name: Name,
    pub rules: Rules,
    member: usize,
}

impl Level {
    /// What is around a document that stands under a name.
    pub(super) fn named(name: Name, rules: Rules) -> Self {
        Self {
            name,
            within: rules,
            ..Self::default()
        }
    }

    /// Goes to the member of this name.
    pub(super) fn enter(&mut self, name: &[u8], rules: Rules) {
        self.members = rules;
        self.name = Name::of(name);
        self.opaque = OPAQUE_MEMBERS.iter().position(|(known, _)| *known == name);
        self.is_type = name == b"type";
        self.is_input = name == b"input";
    }

    /// The rules for the value that comes next.
    pub(super) fn rules(&self) -> Rules {
        if self.members.is_empty() {
            self.within
        } else {
            self.members
        }
    }

    pub(super) fn defer(&mut self, member: usize, range: Range<usize>) {
        self.deferred.push(Deferred {
            range,
            name: self.name,
            rules: self.rules(),
            member,
        });
    }
}

impl Deferred {
    /// Whether an object with these values for its type says that this is no text.
    pub(super) fn is_opaque(&self, document: &[u8], types: &[Range<usize>]) -> bool {
        match types {
            [only] => OPAQUE_MEMBERS[self.member]
                .1
                .contains(&&document[only.clone()]),
            _ => false,
        }
    }
}

/// An ordinary name of a member. It stands before what is in the member, as it would in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    bytes: [u8; MAX_NAME],
    length: usize,
}

impl Name {
    /// The name, if it is an ordinary one.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is_ordinary =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ');
        let mut short = Self::default();
        if name.len() <= MAX_NAME && name.iter().all(is_ordinary) {
            short.bytes[..name.len()].copy_from_slice(name);
            short.length = name.len();
        }
        short
    }

    /// The name, or nothing.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Default for Name {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_NAME],
            length: 0,
        }
    }
}
