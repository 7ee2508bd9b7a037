//! What a client says first.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Capabilities, Error, Packet, Plugin, Proof,
    cursor::{Cursor, put_counted, put_ended, put_number, utf8},
};

/// The first message of a client, and the second where the first asks for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// TLS begins right behind this message ("Protocol::SSLRequest"). Nothing is answered, so what
    /// has come behind it belongs to TLS, and must not be read as packets.
    Tls(Capabilities),
    /// The client signs in.
    SignIn(SignIn),
}

/// How a client signs in ("Protocol::HandshakeResponse41").
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    /// What the client can do.
    pub capabilities: Capabilities,
    /// The longest message that it takes.
    pub max_message: u32,
    /// The collation of the texts that it sends, by the lower byte of its number.
    pub collation: u8,
    /// The name of the user.
    pub user: String,
    /// What proves it, in the way of `plugin`.
    pub proof: Proof,
    /// The database to begin in.
    pub database: Option<String>,
    /// The way of authentication.
    pub plugin: String,
    /// What the client tells of itself, such as its name and version.
    pub attributes: Vec<(String, String)>,
}

impl Reply {
    /// Reads what a client says to a greeting.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] for a client from before MySQL 5.5; when the message is none of these.
    pub fn read(packet: &Packet) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        let capabilities = Capabilities(cursor.u32()?);
        if !capabilities.has(Capabilities::PROTOCOL_41) {
            return Err(Error::Version);
        }
        let max_message = cursor.u32()?;
        let collation = cursor.byte()?;
        // A MariaDB client has capabilities of its own in here, if it does not name MYSQL.
        cursor.take(RESERVED)?;
        if cursor.is_empty() && capabilities.has(Capabilities::SSL) {
            return Ok(Self::Tls(capabilities));
        }
        if !capabilities.has(Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH) {
            return Err(Error::Version);
        }
        let user = cursor.text()?.to_owned();
        let proof = match capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
            true => cursor.counted()?,
            false => {
                let length = cursor.byte()?;
                cursor.take(length.into())?
            }
        };
        let proof = Proof::new(proof);
        let database = match capabilities.has(Capabilities::CONNECT_WITH_DB) {
            true => Some(cursor.text()?).filter(|name| !name.is_empty()),
            false => None,
        };
        // Old clients leave out what is empty.
        let plugin = match cursor.is_empty() {
            true => "",
            false => cursor.text()?,
        };
        let mut attributes = Vec::new();
        if capabilities.has(Capabilities::CONNECT_ATTRS) && !cursor.is_empty() {
            let mut told = Cursor::new(cursor.counted()?);
            while !told.is_empty() {
                let (name, value) = (utf8(told.counted()?)?, utf8(told.counted()?)?);
                attributes.push((name.to_owned(), value.to_owned()));
            }
        }
        cursor.end()?;
        Ok(Self::SignIn(SignIn {
            capabilities,
            max_message,
            collation,
            user,
            proof,
            database: database.map(str::to_owned),
            plugin: plugin.to_owned(),
            attributes,
        }))
    }
}

impl SignIn {
    /// The payload that asks for TLS before this is sent.
    pub fn write_tls_request(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.put_head(self.written() | Capabilities::SSL, &mut out);
        out.freeze()
    }

    /// This as a payload. What is here decides on [`Capabilities::CONNECT_WITH_DB`], and nothing is
    /// told of a client without [`Capabilities::CONNECT_ATTRS`].
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a text that has a zero byte; [`Error::Length`] for a proof that is too
    /// long for a server without [`Capabilities::PLUGIN_AUTH_LENENC`].
    pub fn write(&self) -> Result<Bytes, Error> {
        let capabilities = self.written();
        let mut out = BytesMut::new();
        self.put_head(capabilities, &mut out);
        put_ended(&mut out, self.user.as_bytes())?;
        let proof = self.proof.as_bytes();
        match capabilities.has(Capabilities::PLUGIN_AUTH_LENENC) {
            true => put_counted(&mut out, proof),
            false => {
                let length = u8::try_from(proof.len()).map_err(|_| Error::Length)?;
                out.put_u8(length);
                out.extend_from_slice(proof);
            }
        }
        if let Some(database) = &self.database {
            put_ended(&mut out, database.as_bytes())?;
        }
        put_ended(&mut out, self.plugin.as_bytes())?;
        if capabilities.has(Capabilities::CONNECT_ATTRS) {
            let mut told = BytesMut::new();
            for (name, value) in &self.attributes {
                put_counted(&mut told, name.as_bytes());
                put_counted(&mut told, value.as_bytes());
            }
            put_number(&mut out, told.len() as u64);
            out.extend_from_slice(&told);
        }
        Ok(out.freeze())
    }

