//! What both sides agree on.

use std::{fmt, ops};

use crate::Error;

/// What a client and a server can do ("Capabilities Flags"). What holds is what both have named.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(pub u32);

impl Capabilities {
    /// The client is MySQL's, so that a MariaDB server adds none of its own capabilities.
    pub const MYSQL: Self = Self(1);
    /// Rows that were found are counted as changed.
    pub const FOUND_ROWS: Self = Self(1 << 1);
    /// Descriptions of columns have all flags.
    pub const LONG_FLAG: Self = Self(1 << 2);
    /// The client names a database where it signs in.
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    /// `database.table.column` is an error.
    pub const NO_SCHEMA: Self = Self(1 << 4);
    /// Packets are compressed.
    pub const COMPRESS: Self = Self(1 << 5);
    /// Nothing any more.
    pub const ODBC: Self = Self(1 << 6);
    /// The server may ask for files of the client's.
    pub const LOCAL_FILES: Self = Self(1 << 7);
    /// A space may stand before the parenthesis of a function.
    pub const IGNORE_SPACE: Self = Self(1 << 8);
    /// The protocol of MySQL 4.1. Nothing older is spoken here.
    pub const PROTOCOL_41: Self = Self(1 << 9);
    /// Idle sessions end after `interactive_timeout`.
    pub const INTERACTIVE: Self = Self(1 << 10);
    /// TLS.
    pub const SSL: Self = Self(1 << 11);
    /// Statuses tell of transactions.
    pub const TRANSACTIONS: Self = Self(1 << 13);
    /// Authentication as of MySQL 4.1.
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    /// A query may be several statements.
    pub const MULTI_STATEMENTS: Self = Self(1 << 16);
    /// A query may have several results.
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    /// A prepared statement may have several results.
    pub const PS_MULTI_RESULTS: Self = Self(1 << 18);
    /// Ways of authentication have names.
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    /// The client tells of itself.
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    /// What the client answers where it signs in may be longer than 250 bytes.
    pub const PLUGIN_AUTH_LENENC: Self = Self(1 << 21);
    /// A session with an expired password can be used to change it.
    pub const EXPIRED_PASSWORDS: Self = Self(1 << 22);
    /// An OK tells of changes of the session's state.
    pub const SESSION_TRACK: Self = Self(1 << 23);
    /// Rows end with an OK, and columns with nothing.
    pub const DEPRECATE_EOF: Self = Self(1 << 24);
    /// A result may come without its columns.
    pub const OPTIONAL_RESULTSET_METADATA: Self = Self(1 << 25);
    /// Packets are compressed by zstd.
    pub const COMPRESS_ZSTD: Self = Self(1 << 26);
    /// Queries have attributes before their texts.
    pub const QUERY_ATTRIBUTES: Self = Self(1 << 27);
    /// Several factors of authentication.
    pub const MULTI_FACTOR: Self = Self(1 << 28);

    /// What a gate offers its clients, apart from TLS.
    ///
    /// Not among them is what it could not look into (compression), what reaches for a client's
    /// files, and what would have statements or results come in another form.
    pub const OFFERED: Self = Self::ALWAYS.and(Self::RELAYED).and(Self::CONNECT_WITH_DB);

    /// What both sides of a gate do in any case.
    const ALWAYS: Self = Self::NEEDED
        .and(Self::MYSQL)
        .and(Self::LONG_FLAG)
        .and(Self::TRANSACTIONS)
        .and(Self::CONNECT_ATTRS)
        .and(Self::PLUGIN_AUTH_LENENC)
        .and(Self::SESSION_TRACK);

    /// What a gate asks of a server because its client has asked for it.
    const RELAYED: Self = Self::FOUND_ROWS
        .and(Self::NO_SCHEMA)
        .and(Self::ODBC)
        .and(Self::IGNORE_SPACE)
        .and(Self::INTERACTIVE)
        .and(Self::MULTI_STATEMENTS)
        .and(Self::MULTI_RESULTS)
        .and(Self::PS_MULTI_RESULTS)
        .and(Self::DEPRECATE_EOF);

    /// Without these nothing can be spoken.
    const NEEDED: Self = Self::PROTOCOL_41
        .and(Self::SECURE_CONNECTION)
        .and(Self::PLUGIN_AUTH);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both name.
    #[must_use]
    pub const fn shared(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// These, but not the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether all of `others` are among them.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// What a gate asks of a server that offers these, for a client with whom it agreed on
    /// `client`: what the client does without does not come from the server either, but for the
    /// state of the session, which the gate wants to know.
    ///
    /// What the client has and the server lacks is the gate's to make good: see
    /// [`Done::write`](crate::Done::write). TLS and a database are for the caller to add.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] if the server lacks what everything rests on.
    pub fn asked_for(self, client: Self) -> Result<Self, Error> {
        if !self.has(Self::NEEDED) {
            return Err(Error::Version);
        }
        let wanted = Self::ALWAYS.and(Self::RELAYED.shared(client));
        Ok(self.shared(wanted))
    }

    /// What holds with a client that asks for these where `offered` was offered: what both name.
    /// Some clients ask for all that they know, whatever is offered.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] for a client from before MySQL 5.5.
    pub fn agreed(self, offered: Self) -> Result<Self, Error> {
        match self.has(Self::NEEDED) {
            true => Ok(self.shared(offered)),
            false => Err(Error::Version),
        }
    }
}

impl ops::BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_not_asked_for_what_the_client_does_without() {
        let everything = Capabilities(u32::MAX);
        let plain = everything.asked_for(Capabilities::NEEDED).unwrap();
        assert_eq!(plain, Capabilities::ALWAYS);
        let several = Capabilities::NEEDED | Capabilities::MULTI_STATEMENTS;
        let asked = everything.asked_for(several).unwrap();
        assert!(asked.has(Capabilities::MULTI_STATEMENTS));
        assert!(!asked.has(Capabilities::DEPRECATE_EOF));
        let old = everything.without(Capabilities::SESSION_TRACK);
        let asked = old.asked_for(several).unwrap();
        assert!(!asked.has(Capabilities::SESSION_TRACK));
        let older = everything.without(Capabilities::PLUGIN_AUTH);
        assert_eq!(older.asked_for(several), Err(Error::Version));
    }

    #[test]
    fn what_nobody_could_look_into_is_not_offered() {
        for refused in [
            Capabilities::COMPRESS,
            Capabilities::COMPRESS_ZSTD,
            Capabilities::LOCAL_FILES,
            Capabilities::QUERY_ATTRIBUTES,
            Capabilities::OPTIONAL_RESULTSET_METADATA,
            Capabilities::MULTI_FACTOR,
            Capabilities::SSL,
        ] {
            assert!(!Capabilities::OFFERED.has(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_client_gets_no_form_that_was_not_offered() {
        let offered = Capabilities::OFFERED;
        let everything = Capabilities(u32::MAX);
        assert_eq!(everything.agreed(offered), Ok(offered));
        let old = offered.without(Capabilities::SECURE_CONNECTION);
        assert_eq!(old.agreed(offered), Err(Error::Version));
    }
}
