//! Lists of tools, servers and models, and the one choice among kinds.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{
    MAX_NAME,
    asked::Asked,
    strings::{Strings, Text},
};
use crate::Place;

/// An element of such a list, as far as it holds facts. Never a list: a derived reader would take
/// one in place of an object.
#[derive(Default)]
pub(super) struct Entry<'a> {
    pub(super) kind: Option<Cow<'a, str>>,
    pub(super) name: Option<Cow<'a, str>>,
    pub(super) model: Option<Cow<'a, str>>,
    pub(super) url: Option<Cow<'a, str>>,
}

/// Reads a list, or `null` for none, and hands each element to `take` instead of keeping it.
/// `take` says whether the element is one that can be judged.
pub(super) struct Entries<'a, 's> {
    pub(super) asked: &'a mut Asked<'s>,
    pub(super) place: Place<'a>,
    pub(super) take: fn(&mut Asked<'s>, Entry<'_>) -> bool,
}

impl<'de> DeserializeSeed<'de> for Entries<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Entries<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(entry) = seq.next_element_seed(OneEntry {
            asked: &mut *self.asked,
            place: self.place,
        })? {
            let judged = entry.is_some_and(|entry| (self.take)(self.asked, entry));
            if !judged {
                return Err(A::Error::custom("element without a name"));
            }
        }
        Ok(())
    }
}

/// The `type` of an object, which must have one, or `null`.
pub(super) struct Choice<'a, 's>(pub(super) &'a mut Asked<'s>);

impl<'de> DeserializeSeed<'de> for Choice<'_, '_> {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let entry = OneEntry {
            asked: self.0,
            place: Place::Other,
        };
        let Some(entry) = entry.deserialize(deserializer)? else {
            return Ok(None);
        };
        let kind = entry.kind.filter(|kind| kind.len() <= MAX_NAME);
        kind.map(Some)
            .ok_or_else(|| D::Error::missing_field("type"))
    }
}

/// Reads one object, or `null`. Its texts stand in `place`.
struct OneEntry<'a, 's> {
    asked: &'a mut Asked<'s>,
    place: Place<'a>,
}

impl<'de> DeserializeSeed<'de> for OneEntry<'_, '_> {
    type Value = Option<Entry<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneEntry<'_, '_> {
    type Value = Option<Entry<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Self { asked, place } = self;
        let mut entry = Entry::default();
        while let Some(Text(member)) = map.next_key()? {
            let slot = match &*member {
                "type" => &mut entry.kind,
                "name" => &mut entry.name,
                "model" => &mut entry.model,
                "url" => &mut entry.url,
                _ => {
                    asked.name(place, &member);
                    map.next_value_seed(Strings::new(asked, place))?;
                    continue;
                }
            };
            let text = map.next_value::<Option<Text<'de>>>()?;
            *slot = text.map(|Text(text)| text);
            if let Some(text) = slot {
                asked.name(place, text);
            }
        }
        Ok(Some(entry))
    }
}