    /// What the client tells of itself by this name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let mut known = self.attributes.iter();
        known
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    fn written(&self) -> Capabilities {
        let needed =
            Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH;
        let capabilities = self.capabilities | needed;
        match self.database {
            Some(_) => capabilities | Capabilities::CONNECT_WITH_DB,
            None => capabilities.without(Capabilities::CONNECT_WITH_DB),
        }
    }

    fn put_head(&self, capabilities: Capabilities, out: &mut BytesMut) {
        out.put_u32_le(capabilities.0);
        out.put_u32_le(self.max_message);
        out.put_u8(self.collation);
        out.put_bytes(0, RESERVED);
    }
}

/// No name and nothing of what a client tells of itself is shown: users paste secrets anywhere.
impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn")
            .field("capabilities", &self.capabilities)
            .field("collation", &self.collation)
            .field("plugin", &Plugin::of(&self.plugin))
            .field("attributes", &self.attributes.len())
            .finish_non_exhaustive()
    }
}

const RESERVED: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_in() -> SignIn {
        SignIn {
            capabilities: Capabilities::OFFERED,
            max_message: 1 << 24,
            collation: crate::UTF8MB4,
            user: "ann".to_owned(),
            proof: Proof::new(&[7; 300]),
            database: Some("orders".to_owned()),
            plugin: "mysql_clear_password".to_owned(),
            attributes: vec![("_client_name".to_owned(), "libmysql".to_owned())],
        }
    }

    #[test]
    fn a_client_signs_in_as_it_is_read() {
        let all = sign_in();
        let packet = Packet::new(all.write().unwrap());
        let Ok(Reply::SignIn(read)) = Reply::read(&packet) else {
            panic!("no session");
        };
        assert_eq!(read, all);
        assert_eq!(read.attribute("_client_name"), Some("libmysql"));
        assert!(!format!("{read:?}").contains("ann"), "{read:?}");
        for cut in 0..packet.body.len() {
            let packet = Packet::new(packet.body.slice(..cut));
            let read = Reply::read(&packet);
            // What an old client leaves out may be missing.
            let less = matches!(&read, Ok(Reply::SignIn(read)) if read.attributes.is_empty());
            assert!(read.is_err() || less, "cut at {cut}");
        }

        let few = SignIn {
            capabilities: Capabilities::OFFERED
                .without(Capabilities::CONNECT_ATTRS)
                .without(Capabilities::PLUGIN_AUTH_LENENC)
                .without(Capabilities::CONNECT_WITH_DB),
            proof: Proof::new(&[7; 20]),
            database: None,
            attributes: Vec::new(),
            ..all
        };
        let packet = Packet::new(few.write().unwrap());
        assert_eq!(Reply::read(&packet), Ok(Reply::SignIn(few.clone())));
        let long = SignIn {
            proof: Proof::new(&[7; 256]),
            ..few
        };
        assert_eq!(long.write(), Err(Error::Length));
    }

    #[test]
    fn tls_is_asked_for_with_what_the_session_will_have() {
        let packet = Packet::new(sign_in().write_tls_request());
        assert_eq!(packet.body.len(), 32);
        let asked = Capabilities::OFFERED | Capabilities::SSL;
        assert_eq!(Reply::read(&packet), Ok(Reply::Tls(asked)));
    }

    #[test]
    fn old_clients_are_refused() {
        for missing in [
            Capabilities::PROTOCOL_41,
            Capabilities::SECURE_CONNECTION,
            Capabilities::PLUGIN_AUTH,
        ] {
            let mut body = BytesMut::from(&sign_in().write().unwrap()[..]);
            let told = Capabilities::OFFERED.without(missing);
            body[..4].copy_from_slice(&told.0.to_le_bytes());
            let read = Reply::read(&Packet::new(body));
            assert_eq!(read, Err(Error::Version), "{missing:?}");
        }
    }
}
