//! What a gate says itself, to a client as a server and to a server as a client.

use bytes::{BufMut, BytesMut};

use crate::{CancelKey, Error, Fields, Frame, Status, Version};

/// The beginning of a session, which has no tag.
///
/// # Errors
///
/// [`Error::Zero`] for a text that has a zero byte, [`Error::Length`] beyond the length that servers
/// take.
pub fn startup<'a>(
    version: Version,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<BytesMut, Error> {
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_u32(version.code());
    for (name, value) in parameters {
        put_text(&mut out, name)?;
        put_text(&mut out, value)?;
    }
    out.put_u8(0);
    let length = u32::try_from(out.len()).map_err(|_| Error::Length)?;
    if out.len() > crate::MAX_OPENING {
        return Err(Error::Length);
    }
    out[..4].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

/// Asks whether TLS is spoken, which has no tag. The answer is one byte: `S` or `N`.
pub fn tls_request() -> BytesMut {
    let mut out = BytesMut::with_capacity(8);
    out.put_u32(8);
    out.put_u32(crate::opening::TLS);
    out
}

/// Asks to cancel what a session is doing, which has no tag. Nothing is answered.
///
/// # Errors
///
/// [`Error::Length`] beyond the length that servers take.
pub fn cancel_request(key: &CancelKey) -> Result<BytesMut, Error> {
    let length = 12 + key.secret.len();
    if length > crate::MAX_OPENING {
        return Err(Error::Length);
    }
    let mut out = BytesMut::with_capacity(length);
    out.put_u32(u32::try_from(length).map_err(|_| Error::Length)?);
    out.put_u32(crate::opening::CANCEL);
    out.put_u32(key.process);
    out.extend_from_slice(&key.secret);
    Ok(out)
}

/// A text to be run.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn query(text: &str) -> Result<Frame, Error> {
    let mut body = BytesMut::with_capacity(text.len() + 1);
    put_text(&mut body, text)?;
    Ok(Frame::new(b'Q', body))
}

/// A statement to be made of a text, with parameters of any types.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn parse(statement: &str, text: &str) -> Result<Frame, Error> {
    let mut body = BytesMut::with_capacity(statement.len() + text.len() + 4);
    put_text(&mut body, statement)?;
    put_text(&mut body, text)?;
    body.put_u16(0);
    Ok(Frame::new(b'P', body))
}

/// The end of a session, as clients say it.
pub fn terminate() -> Frame {
    Frame::new(b'X', BytesMut::new())
}

/// Asks for the password as it is: inside TLS only.
pub fn cleartext_password() -> Frame {
    authentication(3, b"")
}

/// Offers mechanisms of SASL.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn sasl<'a>(mechanisms: impl IntoIterator<Item = &'a str>) -> Result<Frame, Error> {
    let mut names = BytesMut::new();
    for name in mechanisms {
        put_text(&mut names, name)?;
    }
    names.put_u8(0);
    Ok(authentication(10, &names))
}

/// A step of SASL.
pub fn sasl_continue(step: &[u8]) -> Frame {
    authentication(11, step)
}

/// The last step of SASL.
pub fn sasl_final(step: &[u8]) -> Frame {
    authentication(12, step)
}

/// The client is who it says.
pub fn authentication_ok() -> Frame {
    authentication(0, b"")
}

/// Tells a client that less is spoken than it asked for, and which options are not known.
///
/// # Errors
///
/// [`Error::Zero`], and [`Error::Length`] beyond 2³² options.
pub fn negotiate<'a>(
    version: Version,
    options: impl IntoIterator<Item = &'a str>,
) -> Result<Frame, Error> {
    let (mut names, mut count) = (BytesMut::new(), 0u32);
    for name in options {
        put_text(&mut names, name)?;
        count = count.checked_add(1).ok_or(Error::Length)?;
    }
    let mut body = BytesMut::with_capacity(8 + names.len());
    body.put_u32(version.code());
    body.put_u32(count);
    body.extend_from_slice(&names);
    Ok(Frame::new(b'v', body))
}

/// What whoever wants to cancel has to know.
pub fn backend_key(key: &CancelKey) -> Frame {
    let mut body = BytesMut::with_capacity(4 + key.secret.len());
    body.put_u32(key.process);
    body.extend_from_slice(&key.secret);
    Frame::new(b'K', body)
}

/// The value of a setting.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn parameter_status(name: &str, value: &str) -> Result<Frame, Error> {
    let mut body = BytesMut::with_capacity(name.len() + value.len() + 2);
    put_text(&mut body, name)?;
    put_text(&mut body, value)?;
    Ok(Frame::new(b'S', body))
}

/// The next series of messages may come.
pub fn ready(status: Status) -> Frame {
    Frame::new(b'Z', vec![status.code()])
}

