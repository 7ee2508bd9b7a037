//! A secret as text that somebody else wrote: one word, of a bounded length.

use zeroize::Zeroizing;

use super::CredentialError;

/// The most bytes of a token: what clients of the Claude API take from a helper, and more than any
/// token has.
pub(super) const TOKEN_LIMIT: usize = 16 << 10;

/// A buffer for a token and the byte by which it is too long. It never grows, since what it
/// outgrew would be left behind unwiped.
pub(super) fn buffer() -> Zeroizing<Vec<u8>> {
    // Readers like to have some room when they look for the end.
    Zeroizing::new(Vec::with_capacity(TOKEN_LIMIT + 1024))
}

/// The one word in `bytes`, without the white space around it.
pub(super) fn word(bytes: &[u8]) -> Result<&str, CredentialError> {
    if bytes.len() > TOKEN_LIMIT {
        return Err(CredentialError::new("the token is too long"));
    }
    let word = bytes.trim_ascii();
    if word.is_empty() {
        return Err(CredentialError::new("there is no token"));
    }
    match std::str::from_utf8(word) {
        Ok(text) if word.iter().all(u8::is_ascii_graphic) => Ok(text),
        _ => Err(CredentialError::new("there is more than one token")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_printable_word() {
        assert_eq!(word(b" \n tok.en-1\r\n").unwrap(), "tok.en-1");
        let long = vec![b'a'; TOKEN_LIMIT + 1];
        for bytes in [
            &b""[..],
            b" \n",
            b"two words",
            b"two\nlines",
            b"nul\0",
            b"\x1b[0m",
            "größe".as_bytes(),
            b"\xff",
            &long,
        ] {
            let error = word(bytes).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("two "), "{error:?}");
        }
        assert!(word(&long[1..]).is_ok());
    }
}
