//! Values as text.

use crate::{
    Error, Format, Shape,
    column::Kind,
    cursor::{Cursor, utf8},
};

/// A value as text: what is written as text as it is, and of the binary format numbers, dates,
/// times, texts and JSON as the server would write them, but that a float has as many digits as it
/// takes to tell it from others, and no zeros stand at the end of a fraction of a second.
///
/// None for what is no text (`BIT`, `GEOMETRY`, `VECTOR`, bytes that are not UTF-8), for a type
/// that is not known, and for what does not have its type's form.
///
/// ```
/// use tollbook_wire_mysql::{Format, Kind, Shape, text_of};
///
/// let shape = |kind| Shape { kind, unsigned: false };
/// let number = shape(Kind::SHORT);
/// assert_eq!(text_of(number, Format::Binary, &[0, 1]).as_deref(), Some("256"));
/// assert_eq!(text_of(number, Format::Text, b"256").as_deref(), Some("256"));
/// assert_eq!(text_of(shape(Kind::BIT), Format::Text, b"A"), None);
/// ```
pub fn text_of(shape: Shape, format: Format, value: &[u8]) -> Option<String> {
    if matches!(shape.kind, Kind::BIT | Kind::GEOMETRY | Kind::VECTOR) {
        return None;
    }
    match format {
        Format::Text => utf8(value).ok().map(str::to_owned),
        Format::Binary => binary(shape, value).ok(),
    }
}

fn binary(shape: Shape, value: &[u8]) -> Result<String, Error> {
    let mut cursor = Cursor::new(value);
    let unsigned = shape.unsigned;
    let text = match shape.kind {
        Kind::TINY => match cursor.byte()? {
            byte if unsigned => byte.to_string(),
            byte => byte.cast_signed().to_string(),
        },
        Kind::SHORT => match cursor.u16()? {
            short if unsigned => short.to_string(),
            short => short.cast_signed().to_string(),
        },
        Kind::LONG | Kind::INT24 => match cursor.u32()? {
            long if unsigned => long.to_string(),
            long => long.cast_signed().to_string(),
        },
        Kind::LONGLONG => match cursor.u64()? {
            long if unsigned => long.to_string(),
            long => long.cast_signed().to_string(),
        },
        Kind::YEAR => format!("{:04}", cursor.u16()?),
        Kind::FLOAT => f32::from_bits(cursor.u32()?).to_string(),
        Kind::DOUBLE => f64::from_bits(cursor.u64()?).to_string(),
        Kind::DATE => date(&mut cursor)?,
        Kind::DATETIME | Kind::TIMESTAMP => {
            let date = date(&mut cursor)?;
            let time = match cursor.is_empty() {
                true => "00:00:00".to_owned(),
                false => {
                    let hours = bounded(cursor.byte()?, 23)?;
                    clock(hours, &mut cursor)?
                }
            };
            format!("{date} {time}")
        }
        Kind::TIME => time(&mut cursor)?,
        Kind::DECIMAL
        | Kind::NEWDECIMAL
        | Kind::VARCHAR
        | Kind::VAR_STRING
        | Kind::STRING
        | Kind::ENUM
        | Kind::SET
        | Kind::JSON
        | Kind::TINY_BLOB
        | Kind::MEDIUM_BLOB
        | Kind::LONG_BLOB
        | Kind::BLOB => utf8(cursor.take_rest())?.to_owned(),
        _ => return Err(Error::Code),
    };
    cursor.end()?;
    Ok(text)
}

