//! Values as text.

use jiff::{SignedDuration, Span, civil::Date};

use crate::{Error, Format, cursor::Cursor, numeric::numeric};

/// A value as text, as the server would write it: of any type from the text format, and from the
/// binary one of the types that come with PostgreSQL and that applications use. Dates and times are
/// in ISO 8601's order and those with a time zone in UTC.
///
/// None for a type that is not known, for what does not have its type's form, and for an array whose
/// text would be out of all proportion to its bytes.
///
/// ```
/// use tollbook_wire_postgres::{Format, text_of};
///
/// assert_eq!(text_of(23, Format::Binary, &[0, 0, 1, 0]).as_deref(), Some("256"));
/// assert_eq!(text_of(0, Format::Text, b"any").as_deref(), Some("any"));
/// assert_eq!(text_of(600, Format::Binary, &[0; 16]), None); // a point
/// ```
pub fn text_of(kind: u32, format: Format, value: &[u8]) -> Option<String> {
    match format {
        Format::Text => utf8(value).ok(),
        Format::Binary => binary(kind, value).ok().flatten(),
    }
}

/// None for a type that is not known.
fn binary(kind: u32, value: &[u8]) -> Result<Option<String>, Error> {
    let mut cursor = Cursor::new(value);
    let text = match kind {
        16 => match cursor.byte()? {
            0 => "f".to_owned(),
            1 => "t".to_owned(),
            _ => return Err(Error::Code),
        },
        17 => return Ok(Some(hex("\\x", value))),
        20 => cursor.i64()?.to_string(),
        21 => cursor.i16()?.to_string(),
        23 => cursor.i32()?.to_string(),
        // Numbers of objects, types and transactions.
        26 | 28 | 2205 | 2206 => cursor.u32()?.to_string(),
        700 => float(
            f32::from_bits(cursor.u32()?).into(),
            |value| {
                // The shortest text that is this number, and not the one of twice the bytes.
                f32::from_bits(u32::from_be_bytes(value)).to_string()
            },
            value,
        )?,
        701 => float(
            f64::from_bits(cursor.i64()?.cast_unsigned()),
            |value| f64::from_bits(u64::from_be_bytes(value)).to_string(),
            value,
        )?,
        18 | 19 | 25 | 114 | 142 | 705 | 1042 | 1043 => return utf8(value).map(Some),
        // A version stands before the text.
        3802 => {
            if cursor.byte()? != 1 {
                return Err(Error::Code);
            }
            return utf8(cursor.rest()).map(Some);
        }
        1082 => date(cursor.i32()?)?,
        1083 => time(cursor.i64()?)?,
        1114 => timestamp(cursor.i64()?, "")?,
        1184 => timestamp(cursor.i64()?, "+00")?,
        1186 => interval(&mut cursor)?,
        1266 => {
            let clock = time(cursor.i64()?)?;
            format!("{clock}{}", zone(cursor.i32()?)?)
        }
        1700 => return numeric(value).map(Some),
        2950 => uuid(cursor.take(16)?),
        _ if ARRAYS.contains(&kind) => return array(value),
        _ => return Ok(None),
    };
    cursor.end()?;
    Ok(Some(text))
}

fn utf8(value: &[u8]) -> Result<String, Error> {
    let text = std::str::from_utf8(value).map_err(|_| Error::Text)?;
    Ok(text.to_owned())
}

fn hex(before: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(before.len() + 2 * bytes.len());
    text.push_str(before);
    for byte in bytes {
        for half in [byte >> 4, byte & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or_default());
        }
    }
    text
}

