//! One pass over a request's body that keeps names and counts, and skips everything else.
//!
//! Lists are folded while they are read: a body of millions of empty objects costs no memory.
//! Before a field is read its name is put into a shared place, so that an error can name it
//! without quoting the body.

use std::{borrow::Cow, cell::Cell, collections::BTreeSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{MAX_NAME, MAX_NAMES, host};

/// What has been asked for so far, by one request or by all of a batch.
#[derive(Default)]
pub(super) struct Asked {
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
    /// A field with too many names, or one too long.
    pub(super) too_many: Option<&'static str>,
    pub(super) without_model: bool,
    pub(super) without_messages: bool,
}

impl Asked {
    fn model(&mut self, field: &'static str, name: &str) {
        if !self.models.insert(name) {
            self.too_many.get_or_insert(field);
        }
    }

    fn fallback(&mut self, entry: Entry<'_>) -> bool {
        entry
            .model
            .map(|model| self.model("fallbacks", &model))
            .is_some()
    }

    /// Takes a tool: under its name, and under its type if the API itself defines it.
    fn tool(&mut self, entry: Entry<'_>) -> bool {
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

    fn mcp_server(&mut self, entry: Entry<'_>) -> bool {
        let host = entry.url.and_then(|url| host::of(&url));
        if !self
            .mcp_servers
            .insert(host.as_deref().unwrap_or("unknown"))
        {
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

/// Reads the parameters of one message.
pub(super) struct Message<'a> {
    asked: &'a mut Asked,
    place: &'a Cell<&'static str>,
}

impl<'a> Message<'a> {
    pub(super) fn new(asked: &'a mut Asked, place: &'a Cell<&'static str>) -> Self {
        Self { asked, place }
    }
}

/// The fields that hold facts.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Model,
    Fallbacks,
    Messages,
    MaxTokens,
    Stream,
    Thinking,
    System,
    Container,
    Tools,
    ToolChoice,
    McpServers,
    #[serde(other)]
    Other,
}

impl Field {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Fallbacks => "fallbacks",
            Self::Messages => "messages",
            Self::MaxTokens => "max_tokens",
            Self::Stream => "stream",
            Self::Thinking => "thinking",
            Self::System => "system",
            Self::Container => "container",
            Self::Tools => "tools",
            Self::ToolChoice => "tool_choice",
            Self::McpServers => "mcp_servers",
            Self::Other => "body",
        }
    }
}

impl<'de> DeserializeSeed<'de> for Message<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters of a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { asked, place } = self;
        let mut with_model = false;
        let mut with_messages = false;
        while let Some(field) = map.next_key::<Field>()? {
            place.set(field.as_str());
            match field {
                Field::Model => {
                    let Text(model) = map.next_value()?;
                    asked.model("model", &model);
                    asked.model = Some(model.into_owned());
                    with_model = true;
                }
                Field::Messages => {
                    let mut count = 0_usize;
                    with_messages = map.next_value_seed(each(|_: IgnoredAny| {
                        count += 1;
                        true
                    }))?;
                    asked.messages = asked.messages.saturating_add(count);
                }
                Field::MaxTokens => {
                    asked.max_tokens = asked.max_tokens.max(map.next_value()?);
                }
                Field::Stream => {
                    asked.stream |= map.next_value::<Option<bool>>()?.unwrap_or(false);
                }
                Field::System => asked.system |= map.next_value::<Presence>()?.0,
                Field::Container => asked.container |= map.next_value::<Presence>()?.0,
                Field::Thinking => {
                    let thinking = map.next_value::<Option<Kind<'de>>>()?;
                    asked.thinking |= thinking.is_some_and(|kind| kind.0 != "disabled");
                }
                Field::ToolChoice => {
                    let choice = map.next_value::<Option<Kind<'de>>>()?;
                    asked.tool_choice = choice.map(|kind| kind.0.into_owned());
                }
                Field::Fallbacks => {
                    map.next_value_seed(each(|entry: Entry<'de>| asked.fallback(entry)))?;
                }
                Field::Tools => {
                    map.next_value_seed(each(|entry: Entry<'de>| asked.tool(entry)))?;
                }
                Field::McpServers => {
                    map.next_value_seed(each(|entry: Entry<'de>| asked.mcp_server(entry)))?;
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            place.set("body");
        }
        asked.without_model |= !with_model;
        asked.without_messages |= !with_messages;
        Ok(())
    }
}

/// Reads a batch: how many requests it has, if it says.
pub(super) struct Batch<'a> {
    asked: &'a mut Asked,
    place: &'a Cell<&'static str>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(asked: &'a mut Asked, place: &'a Cell<&'static str>) -> Self {
        Self { asked, place }
    }
}

impl<'de> DeserializeSeed<'de> for Batch<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of requests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut requests = None;
        while let Some(Text(name)) = map.next_key()? {
            if name == "requests" {
                self.place.set("requests");
                let list = Requests {
                    asked: &mut *self.asked,
                    place: self.place,
                };
                requests = Some(map.next_value_seed(list)?);
                self.place.set("body");
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(requests)
    }
}

/// Reads the list of a batch's requests: how many there are.
struct Requests<'a> {
    asked: &'a mut Asked,
    place: &'a Cell<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Requests<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Requests<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(()) = seq.next_element_seed(Request {
            asked: &mut *self.asked,
            place: self.place,
        })? {
            count += 1;
        }
        Ok(count)
    }
}

/// Reads one request of a batch.
struct Request<'a> {
    asked: &'a mut Asked,
    place: &'a Cell<&'static str>,
}

impl<'de> DeserializeSeed<'de> for Request<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request of a batch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut with_params = false;
        while let Some(Text(name)) = map.next_key()? {
            if name == "params" {
                self.place.set("params");
                map.next_value_seed(Message::new(&mut *self.asked, self.place))?;
                with_params = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            self.place.set("requests");
        }
        if with_params {
            Ok(())
        } else {
            Err(A::Error::missing_field("params"))
        }
    }
}

