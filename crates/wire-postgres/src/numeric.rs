//! Decimal numbers (`numeric`) from their binary form (`numeric_send` in PostgreSQL's source).

use crate::{Error, cursor::Cursor};

/// The number as text, with as many places behind the point as it has.
pub(crate) fn numeric(bytes: &[u8]) -> Result<String, Error> {
    let mut cursor = Cursor::new(bytes);
    let count = cursor.u16()?;
    let weight = i32::from(cursor.i16()?);
    let sign = cursor.u16()?;
    let scale = usize::from(cursor.u16()?);
    match sign {
        0 | NEGATIVE => {}
        NAN => return Ok("NaN".to_owned()),
        INFINITY => return Ok("Infinity".to_owned()),
        MINUS_INFINITY => return Ok("-Infinity".to_owned()),
        _ => return Err(Error::Code),
    }
    let mut groups = Vec::with_capacity(usize::from(count.min(64)));
    for _ in 0..count {
        match cursor.u16()? {
            group @ 0..BASE => groups.push(group),
            _ => return Err(Error::Code),
        }
    }
    cursor.end()?;
    // The group at this power of 10,000; those that are not written are zero.
    let group = |power: i32| {
        let index = usize::try_from(weight - power).ok();
        index
            .and_then(|index| groups.get(index))
            .copied()
            .unwrap_or(0)
    };
    let mut text = String::new();
    if sign == NEGATIVE {
        text.push('-');
    }
    text += &group(weight.max(0)).to_string();
    for power in (0..weight.max(0)).rev() {
        text += &format!("{:04}", group(power));
    }
    if scale > 0 {
        text.push('.');
        let behind = (1..).map(|power| format!("{:04}", group(-power)));
        let digits: String = behind.take(scale.div_ceil(DIGITS)).collect();
        text += &digits[..scale];
    }
    Ok(text)
}

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xc000;
const INFINITY: u16 = 0xd000;
const MINUS_INFINITY: u16 = 0xf000;
/// Digits come in groups, which are the digits of this base.
const BASE: u16 = 10_000;
const DIGITS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(weight: i16, sign: u16, scale: u16, groups: &[u16]) -> Result<String, Error> {
        let count = u16::try_from(groups.len()).unwrap();
        let mut bytes = Vec::new();
        bytes.extend(count.to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        for number in [sign, scale].iter().chain(groups) {
            bytes.extend(number.to_be_bytes());
        }
        numeric(&bytes)
    }

    #[test]
    fn numbers_are_written_as_the_server_writes_them() {
        for (told, weight, sign, scale, groups) in [
            ("0", 0, 0, 0, &[][..]),
            ("0.00", 0, 0, 2, &[]),
            ("1", 0, 0, 0, &[1]),
            ("-12345.678", 1, NEGATIVE, 3, &[1, 2345, 6780]),
            ("10000", 1, 0, 0, &[1]),
            ("100000000.5", 2, 0, 1, &[1, 0, 0, 5000]),
            ("0.0001", -1, 0, 4, &[1]),
            ("0.00000001", -2, 0, 8, &[1]),
            ("0.12340000", -1, 0, 8, &[1234]),
            ("NaN", 0, NAN, 0, &[]),
            ("-Infinity", 0, MINUS_INFINITY, 0, &[]),
        ] {
            assert_eq!(text(weight, sign, scale, groups).as_deref(), Ok(told));
        }
        assert_eq!(text(0, 1, 0, &[]), Err(Error::Code));
        assert_eq!(text(0, 0, 0, &[10_000]), Err(Error::Code));
        assert_eq!(numeric(b"\0\x02\0\0\0\0\0\0\0\x01"), Err(Error::Length));
    }

    #[test]
    fn the_longest_number_takes_no_long_time() {
        let longest = text(i16::MAX, 0, u16::MAX, &[1]).unwrap();
        assert_eq!(
            longest.len(),
            4 * usize::from(i16::MAX.unsigned_abs()) + 2 + 65_535
        );
        assert!(text(i16::MIN, 0, 2, &[1]).is_ok());
    }
}
