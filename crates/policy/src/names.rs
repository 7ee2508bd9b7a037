//! The entity types of the schema, parsed once.

use cedar_policy::{EntityId, EntityTypeName, EntityUid};

/// The entity types that requests and generated rules name.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    action: EntityTypeName,
    caller: EntityTypeName,
    connection: EntityTypeName,
    group: EntityTypeName,
}

impl Names {
    /// The names, or what Cedar says is wrong with one.
    pub(crate) fn new() -> Result<Self, String> {
        let parse = |name: &str| {
            name.parse::<EntityTypeName>()
                .map_err(|error| error.to_string())
        };
        Ok(Self {
            action: parse("Tollbook::Action")?,
            caller: parse("Tollbook::Caller")?,
            connection: parse("Tollbook::Connection")?,
            group: parse("Tollbook::Group")?,
        })
    }

    pub(crate) fn action(&self, name: &str) -> EntityUid {
        uid(&self.action, name)
    }

    pub(crate) fn caller(&self, issuer: &str, subject: &str) -> EntityUid {
        uid(&self.caller, &format!("{issuer}/{subject}"))
    }

    pub(crate) fn connection(&self, name: &str) -> EntityUid {
        uid(&self.connection, name)
    }

    pub(crate) fn group(&self, name: &str) -> EntityUid {
        uid(&self.group, name)
    }

    pub(crate) fn is_group(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == self.group
    }

    pub(crate) fn is_connection(&self, uid: &EntityUid) -> bool {
        *uid.type_name() == self.connection
    }
}

fn uid(of_type: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(of_type.clone(), EntityId::new(id))
}
