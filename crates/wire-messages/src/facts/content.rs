//! The turns of a conversation and the blocks that they are made of.
//!
//! Blocks are an open list. One that is not known here is walked through for its texts: nothing is
//! skipped because nobody knows what it is.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    asked::Asked,
    strings::{ByKind, Members, Shape, Strings, Text},
};
use crate::{Place, json};

/// Reads the turns of a conversation, or `null`: how many there are.
pub(super) struct Turns<'a, 's>(pub(super) &'a mut Asked<'s>);

impl<'de> DeserializeSeed<'de> for Turns<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Turns<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of turns")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut count = 0_usize;
        while seq
            .next_element_seed(ByKind(Turn {
                asked: &mut *self.0,
                place: Place::Other,
            }))?
            .is_some()
        {
            count += 1;
        }
        Ok(Some(count))
    }
}

/// One turn: a role and what it says.
struct Turn<'a, 's> {
    asked: &'a mut Asked<'s>,
    place: Place<'static>,
}

impl<'de> Members<'de> for Turn<'_, '_> {
    const KIND: &'static str = "role";

    fn kind(&mut self, role: &str) {
        self.asked.name(Place::Other, role);
        self.place = match role {
            "user" => Place::UserText,
            "assistant" => Place::AssistantText,
            "system" => Place::System,
            _ => Place::Other,
        };
    }

    fn member<D: Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error> {
        if name == "content" {
            Content::new(self.asked, self.place)
                .deserialize(value)
                .map(drop)
        } else {
            self.asked.name(Place::Other, name);
            Strings::new(self.asked, Place::Other)
                .deserialize(value)
                .map(drop)
        }
    }

    fn end(self) {}
}

/// What somebody says: a text, or blocks.
pub(super) struct Content<'a, 's> {
    asked: &'a mut Asked<'s>,
    place: Place<'a>,
}

impl<'a, 's> Content<'a, 's> {
    pub(super) const fn new(asked: &'a mut Asked<'s>, place: Place<'a>) -> Self {
        Self { asked, place }
    }
}

impl<'de> DeserializeSeed<'de> for Content<'_, '_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Content<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or blocks")
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Scalar)
    }

    fn visit_str<E>(self, text: &str) -> Result<Shape, E> {
        self.asked.text(self.place, text);
        Ok(Shape::Something)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        while seq
            .next_element_seed(ByKind(Block::new(self.asked, self.place)))?
            .is_some()
        {}
        Ok(Shape::Something)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Shape, A::Error> {
        ByKind(Block::new(self.asked, self.place)).visit_map(map)?;
        Ok(Shape::Something)
    }
}

/// One block.
struct Block<'a, 's, 'de> {
    asked: &'a mut Asked<'s>,
    /// Where a plain text in it stands.
    place: Place<'a>,
    kind: Kind,
    tool: Option<Cow<'de, str>>,
    input: Option<&'de RawValue>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    /// A call that the client carries out.
    Call,
    /// A call that the API has carried out.
    CalledAlready,
    Result,
    /// The result of what the API has called, in a form of its own.
    ResultOfApi,
    Image,
    Document,
    SearchResult,
    File,
    Other,
}

impl<'a, 's> Block<'a, 's, '_> {
    const fn new(asked: &'a mut Asked<'s>, place: Place<'a>) -> Self {
        Self {
            asked,
            place,
            kind: Kind::Other,
            tool: None,
            input: None,
        }
    }
}

