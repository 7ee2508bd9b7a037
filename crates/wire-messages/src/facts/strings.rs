//! Walking through what has no meaning here, for its texts.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::asked::Asked;
use crate::Place;

/// Members that hold what the API has signed or encrypted, in blocks that it wrote itself.
const SEALED: [&str; 4] = [
    "signature",
    "encrypted_content",
    "encrypted_index",
    "encrypted_stdout",
];

/// Anything shorter is worth the look, whatever it is called.
const OPAQUE_LENGTH: usize = 64;

/// A string, borrowed where it has no escapes.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// What kind of value there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Null,
    /// A number or a truth value.
    Scalar,
    /// A string, a list or an object.
    Something,
}

impl Shape {
    /// Whether something is there: a string, a list or an object, but not `null`.
    pub(super) fn presence<E: Error>(self) -> Result<bool, E> {
        match self {
            Self::Null => Ok(false),
            Self::Something => Ok(true),
            Self::Scalar => Err(E::custom("neither a string, a list nor an object")),
        }
    }
}

/// Takes every string of a value.
pub(super) struct Strings<'a, 's> {
    asked: &'a mut Asked<'s>,
    place: Place<'a>,
    bytes: Bytes,
}

/// What may be bytes instead of text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    /// Nothing.
    Nowhere,
    /// What stands under one of the known names further in.
    ByName,
    /// This value, if it is base64.
    Base64,
    /// This value, if it is long and base64, and then it is noted.
    Data,
    /// This value, if it is long and base64. Only the API can make it and only the API reads it.
    Sealed,
}

impl Bytes {
    /// What a member of this name may be, where names tell.
    fn named(name: &str) -> Self {
        match name {
            "data" => Self::Data,
            _ if SEALED.contains(&name) => Self::Sealed,
            _ => Self::ByName,
        }
    }
}

impl<'a, 's> Strings<'a, 's> {
    /// All strings of the value are texts.
    pub(super) fn new(asked: &'a mut Asked<'s>, place: Place<'a>) -> Self {
        let bytes = Bytes::Nowhere;
        Self {
            asked,
            place,
            bytes,
        }
    }

    /// The same for the member `name` of a block that may hold binary parts under names known for
    /// it.
    pub(super) fn with_bytes(asked: &'a mut Asked<'s>, place: Place<'a>, name: &str) -> Self {
        let bytes = Bytes::named(name);
        Self {
            asked,
            place,
            bytes,
        }
    }

    /// The value is a string of base64; if it is none, it is a text like any other.
    pub(super) fn base64(asked: &'a mut Asked<'s>, place: Place<'a>) -> Self {
        let bytes = Bytes::Base64;
        Self {
            asked,
            place,
            bytes,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strings<'_, '_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Shape, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_, '_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
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
        let is_bytes = match self.bytes {
            Bytes::Nowhere | Bytes::ByName => false,
            Bytes::Base64 => is_base64(text),
            Bytes::Data | Bytes::Sealed => text.len() >= OPAQUE_LENGTH && is_base64(text),
        };
        if !is_bytes {
            self.asked.text(self.place, text);
        } else if self.bytes == Bytes::Data {
            self.asked.unknown("binary");
        }
        Ok(Shape::Something)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        while seq
            .next_element_seed(Strings {
                asked: &mut *self.asked,
                ..self
            })?
            .is_some()
        {}
        Ok(Shape::Something)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            self.asked.name(self.place, &name);
            let bytes = match self.bytes {
                Bytes::Nowhere => Bytes::Nowhere,
                _ => Bytes::named(&name),
            };
            map.next_value_seed(Strings {
                asked: &mut *self.asked,
                place: self.place,
                bytes,
            })?;
        }
        Ok(Shape::Something)
    }
}

/// Whether a string holds nothing but the letters of base64, either alphabet.
fn is_base64(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte))
}

/// The members of an object one of which says how the others are to be read.
pub(super) trait Members<'de> {
    /// The name of that member.
    const KIND: &'static str;

    /// What it says. Comes before all members; empty when it is not there.
    fn kind(&mut self, kind: &str);

    /// Another member. What should be an object and is none comes as one without a name.
    fn member<D: Deserializer<'de>>(&mut self, name: &str, value: D) -> Result<(), D::Error>;

    /// There are no more.
    fn end(self);
}

/// Reads an object by its [`Members`].
///
/// Members that stand before the one that says what they are wait as they came, so nothing is
/// copied, and there are at most [`json::MAX_MEMBERS`](crate::json::MAX_MEMBERS) of them.
pub(super) struct ByKind<M>(pub(super) M);

/// The value of one member.
struct Member<'a, M> {
    members: &'a mut M,
    name: &'a str,
}

impl<'de, M: Members<'de>> DeserializeSeed<'de> for Member<'_, M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.members.member(self.name, deserializer)
    }
}

impl<'de, M: Members<'de>> DeserializeSeed<'de> for ByKind<M> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, M: Members<'de>> Visitor<'de> for ByKind<M> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.0.kind("");
        self.0.member("", text.into_deserializer())?;
        self.0.end();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.0.kind("");
        while seq
            .next_element_seed(Member {
                members: &mut self.0,
                name: "",
            })?
            .is_some()
        {}
        self.0.end();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let members = &mut self.0;
        let mut waiting: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        let mut known = false;
        while let Some(Text(name)) = map.next_key()? {
            if known {
                let name = &*name;
                map.next_value_seed(Member { members, name })?;
            } else if name == M::KIND {
                let raw: &'de RawValue = map.next_value()?;
                match serde_json::from_str(raw.get()) {
                    Ok(Text(kind)) => members.kind(&kind),
                    Err(_) => {
                        members.kind("");
                        waiting.push((name, raw));
                    }
                }
                take(members, &mut waiting)?;
                known = true;
            } else {
                waiting.push((name, map.next_value()?));
            }
        }
        if !known {
            members.kind("");
            take(members, &mut waiting)?;
        }
        self.0.end();
        Ok(())
    }
}

/// Takes the members that had to wait.
fn take<'de, E: Error>(
    members: &mut impl Members<'de>,
    waiting: &mut Vec<(Cow<'de, str>, &'de RawValue)>,
) -> Result<(), E> {
    for (name, raw) in waiting.drain(..) {
        let mut value = serde_json::Deserializer::from_str(raw.get());
        members
            .member(&name, &mut value)
            .map_err(|_| E::custom("member of another type"))?;
    }
    Ok(())
}