/// Reads a list, or `null` for none, and hands each element to `take` instead of keeping it.
/// `take` says whether the element is one that can be judged. The value is whether there is a list.
fn each<T, F: FnMut(T) -> bool>(take: F) -> Each<T, F> {
    Each {
        take,
        element: PhantomData,
    }
}

struct Each<T, F> {
    take: F,
    element: PhantomData<T>,
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> DeserializeSeed<'de> for Each<T, F> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Deserialize<'de>, F: FnMut(T) -> bool> Visitor<'de> for Each<T, F> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<bool, A::Error> {
        while let Some(element) = seq.next_element()? {
            if !(self.take)(element) {
                return Err(A::Error::custom("element without a name"));
            }
        }
        Ok(true)
    }
}

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// An element of a list of tools, servers or models, or a choice. Never a list: a derived reader
/// would take one in place of an object.
#[derive(Default)]
struct Entry<'a> {
    kind: Option<Cow<'a, str>>,
    name: Option<Cow<'a, str>>,
    model: Option<Cow<'a, str>>,
    url: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Entry<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Entry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entry<'de>, A::Error> {
                let mut entry = Entry::default();
                while let Some(Text(name)) = map.next_key()? {
                    let slot = match &*name {
                        "type" => &mut entry.kind,
                        "name" => &mut entry.name,
                        "model" => &mut entry.model,
                        "url" => &mut entry.url,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *slot = map
                        .next_value::<Option<Text<'de>>>()?
                        .map(|Text(text)| text);
                }
                Ok(entry)
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The `type` of an object, which must have one.
struct Kind<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Kind<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let kind = Entry::deserialize(deserializer)?.kind;
        kind.filter(|kind| kind.len() <= MAX_NAME)
            .map(Self)
            .ok_or_else(|| D::Error::missing_field("type"))
    }
}

/// Whether something is there: a string, a list or an object, but not `null`.
struct Presence(bool);

impl<'de> Deserialize<'de> for Presence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything;

        impl<'de> Visitor<'de> for Anything {
            type Value = Presence;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, a list or an object")
            }

            fn visit_unit<E: Error>(self) -> Result<Presence, E> {
                Ok(Presence(false))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Presence, E> {
                Ok(Presence(true))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Presence, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Presence(true))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Presence, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Presence(true))
            }
        }

        deserializer.deserialize_any(Anything)
    }
}