fn uuid(bytes: &[u8]) -> String {
    let digits = hex("", bytes);
    let mut text = String::with_capacity(36);
    for (place, digit) in digits.char_indices() {
        if matches!(place, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    text
}

fn float<const N: usize>(
    value: f64,
    shortest: impl Fn([u8; N]) -> String,
    bytes: &[u8],
) -> Result<String, Error> {
    Ok(match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        _ if value.is_nan() => "NaN".to_owned(),
        _ => shortest(bytes.try_into().map_err(|_| Error::Length)?),
    })
}

/// Days since 2000.
fn date(days: i32) -> Result<String, Error> {
    match days {
        i32::MAX => Ok("infinity".to_owned()),
        i32::MIN => Ok("-infinity".to_owned()),
        _ => {
            let days = Span::new().try_days(days).map_err(|_| Error::Code)?;
            let date = EPOCH.checked_add(days).map_err(|_| Error::Code)?;
            Ok(date.to_string())
        }
    }
}

/// Microseconds since 2000.
fn timestamp(micros: i64, zone: &str) -> Result<String, Error> {
    match micros {
        i64::MAX => Ok("infinity".to_owned()),
        i64::MIN => Ok("-infinity".to_owned()),
        _ => {
            let since = SignedDuration::from_micros(micros);
            let at = EPOCH.at(0, 0, 0, 0).checked_add(since);
            let at = at.map_err(|_| Error::Code)?;
            let clock = time(micros.rem_euclid(DAY))?;
            Ok(format!("{} {clock}{zone}", at.date()))
        }
    }
}

/// Microseconds since midnight, up to that of the next day.
fn time(micros: i64) -> Result<String, Error> {
    if !(0..=DAY).contains(&micros) {
        return Err(Error::Code);
    }
    Ok(clock(micros.unsigned_abs()))
}

fn clock(micros: u64) -> String {
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    match rest {
        0 => whole,
        rest => {
            let rest = format!("{rest:06}");
            format!("{whole}.{}", rest.trim_end_matches('0'))
        }
    }
}

/// Seconds west of Greenwich.
fn zone(west: i32) -> Result<String, Error> {
    let east = west.checked_neg().ok_or(Error::Code)?;
    let sign = if east < 0 { '-' } else { '+' };
    let minutes = east.unsigned_abs() / 60;
    Ok(match minutes % 60 {
        0 => format!("{sign}{:02}", minutes / 60),
        rest => format!("{sign}{:02}:{rest:02}", minutes / 60),
    })
}

fn interval(cursor: &mut Cursor<'_>) -> Result<String, Error> {
    let (micros, days, months) = (cursor.i64()?, cursor.i32()?, cursor.i32()?);
    let mut parts = Vec::new();
    for (count, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        match count {
            0 => {}
            1 => parts.push(format!("1 {unit}")),
            count => parts.push(format!("{count} {unit}s")),
        }
    }
    if micros != 0 || parts.is_empty() {
        let sign = if micros < 0 { "-" } else { "" };
        parts.push(format!("{sign}{}", clock(micros.unsigned_abs())));
    }
    Ok(parts.join(" "))
}

/// An array, as `{1,NULL,"a b"}`.
fn array(value: &[u8]) -> Result<Option<String>, Error> {
    let mut cursor = Cursor::new(value);
    let dimensions = cursor.i32()?;
    let _has_nulls = cursor.i32()?;
    let kind = cursor.u32()?;
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        if lengths.len() == MAX_DIMENSIONS {
            return Err(Error::Length);
        }
        lengths.push(usize::try_from(cursor.i32()?).map_err(|_| Error::Length)?);
        let _first = cursor.i32()?;
    }
    if lengths.is_empty() {
        cursor.end()?;
        return Ok(Some("{}".to_owned()));
    }
    // An array in an array's cell is none of this format.
    if ARRAYS.contains(&kind) {
        return Err(Error::Code);
    }
    // Each cell has a length at least, so what is there bounds how many can be.
    let cells = |all: usize, length: &usize| all.checked_mul(*length);
    let expected = lengths.iter().try_fold(1, cells);
    let most = cursor.rest().len() / 4;
    let expected = expected.filter(|cells| (1..=most).contains(cells));
    let expected = expected.ok_or(Error::Length)?;
    let most_text = MAX_GROWTH + 4 * value.len();
    let mut text = String::new();
    let mut known = 0;
    while !cursor.is_empty() {
        // A brace opens or ends wherever a whole row of a dimension does.
        let mut row = 1;
        let whole = lengths.iter().rev().filter(|length| {
            row *= **length;
            known % row == 0
        });
        let braces = whole.count();
        if known > 0 {
            text.extend(std::iter::repeat_n('}', braces));
            text.push(',');
        }
        text.extend(std::iter::repeat_n('{', braces));
        match cursor.value()? {
            None => text.push_str("NULL"),
            Some(value) => match binary(kind, value)? {
                None => return Ok(None),
                Some(element) => push_element(&mut text, &element),
            },
        }
        // Ten bytes can say a number of thousands of digits.
        if text.len() > most_text {
            return Ok(None);
        }
        known += 1;
    }
    if known != expected {
        return Err(Error::Length);
    }
    text.extend(std::iter::repeat_n('}', lengths.len()));
    Ok(Some(text))
}

