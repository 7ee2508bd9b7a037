//! One pass over a request's body that keeps names and counts, and hands the texts on.
//!
//! Lists are folded while they are read: a body of millions of empty objects costs no memory.

use std::fmt;

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{
    asked::Asked,
    content::{Content, Turns},
    list::{Choice, Entries},
    strings::{Strings, Text},
};
use crate::Place;

/// Reads the parameters of one message.
pub(super) struct Message<'a, 's> {
    asked: &'a mut Asked<'s>,
}

impl<'a, 's> Message<'a, 's> {
    pub(super) const fn new(asked: &'a mut Asked<'s>) -> Self {
        Self { asked }
    }
}

impl<'de> DeserializeSeed<'de> for Message<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Message<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the parameters of a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { asked } = self;
        let mut with_model = false;
        let mut with_messages = false;
        while let Some(Text(field)) = map.next_key()? {
            match &*field {
                "model" => {
                    asked.at = "model";
                    let Text(model) = map.next_value()?;
                    asked.model("model", &model);
                    asked.model = Some(model.into_owned());
                    with_model = true;
                }
                "messages" => {
                    asked.at = "messages";
                    let count = map.next_value_seed(Turns(asked))?;
                    with_messages = count.is_some();
                    asked.messages = asked.messages.saturating_add(count.unwrap_or(0));
                }
                "max_tokens" => {
                    asked.at = "max_tokens";
                    asked.max_tokens = asked.max_tokens.max(map.next_value()?);
                }
                "stream" => {
                    asked.at = "stream";
                    asked.stream |= map.next_value::<Option<bool>>()?.unwrap_or(false);
                }
                "system" => {
                    asked.at = "system";
                    let shape = map.next_value_seed(Content::new(asked, Place::System))?;
                    asked.system |= shape.presence()?;
                }
                "container" => {
                    asked.at = "container";
                    let shape = map.next_value_seed(Strings::new(asked, Place::Other))?;
                    asked.container |= shape.presence()?;
                }
                "thinking" => {
                    asked.at = "thinking";
                    let thinking = map.next_value_seed(Choice(asked))?;
                    asked.thinking |= thinking.is_some_and(|kind| kind != "disabled");
                }
                "tool_choice" => {
                    asked.at = "tool_choice";
                    let choice = map.next_value_seed(Choice(asked))?;
                    asked.tool_choice = choice.map(|kind| kind.into_owned());
                }
                "fallbacks" => {
                    asked.at = "fallbacks";
                    map.next_value_seed(Entries {
                        asked,
                        place: Place::Other,
                        take: Asked::fallback,
                    })?;
                }
                "tools" => {
                    asked.at = "tools";
                    map.next_value_seed(Entries {
                        asked,
                        place: Place::ToolDefinition,
                        take: Asked::tool,
                    })?;
                }
                "mcp_servers" => {
                    asked.at = "mcp_servers";
                    map.next_value_seed(Entries {
                        asked,
                        place: Place::Other,
                        take: Asked::mcp_server,
                    })?;
                }
                _ => {
                    asked.name(Place::Other, &field);
                    map.next_value_seed(Strings::new(asked, Place::Other))?;
                }
            }
            asked.at = "body";
        }
        asked.without_model |= !with_model;
        asked.without_messages |= !with_messages;
        asked.calls.end();
        Ok(())
    }
}

/// Reads a batch: how many requests it has, if it says.
pub(super) struct Batch<'a, 's> {
    asked: &'a mut Asked<'s>,
}

impl<'a, 's> Batch<'a, 's> {
    pub(super) const fn new(asked: &'a mut Asked<'s>) -> Self {
        Self { asked }
    }
}

impl<'de> DeserializeSeed<'de> for Batch<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Batch<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a batch of requests")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { asked } = self;
        let mut requests = None;
        while let Some(Text(name)) = map.next_key()? {
            if name == "requests" {
                asked.at = "requests";
                requests = Some(map.next_value_seed(Requests { asked })?);
                asked.at = "body";
            } else {
                asked.name(Place::Other, &name);
                map.next_value_seed(Strings::new(asked, Place::Other))?;
            }
        }
        Ok(requests)
    }
}

/// Reads the list of a batch's requests: how many there are.
struct Requests<'a, 's> {
    asked: &'a mut Asked<'s>,
}

impl<'de> DeserializeSeed<'de> for Requests<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Requests<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(()) = seq.next_element_seed(Request {
            asked: &mut *self.asked,
        })? {
            count += 1;
        }
        Ok(count)
    }
}

/// Reads one request of a batch.
struct Request<'a, 's> {
    asked: &'a mut Asked<'s>,
}

impl<'de> DeserializeSeed<'de> for Request<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request of a batch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { asked } = self;
        let mut with_params = false;
        while let Some(Text(name)) = map.next_key()? {
            if name == "params" {
                asked.at = "params";
                map.next_value_seed(Message::new(asked))?;
                with_params = true;
            } else {
                asked.name(Place::Other, &name);
                map.next_value_seed(Strings::new(asked, Place::Other))?;
            }
            asked.at = "requests";
        }
        if with_params {
            Ok(())
        } else {
            Err(A::Error::missing_field("params"))
        }
    }
}