impl<'de> Members<'de> for Block<'_, '_, 'de> {
    const KIND: &'static str = "type";

    fn kind(&mut self, kind: &str) {
        self.asked.name(Place::Other, kind);
        self.kind = match kind {
            "text" => Kind::Text,
            "thinking" | "redacted_thinking" => Kind::Thinking,
            "tool_use" => Kind::Call,
            "server_tool_use" | "mcp_tool_use" => Kind::CalledAlready,
            "tool_result" | "mcp_tool_result" => Kind::Result,
            "image" => Kind::Image,
            "document" => Kind::Document,
            "search_result" => Kind::SearchResult,
            "container_upload" => Kind::File,
            _ if kind.ends_with("_tool_result") => Kind::ResultOfApi,
            _ => Kind::Other,
        };
        if self.kind == Kind::File {
            self.asked.unknown("files");
        }
    }

    fn member<D: Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error> {
        self.asked.name(Place::Other, name);
        let Self { asked, place, .. } = self;
        let place = *place;
        match (self.kind, name) {
            (Kind::Text, "text") => Strings::new(asked, place).deserialize(value).map(drop),
            (Kind::Thinking, "thinking") => Strings::new(asked, Place::Thinking)
                .deserialize(value)
                .map(drop),
            (Kind::Thinking, "signature" | "data") => Strings::base64(asked, Place::Other)
                .deserialize(value)
                .map(drop),
            (Kind::Call | Kind::CalledAlready, "name") => {
                let raw = <&RawValue>::deserialize(value)?;
                match serde_json::from_str(raw.get()) {
                    Ok(Text(tool)) => self.tool = Some(tool),
                    Err(_) => asked.text(Place::Other, raw.get()),
                }
                Ok(())
            }
            (Kind::Call | Kind::CalledAlready, "input") => {
                self.input = Some(<&RawValue>::deserialize(value)?);
                Ok(())
            }
            (Kind::Result, "content") => Content::new(asked, Place::ToolResult)
                .deserialize(value)
                .map(drop),
            (Kind::ResultOfApi, _) => Strings::with_bytes(asked, Place::ToolResult, name)
                .deserialize(value)
                .map(drop),
            (Kind::Image, "source") => {
                ByKind(Source::new(asked, "images", place)).deserialize(value)
            }
            (Kind::Document, "source") => {
                ByKind(Source::new(asked, "documents", Place::Document)).deserialize(value)
            }
            (Kind::SearchResult, "content") => Content::new(asked, Place::Document)
                .deserialize(value)
                .map(drop),
            (Kind::Document | Kind::SearchResult, _) => Strings::new(asked, Place::Document)
                .deserialize(value)
                .map(drop),
            _ => Strings::with_bytes(asked, Place::Other, name)
                .deserialize(value)
                .map(drop),
        }
    }

    fn end(self) {
        let tool = self.tool.unwrap_or_default();
        if let Some(raw) = self.input {
            input(self.asked, &tool, raw.get());
            if self.kind == Kind::Call {
                self.asked.calls.take(&tool, raw.get());
            }
        }
        self.asked.name(Place::Other, &tool);
    }
}

/// Takes the texts of a call's input, which is strict JSON.
pub(super) fn input(asked: &mut Asked<'_>, tool: &str, json: &str) {
    let place = Place::ToolUse(tool);
    let mut value = serde_json::Deserializer::from_str(json);
    // It has been checked, so this reading cannot fail; were it to, the text itself is looked at.
    let shape = Strings::new(asked, place).deserialize(&mut value);
    if shape.is_err() || json.starts_with(['{', '[']) {
        asked.text(place, &json::compact(json));
    }
}

/// Where an image or a document comes from.
struct Source<'a, 's> {
    asked: &'a mut Asked<'s>,
    /// What it is called when nobody can read it.
    part: &'static str,
    /// Where its texts stand.
    place: Place<'a>,
    kind: From,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Text,
    Blocks,
    Base64,
    Elsewhere,
}

impl<'a, 's> Source<'a, 's> {
    const fn new(asked: &'a mut Asked<'s>, part: &'static str, place: Place<'a>) -> Self {
        Self {
            asked,
            part,
            place,
            kind: From::Elsewhere,
        }
    }
}

impl<'de> Members<'de> for Source<'_, '_> {
    const KIND: &'static str = "type";

    fn kind(&mut self, kind: &str) {
        self.asked.name(Place::Other, kind);
        self.kind = match kind {
            "text" => From::Text,
            "content" => From::Blocks,
            "base64" => From::Base64,
            _ => From::Elsewhere,
        };
        match (self.kind, kind) {
            (From::Text | From::Blocks, _) => {}
            (_, "file") => self.asked.unknown("files"),
            _ => self.asked.unknown(self.part),
        }
    }

    fn member<D: Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error> {
        self.asked.name(Place::Other, name);
        let asked = &mut *self.asked;
        match (self.kind, name) {
            (From::Base64, "data") => Strings::base64(asked, self.place)
                .deserialize(value)
                .map(drop),
            (From::Text, "data") => Strings::new(asked, self.place).deserialize(value).map(drop),
            (From::Blocks, "content") => {
                Content::new(asked, self.place).deserialize(value).map(drop)
            }
            _ => Strings::new(asked, Place::Other)
                .deserialize(value)
                .map(drop),
        }
    }

    fn end(self) {}
}