/// A statement has ended.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn command_complete(tag: &str) -> Result<Frame, Error> {
    let mut body = BytesMut::with_capacity(tag.len() + 1);
    put_text(&mut body, tag)?;
    Ok(Frame::new(b'C', body))
}

/// An error.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn error(fields: &Fields<'_>) -> Result<Frame, Error> {
    with_fields(b'E', fields)
}

/// A notice.
///
/// # Errors
///
/// [`Error::Zero`].
pub fn notice(fields: &Fields<'_>) -> Result<Frame, Error> {
    with_fields(b'N', fields)
}

fn with_fields(tag: u8, fields: &Fields<'_>) -> Result<Frame, Error> {
    let mut body = BytesMut::new();
    for (field, text) in fields.iter() {
        body.put_u8(field.0);
        put_text(&mut body, text)?;
    }
    body.put_u8(0);
    Ok(Frame::new(tag, body))
}

fn authentication(code: u32, rest: &[u8]) -> Frame {
    let mut body = BytesMut::with_capacity(4 + rest.len());
    body.put_u32(code);
    body.extend_from_slice(rest);
    Frame::new(b'R', body)
}

fn put_text(out: &mut BytesMut, text: &str) -> Result<(), Error> {
    if memchr::memchr(0, text.as_bytes()).is_some() {
        return Err(Error::Zero);
    }
    out.extend_from_slice(text.as_bytes());
    out.put_u8(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authentication, Backend, Field, Opening, opening};

    #[test]
    fn what_is_written_is_read_again() {
        let fields = Fields::new([
            (Field::SEVERITY, "ERROR"),
            (Field::CODE, "42501"),
            (Field::MESSAGE, "denied"),
            (Field::HINT, "ask"),
        ]);
        let frame = error(&fields).unwrap();
        let Ok(Backend::Error(read)) = Backend::read(&frame) else {
            panic!("no error");
        };
        assert_eq!(read, fields);
        assert_eq!(read.field(Field::HINT), Some("ask"));
        assert!(!format!("{read:?}").contains("denied"));
        assert!(matches!(
            Backend::read(&notice(&fields).unwrap()),
            Ok(Backend::Notice(_))
        ));

        let frame = sasl(["SCRAM-SHA-256", "OAUTHBEARER"]).unwrap();
        let Ok(Backend::Authentication(Authentication::Sasl { mechanisms })) =
            Backend::read(&frame)
        else {
            panic!("no SASL");
        };
        assert_eq!(mechanisms, ["SCRAM-SHA-256", "OAUTHBEARER"]);

        let frame = negotiate(Version::V3_2, ["_pq_.a", "_pq_.b"]).unwrap();
        let Ok(Backend::Negotiate { version, options }) = Backend::read(&frame) else {
            panic!("no negotiation");
        };
        assert_eq!(
            (version, &options[..]),
            (Version::V3_2, &["_pq_.a", "_pq_.b"][..])
        );

        for status in [Status::Idle, Status::InTransaction, Status::Failed] {
            assert_eq!(Backend::read(&ready(status)), Ok(Backend::Ready(status)));
        }
        let key = CancelKey {
            process: 9,
            secret: vec![3; 32].into(),
        };
        assert_eq!(Backend::read(&backend_key(&key)), Ok(Backend::KeyData(key)));
    }

    #[test]
    fn a_session_is_begun_as_it_is_read() {
        let mut wire = startup(Version::V3_2, [("user", "ann"), ("database", "x")]).unwrap();
        let Ok(Some(Opening::Startup(read))) = opening(&mut wire) else {
            panic!("no session");
        };
        assert_eq!(read.version, Version::V3_2);
        assert_eq!(read.parameter("user"), Some("ann"));
        let long = "x".repeat(crate::MAX_OPENING);
        assert_eq!(
            startup(Version::V3_0, [("user", &*long)]),
            Err(Error::Length)
        );
    }

    #[test]
    fn requests_without_a_tag_are_read_as_what_they_are() {
        assert_eq!(opening(&mut tls_request()), Ok(Some(Opening::Tls)));
        for length in [4, 256] {
            let key = CancelKey {
                process: 7,
                secret: vec![9; length].into(),
            };
            let mut wire = cancel_request(&key).unwrap();
            assert_eq!(opening(&mut wire), Ok(Some(Opening::Cancel(key))));
        }
    }

    #[test]
    fn no_text_ends_before_its_end() {
        assert_eq!(query("SELECT\0 1"), Err(Error::Zero));
        assert_eq!(startup(Version::V3_0, [("user", "a\0b")]), Err(Error::Zero));
        assert_eq!(parameter_status("a", "\0"), Err(Error::Zero));
        let fields = Fields::new([(Field::MESSAGE, "a\0C00000")]);
        assert_eq!(error(&fields), Err(Error::Zero));
    }
}
