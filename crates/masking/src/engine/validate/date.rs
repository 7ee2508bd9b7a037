//! Days of the calendar.

/// Whether there is such a day in the Gregorian calendar.
pub(super) const fn is_day(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    day >= 1 && day <= days
}

/// Whether there is such a day in any century: two digits of a year do not tell a leap year such as
/// 2000 from one such as 1900.
pub(super) const fn is_short_day(year: u32, month: u32, day: u32) -> bool {
    is_day(2000 + year % 100, month, day)
}

/// `YYMMDD` at the beginning of digits.
pub(super) fn is_yymmdd(digits: &[u8]) -> bool {
    let (year, month, day) = (two(digits, 0), two(digits, 2), two(digits, 4));
    is_short_day(year, month, day)
}

/// `DDMMYY` at the beginning of digits.
pub(super) fn is_ddmmyy(digits: &[u8]) -> bool {
    let (day, month, year) = (two(digits, 0), two(digits, 2), two(digits, 4));
    is_short_day(year, month, day)
}

/// `YYYYMMDD` at the beginning of digits, of somebody who may be alive.
pub(super) fn is_yyyymmdd(digits: &[u8]) -> bool {
    let year = two(digits, 0) * 100 + two(digits, 2);
    is_birth_year(year) && is_day(year, two(digits, 4), two(digits, 6))
}

/// Two digits as a number.
pub(super) fn two(digits: &[u8], at: usize) -> u32 {
    match digits.get(at..at + 2) {
        Some([tens, ones]) => u32::from(*tens) * 10 + u32::from(*ones),
        _ => u32::MAX / 4,
    }
}

pub(super) const fn is_birth_year(year: u32) -> bool {
    1900 <= year && year <= 2050
}

/// A date in numbers, in one of the orders people write it: `2024-01-31`, `31.01.2024`, `1/31/24`,
/// `20240131`.
pub(super) fn is_any_date(body: &[u8]) -> bool {
    parts(body).is_some()
}

/// A date on which somebody who lives may have been born.
pub(super) fn is_birth_date(body: &[u8]) -> bool {
    // A time of the day may stand behind it, as in `1985-07-30T00:00:00Z`.
    let day = match body {
        [day @ .., _] if day.len() >= 10 && matches!(body[10], b'T' | b' ') => &body[..10],
        _ => body,
    };
    parts(day).is_some_and(|year| year < 100 || (1900..=2035).contains(&year))
}

/// The year of a date.
fn parts(body: &[u8]) -> Option<u32> {
    let number = |text: &[u8]| {
        let digits = !text.is_empty() && text.len() <= 8 && text.iter().all(u8::is_ascii_digit);
        digits.then(|| {
            text.iter()
                .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
        })
    };
    let separator = body.iter().copied().find(|byte| !byte.is_ascii_digit());
    let Some(separator) = separator else {
        let all = number(body).filter(|_| body.len() == 8)?;
        let (year, month, day) = (all / 10_000, all / 100 % 100, all % 100);
        if (1000..3000).contains(&year) && is_day(year, month, day) {
            return Some(year);
        }
        let (day, month, year) = (all / 1_000_000, all / 10_000 % 100, all % 10_000);
        let either = is_day(year, month, day) || is_day(year, day, month);
        return (either && (1900..2100).contains(&year)).then_some(year);
    };
    if !matches!(separator, b'-' | b'.' | b'/' | b' ') {
        return None;
    }
    let mut fields = body.split(|byte| *byte == separator);
    let (first, second, third) = (fields.next()?, fields.next()?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    let widths = (first.len(), second.len(), third.len());
    let (first, second, third) = (number(first)?, number(second)?, number(third)?);
    match widths {
        (4, 1..=2, 1..=2) => is_day(first, second, third).then_some(first),
        (1..=2, 1..=2, 4) => {
            (is_day(third, second, first) || is_day(third, first, second)).then_some(third)
        }
        (1..=2, 1..=2, 2) => {
            let either = is_short_day(third, second, first) || is_short_day(third, first, second);
            either.then_some(third)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        assert!(is_day(2024, 2, 29) && is_day(2000, 2, 29) && is_day(1999, 12, 31));
        assert!(
            !is_day(1900, 2, 29)
                && !is_day(2024, 13, 1)
                && !is_day(2024, 4, 31)
                && !is_day(2024, 1, 0)
        );
        assert!(
            is_yymmdd(&[8, 5, 0, 7, 3, 0]) && is_ddmmyy(&[3, 0, 0, 7, 8, 5]) && !is_yymmdd(&[8, 5])
        );
    }

    #[test]
    fn dates_are_read_in_every_usual_order() {
        for text in [
            "1985-07-30",
            "30.07.1985",
            "7/30/1985",
            "30/7/85",
            "19850730",
            "30071985",
            "1985 07 30",
        ] {
            assert!(is_birth_date(text.as_bytes()), "{text}");
        }
        for text in [
            "1985-13-30",
            "1.2.3.4",
            "12:30:00",
            "850730",
            "",
            "1-2",
            "1850-01-01",
            "30.02.1985",
        ] {
            assert!(!is_birth_date(text.as_bytes()), "{text}");
        }
    }
}
