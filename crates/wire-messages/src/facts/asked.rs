//! What has been asked for so far.

use std::collections::BTreeSet;

use super::{MAX_NAME, MAX_NAMES, host, list::Entry};
use crate::{Place, json};

/// What has been asked for so far, by one request or by all of a batch, and where its texts go.
pub(super) struct Asked<'s> {
    /// The field that is being read, so that an error can name it without quoting the body.
    pub(super) at: &'static str,
    /// The model of the last request read.
    pub(super) model: Option<String>,
    pub(super) models: Names,
    pub(super) messages: usize,
    pub(super) max_tokens: Option<i64>,
    pub(super) stream: bool,
    pub(super) thinking: bool,
    pub(super) system: bool,
    pub(super) container: bool,
    pub(super) tools: Names,
    pub(super) tool_choice: Option<String>,
    pub(super) mcp_servers: Names,
    pub(super) calls: Calls,
    /// A field with too many names, or one too long.
    pub(super) too_many: Option<&'static str>,
    pub(super) without_model: bool,
    pub(super) without_messages: bool,
    unknown: BTreeSet<&'static str>,
    out: &'s mut dyn FnMut(Place<'_>, &str),
}

impl<'s> Asked<'s> {
    pub(super) fn new(out: &'s mut dyn FnMut(Place<'_>, &str)) -> Self {
        Self {
            at: "body",
            model: None,
            models: Names::default(),
            messages: 0,
            max_tokens: None,
            stream: false,
            thinking: false,
            system: false,
            container: false,
            tools: Names::default(),
            tool_choice: None,
            mcp_servers: Names::default(),
            calls: Calls::default(),
            too_many: None,
            without_model: false,
            without_messages: false,
            unknown: BTreeSet::new(),
            out,
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, place: Place<'_>, text: &str) {
        if !text.is_empty() {
            (self.out)(place, text);
        }
    }

    /// Takes the name or kind of something. A plain name is no text.
    pub(super) fn name(&mut self, place: Place<'_>, name: &str) {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
        if !name.bytes().all(plain) {
            self.text(place, name);
        }
    }

    /// Notes a part that nobody can read.
    pub(super) fn unknown(&mut self, part: &'static str) {
        self.unknown.insert(part);
    }

    pub(super) fn unknown_parts(&self) -> BTreeSet<String> {
        self.unknown.iter().copied().map(str::to_owned).collect()
    }

    pub(super) fn model(&mut self, field: &'static str, name: &str) {
        if !self.models.insert(name) {
            self.too_many.get_or_insert(field);
        }
    }

    pub(super) fn fallback(&mut self, entry: Entry<'_>) -> bool {
        entry
            .model
            .map(|model| self.model("fallbacks", &model))
            .is_some()
    }

    /// Takes a tool: under its name, and under its type if the API itself defines it.
    pub(super) fn tool(&mut self, entry: Entry<'_>) -> bool {
        if let Some(model) = &entry.model {
            self.model("tools", model);
        }
        let kind = entry.kind.filter(|kind| kind != "custom");
        let named = kind.is_some() || entry.name.is_some();
        for name in kind.into_iter().chain(entry.name) {
            if !self.tools.insert(&name) {
                self.too_many.get_or_insert("tools");
            }
        }
        named
    }

    pub(super) fn mcp_server(&mut self, entry: Entry<'_>) -> bool {
        let host = entry.url.and_then(|url| host::of(&url));
        let host = host.as_deref().unwrap_or("unknown");
        self.text(Place::McpServer, host);
        if !self.mcp_servers.insert(host) {
            self.too_many.get_or_insert("mcp_servers");
        }
        true
    }
}

/// Different names, within limits.
#[derive(Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Adds a name unless it is empty. `false` if it is too long or one too many.
    #[must_use]
    pub(super) fn insert(&mut self, name: &str) -> bool {
        if name.is_empty() || self.0.contains(name) {
            return true;
        }
        let fits = name.len() <= MAX_NAME && self.0.len() < MAX_NAMES;
        if fits {
            self.0.insert(name.to_owned());
        }
        fits
    }

    pub(super) fn into_set(self) -> BTreeSet<String> {
        self.0
    }
}

/// The tool calls of a conversation, as far as they tell whether it goes in a circle.
#[derive(Default)]
pub(super) struct Calls {
    /// The last call: the tool, and its input in canonical form.
    last: Option<(String, Vec<u8>)>,
    /// How often it was made in a row.
    run: usize,
    most: usize,
}

impl Calls {
    /// Takes the next call. `input` is JSON.
    pub(super) fn take(&mut self, tool: &str, input: &str) {
        let input = json::canonical(input.as_bytes());
        match &self.last {
            Some((last, same)) if last == tool && *same == input => self.run += 1,
            _ => {
                self.last = Some((tool.to_owned(), input));
                self.run = 1;
            }
        }
    }

    /// The conversation is over; the next one of a batch begins.
    pub(super) fn end(&mut self) {
        self.most = self.most.max(self.run);
        self.last = None;
        self.run = 0;
    }

    /// The longest run at the end of a conversation.
    pub(super) const fn most(&self) -> usize {
        self.most
    }
}