fn push_element(text: &mut String, element: &str) {
    let plain = |byte: u8| !byte.is_ascii_whitespace() && !b"{},\"\\".contains(&byte);
    let is_plain =
        !element.is_empty() && element.bytes().all(plain) && !element.eq_ignore_ascii_case("null");
    if is_plain {
        text.push_str(element);
        return;
    }
    text.push('"');
    for sign in element.chars() {
        if matches!(sign, '"' | '\\') {
            text.push('\\');
        }
        text.push(sign);
    }
    text.push('"');
}

/// What dates and times are counted from.
const EPOCH: Date = Date::constant(2000, 1, 1);
/// In microseconds.
const DAY: i64 = 86_400_000_000;
/// As `MAXDIM` in PostgreSQL's source.
const MAX_DIMENSIONS: usize = 6;
/// How much longer the text of an array may be than four times its bytes: more than the longest
/// number has digits.
const MAX_GROWTH: usize = 1 << 20;
/// Arrays of the types above, as `pg_type` has them.
const ARRAYS: [u32; 25] = [
    143, 199, 1000, 1001, 1002, 1003, 1005, 1007, 1009, 1011, 1014, 1015, 1016, 1021, 1022, 1028,
    1115, 1182, 1183, 1185, 1187, 1231, 1270, 2951, 3807,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(kind: u32, value: &[u8]) -> Option<String> {
        text_of(kind, Format::Binary, value)
    }

    #[test]
    fn values_are_written_as_the_server_writes_them() {
        let micros = |days: i64, rest: i64| (days * DAY + rest).to_be_bytes();
        let span = |micros: i64, days: i32, months: i32| {
            [
                &micros.to_be_bytes()[..],
                &days.to_be_bytes(),
                &months.to_be_bytes(),
            ]
            .concat()
        };
        for (kind, value, told) in [
            (16, &b"\x01"[..], "t"),
            (17, b"\0\xff", "\\x00ff"),
            (20, &(-5i64).to_be_bytes(), "-5"),
            (21, b"\x7f\xff", "32767"),
            (25, "grün".as_bytes(), "grün"),
            (700, &0.1f32.to_be_bytes(), "0.1"),
            (701, &0.1f64.to_be_bytes(), "0.1"),
            (701, &f64::NEG_INFINITY.to_be_bytes(), "-Infinity"),
            (701, &f64::NAN.to_be_bytes(), "NaN"),
            (3802, b"\x01{\"a\": 1}", "{\"a\": 1}"),
            (1082, &0i32.to_be_bytes(), "2000-01-01"),
            (1082, &(-1i32).to_be_bytes(), "1999-12-31"),
            (1082, &i32::MAX.to_be_bytes(), "infinity"),
            (1083, &DAY.to_be_bytes(), "24:00:00"),
            (1114, &micros(366, 1_500_000), "2001-01-01 00:00:01.5"),
            (1114, &micros(-1, 60_000_000), "1999-12-31 00:01:00"),
            (1184, &micros(0, 1), "2000-01-01 00:00:00.000001+00"),
            (1184, &i64::MIN.to_be_bytes(), "-infinity"),
            (
                1186,
                &span(3_723_000_000, 1, 14),
                "1 year 2 mons 1 day 01:02:03",
            ),
            (1186, &span(-1_000_000, 0, 0), "-00:00:01"),
            (1186, &span(0, 0, 0), "00:00:00"),
            (2950, &[0x1f; 16], "1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f"),
        ] {
            assert_eq!(text(kind, value).as_deref(), Some(told), "{kind}");
        }
        let zoned = [&0i64.to_be_bytes()[..], &(-19_800i32).to_be_bytes()].concat();
        assert_eq!(text(1266, &zoned).as_deref(), Some("00:00:00+05:30"));
    }

    #[test]
    fn an_array_is_written_with_its_dimensions() {
        let array = |lengths: &[i32], kind: i32, cells: &[Option<&[u8]>]| {
            let count = i32::try_from(lengths.len()).unwrap();
            let mut bytes = [count, 1, kind].map(i32::to_be_bytes).concat();
            for length in lengths {
                bytes.extend([*length, 1].map(i32::to_be_bytes).concat());
            }
            for cell in cells {
                let length = cell.map_or(-1, |cell| i32::try_from(cell.len()).unwrap());
                bytes.extend(length.to_be_bytes());
                bytes.extend(cell.unwrap_or_default());
            }
            bytes
        };
        let four = [1, 2, 3, 4].map(i32::to_be_bytes);
        let four: Vec<_> = four.iter().map(|cell| Some(&cell[..])).collect();
        let told = |kind, bytes: &[u8]| text(kind, bytes);
        assert_eq!(told(1007, &array(&[], 23, &[])).as_deref(), Some("{}"));
        let flat = told(1007, &array(&[4], 23, &four));
        assert_eq!(flat.as_deref(), Some("{1,2,3,4}"));
        let square = told(1007, &array(&[2, 2], 23, &four));
        assert_eq!(square.as_deref(), Some("{{1,2},{3,4}}"));
        let texts = [
            Some(&b"a b"[..]),
            None,
            Some(b"null"),
            Some(b"\"\\"),
            Some(b""),
        ];
        assert_eq!(
            told(1009, &array(&[5], 25, &texts)).as_deref(),
            Some(r#"{"a b",NULL,"null","\"\\",""}"#)
        );
        for wrong in [
            array(&[3], 23, &four),
            array(&[5], 23, &four),
            array(&[-1], 23, &four),
            array(&[1, 1, 1, 1, 1, 1, 1], 23, &four[..1]),
            array(&[1], 1007, &four[..1]),
        ] {
            assert_eq!(told(1007, &wrong), None);
        }
        // A number of dimensions that nobody could hold.
        assert_eq!(
            told(1007, &[i32::MAX, 0, 23].map(i32::to_be_bytes).concat()),
            None
        );
    }

    #[test]
    fn the_text_of_an_array_has_a_bound() {
        // Eight bytes that say zero with 9999 places behind the point.
        let long = [0, 0, 0, 9999u16].map(u16::to_be_bytes).concat();
        let numbers = |count: u32| {
            let mut bytes = [1, 0, 1700, count, 1].map(u32::to_be_bytes).concat();
            for _ in 0..count {
                bytes.extend(8u32.to_be_bytes());
                bytes.extend(&long);
            }
            bytes
        };
        let few = text(1231, &numbers(100)).map(|text| text.len());
        assert_eq!(few, Some(100 * 10_001 + 101));
        assert_eq!(text(1231, &numbers(1000)), None);
    }

    #[test]
    fn what_has_not_its_types_form_is_no_text() {
        for (kind, value) in [
            (16, &b"\x02"[..]),
            (16, b""),
            (23, b"\0\0\0"),
            (23, b"\0\0\0\0\0"),
            (25, b"\xff"),
            (700, b"\0"),
            (1082, &(i32::MAX - 1).to_be_bytes()),
            (1083, &(-1i64).to_be_bytes()),
            (1114, &(i64::MAX - 1).to_be_bytes()),
            (1266, &[0; 8]),
            (2950, &[0; 15]),
            (3802, b"\x02{}"),
            (600, &[0; 16]),
        ] {
            assert_eq!(text(kind, value), None, "{kind}");
        }
        assert_eq!(text_of(25, Format::Text, b"\xff"), None);
    }
}
