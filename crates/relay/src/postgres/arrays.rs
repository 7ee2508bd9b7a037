//! The elements of an array, and the array with others in their place.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use tollbook_wire_postgres::Format;

/// What the elements of an array become.
pub(super) type Change<'c> = &'c mut dyn FnMut(&[u8]) -> Element;

/// What an element becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Same,
    Other(Bytes),
    Null,
}

/// An array with its elements changed; `Ok(None)` if none is.
///
/// # Errors
///
/// When it is not written as arrays are.
pub(super) fn change(
    format: Format,
    array: &[u8],
    change: Change<'_>,
) -> Result<Option<Bytes>, Broken> {
    match format {
        Format::Text => text(array, change),
        Format::Binary => binary(array, change).ok_or(Broken)?,
    }
}

/// An array that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// As `array_send` in PostgreSQL's source writes it.
fn binary(array: &[u8], change: Change<'_>) -> Option<Result<Option<Bytes>, Broken>> {
    let dimensions = u32::from_be_bytes(*array.first_chunk()?);
    let head = 12
        + 8 * usize::try_from(dimensions)
            .ok()
            .filter(|count| *count <= 6)?;
    let (head, mut rest) = array.split_at_checked(head)?;
    let mut out = BytesMut::from(head);
    let mut changed = false;
    while !rest.is_empty() {
        let (length, behind) = rest.split_first_chunk()?;
        rest = behind;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            out.put_i32(-1);
            continue;
        }
        let (element, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = behind;
        let element = match change(element) {
            Element::Same => Some(Cow::Borrowed(element)),
            Element::Other(other) => {
                changed = true;
                Some(Cow::Owned(other.to_vec()))
            }
            Element::Null => {
                changed = true;
                None
            }
        };
        match element {
            Some(element) => {
                out.put_i32(i32::try_from(element.len()).ok()?);
                out.put_slice(&element);
            }
            None => {
                out.put_i32(-1);
                // Whether there are nulls stands in the head.
                out[4..8].copy_from_slice(&1_u32.to_be_bytes());
            }
        }
    }
    Some(Ok(changed.then(|| out.freeze())))
}

/// `{a,"b c",NULL,{d}}`, with bounds before it where they are not the usual ones.
fn text(array: &[u8], change: Change<'_>) -> Result<Option<Bytes>, Broken> {
    let begin = memchr(array, b'{').ok_or(Broken)?;
    let (mut out, mut changed) = (array[..begin].to_vec(), false);
    let mut at = begin;
    while let Some(sign) = array.get(at) {
        match sign {
            b'{' | b'}' | b',' => {
                out.push(*sign);
                at += 1;
            }
            _ => {
                let (element, quoted, length) = element(&array[at..])?;
                let written = &array[at..at + length];
                at += length;
                let is_null = !quoted && element.eq_ignore_ascii_case(b"null");
                let becomes = match is_null {
                    true => Element::Same,
                    false => change(&element),
                };
                match becomes {
                    Element::Same => out.extend_from_slice(written),
                    Element::Null => out.extend_from_slice(b"NULL"),
                    Element::Other(ref other) => {
                        out.push(b'"');
                        for byte in other {
                            if matches!(byte, b'"' | b'\\') {
                                out.push(b'\\');
                            }
                            out.push(*byte);
                        }
                        out.push(b'"');
                    }
                }
                changed |= becomes != Element::Same;
            }
        }
    }
    Ok(changed.then(|| out.into()))
}

/// The element that a text begins with, whether it stands in quotes, and the bytes it takes.
fn element(text: &[u8]) -> Result<(Vec<u8>, bool, usize), Broken> {
    let quoted = text.first() == Some(&b'"');
    let mut element = Vec::new();
    let mut at = usize::from(quoted);
    loop {
        match (text.get(at), quoted) {
            (Some(b'\\'), _) => {
                element.push(*text.get(at + 1).ok_or(Broken)?);
                at += 2;
            }
            (Some(b'"'), true) => return Ok((element, true, at + 1)),
            (Some(b',' | b'}'), false) => return Ok((element, false, at)),
            (Some(byte), _) => {
                element.push(*byte);
                at += 1;
            }
            (None, _) => return Err(Broken),
        }
    }
}

fn memchr(text: &[u8], sign: u8) -> Option<usize> {
    text.iter().position(|byte| *byte == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(element: &[u8]) -> Element {
        match element {
            b"a secret" => Element::Other(Bytes::from_static(b"[\"x\"]")),
            b"gone" => Element::Null,
            _ => Element::Same,
        }
    }

    #[test]
    fn elements_are_changed_where_they_stand() {
        let text = |array: &str| {
            let changed = change(Format::Text, array.as_bytes(), &mut hide);
            changed.map(|changed| changed.map(|all| String::from_utf8(all.to_vec()).unwrap()))
        };
        assert_eq!(text("{a,\"b c\",NULL,{}}"), Ok(None));
        assert_eq!(
            text("[0:1]={\"a secret\",\"a \\\\ \\\"b\"}")
                .unwrap()
                .as_deref(),
            Some(r#"[0:1]={"[\"x\"]","a \\ \"b"}"#)
        );
        assert_eq!(
            text("{{gone,x},{\"a\\ secret\",NULL}}").unwrap().as_deref(),
            Some(r#"{{NULL,x},{"[\"x\"]",NULL}}"#)
        );
        assert_eq!(text("{\"a"), Err(Broken));
        assert_eq!(text("a"), Err(Broken));
    }

    #[test]
    fn binary_arrays_keep_their_shape() {
        let array = |cells: &[Option<&[u8]>], nulls: u32| {
            let count = u32::try_from(cells.len()).unwrap();
            let mut bytes = [1, nulls, 25, count, 1].map(u32::to_be_bytes).concat();
            for cell in cells {
                let length = cell.map_or(-1, |cell| i32::try_from(cell.len()).unwrap());
                bytes.extend(length.to_be_bytes());
                bytes.extend(cell.unwrap_or_default());
            }
            bytes
        };
        let before = array(&[Some(b"a secret"), Some(b"b"), Some(b"gone")], 0);
        let after = array(&[Some(b"[\"x\"]"), Some(b"b"), None], 1);
        let changed = change(Format::Binary, &before, &mut hide);
        assert_eq!(changed.unwrap().as_deref(), Some(&after[..]));
        let same = array(&[Some(b"b"), None], 1);
        assert_eq!(change(Format::Binary, &same, &mut hide), Ok(None));
        for cut in 1..before.len() {
            let part = change(Format::Binary, &before[..cut], &mut hide);
            assert!(part.is_err() || cut >= 20, "{cut}");
        }
        assert_eq!(change(Format::Binary, &[255; 40], &mut hide), Err(Broken));
    }
}