/// The day, of which each part may be zero.
fn date(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    if cursor.is_empty() {
        return Ok("0000-00-00".to_owned());
    }
    let year = match cursor.u16()? {
        year @ 0..=9999 => year,
        _ => return Err(Error::Code),
    };
    let (month, day) = (bounded(cursor.byte()?, 12)?, bounded(cursor.byte()?, 31)?);
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

/// A span of time, which may be longer than a day and may go backwards.
fn time(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    if cursor.is_empty() {
        return Ok("00:00:00".to_owned());
    }
    let sign = match cursor.byte()? {
        0 => "",
        1 => "-",
        _ => return Err(Error::Code),
    };
    let days = bounded(cursor.u32()?, MAX_DAYS)?;
    let hours = 24 * days + bounded(cursor.byte()?, 23)?;
    Ok(format!("{sign}{}", clock(hours, cursor)?))
}

/// Behind the hours.
fn clock(hours: u32, cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let (minutes, seconds) = (bounded(cursor.byte()?, 59)?, bounded(cursor.byte()?, 59)?);
    let whole = format!("{hours:02}:{minutes:02}:{seconds:02}");
    if cursor.is_empty() {
        return Ok(whole);
    }
    Ok(match bounded(cursor.u32()?, 999_999)? {
        0 => whole,
        micros => {
            let micros = format!("{micros:06}");
            format!("{whole}.{}", micros.trim_end_matches('0'))
        }
    })
}

fn bounded(number: impl Into<u32>, most: u32) -> Result<u32, Error> {
    let number = number.into();
    match number <= most {
        true => Ok(number),
        false => Err(Error::Code),
    }
}

/// A `TIME` goes to 838:59:59.
const MAX_DAYS: u32 = 34;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: Kind, unsigned: bool, value: &[u8]) -> Option<String> {
        text_of(Shape { kind, unsigned }, Format::Binary, value)
    }

    #[test]
    fn values_are_written_as_the_server_writes_them() {
        for (kind, unsigned, value, told) in [
            (Kind::TINY, false, &b"\xff"[..], "-1"),
            (Kind::TINY, true, b"\xff", "255"),
            (Kind::SHORT, false, b"\0\x80", "-32768"),
            (Kind::LONG, true, b"\xff\xff\xff\xff", "4294967295"),
            (Kind::INT24, false, b"\xfe\xff\xff\xff", "-2"),
            (Kind::LONGLONG, true, &[0xff; 8], "18446744073709551615"),
            (Kind::LONGLONG, false, &[0xff; 8], "-1"),
            (Kind::YEAR, true, b"\xe9\x07", "2025"),
            (Kind::YEAR, true, b"\0\0", "0000"),
            (Kind::FLOAT, false, &0.1f32.to_le_bytes(), "0.1"),
            (Kind::DOUBLE, false, &(-2.5f64).to_le_bytes(), "-2.5"),
            (Kind::NEWDECIMAL, false, b"-1.50", "-1.50"),
            (Kind::VAR_STRING, false, "grün".as_bytes(), "grün"),
            (Kind::JSON, false, b"{\"a\": 1}", "{\"a\": 1}"),
            (Kind::DATE, false, b"", "0000-00-00"),
            (Kind::DATE, false, b"\xe9\x07\x0b\x16", "2025-11-22"),
            (Kind::DATE, false, b"\xe9\x07\0\0", "2025-00-00"),
            (Kind::DATETIME, false, b"", "0000-00-00 00:00:00"),
            (
                Kind::DATETIME,
                false,
                b"\xe9\x07\x0b\x16",
                "2025-11-22 00:00:00",
            ),
            (
                Kind::TIMESTAMP,
                false,
                b"\xe9\x07\x0b\x16\x17\x3b\x01",
                "2025-11-22 23:59:01",
            ),
            (
                Kind::DATETIME,
                false,
                b"\xe9\x07\x0b\x16\x17\x3b\x01\x20\xa1\x07\0",
                "2025-11-22 23:59:01.5",
            ),
            (Kind::TIME, false, b"", "00:00:00"),
            (
                Kind::TIME,
                false,
                b"\x01\x01\0\0\0\x02\x03\x04",
                "-26:03:04",
            ),
            (
                Kind::TIME,
                false,
                b"\0\x22\0\0\0\x16\x3b\x3b\x01\0\0\0",
                "838:59:59.000001",
            ),
        ] {
            let read = text(kind, unsigned, value);
            assert_eq!(read.as_deref(), Some(told), "{kind:?}");
        }
    }

    #[test]
    fn what_has_not_its_types_form_is_no_text() {
        for (kind, value) in [
            (Kind::TINY, &b""[..]),
            (Kind::LONG, b"\0\0\0"),
            (Kind::LONG, b"\0\0\0\0\0"),
            (Kind::VAR_STRING, b"\xff"),
            (Kind::DATE, b"\xe9\x07\x0d\x01"),
            (Kind::DATE, b"\x10\x27\x01\x01"),
            (Kind::DATE, b"\xe9\x07\x0b\x16\0\0\0"),
            (Kind::DATETIME, b"\xe9\x07\x0b\x16\x18\0\0"),
            (Kind::DATETIME, b"\xe9\x07\x0b\x16\0\0\0\x40\x42\x0f\0"),
            (Kind::TIME, b"\x02\0\0\0\0\0\0\0"),
            (Kind::TIME, b"\0\xff\xff\xff\xff\0\0\0"),
            (Kind::BIT, b"A"),
            (Kind::GEOMETRY, b"A"),
            (Kind(99), b"A"),
        ] {
            assert_eq!(text(kind, false, value), None, "{kind:?}");
        }
    }
}
