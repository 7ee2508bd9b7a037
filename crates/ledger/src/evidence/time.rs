//! Times as a manifest has them.

/// The time in RFC 3339, in UTC and to the microsecond. `time` is in microseconds since
/// 1970-01-01T00:00:00Z.
pub fn time_to_text(time: i64) -> String {
    let (seconds, micros) = (time.div_euclid(1_000_000), time.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads what [`time_to_text`] wrote, in the years 0000 to 9999.
pub fn time_from_text(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<i64> { text.get(from..to)?.parse().ok() };
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let seconds = days * 86_400 + number(11, 13)? * 3600 + number(14, 16)? * 60 + number(17, 19)?;
    let time = seconds * 1_000_000 + number(20, 26)?;
    // Only one text stands for a time; this also refuses months and hours that there are not.
    (time_to_text(time) == text).then_some(time)
}

/// The proleptic Gregorian date of a day since 1970-01-01 (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", `civil_from_days`).
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let next = if month <= 2 { 1 } else { 0 };
    (year_of_era + era * 400 + next, month, day)
}

/// The other way round (`days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_315_987_123_456, "2026-11-22T02:53:07.123456Z"),
        ] {
            assert_eq!(time_to_text(time), text);
            assert_eq!(time_from_text(text), Some(time));
        }
        for wrong in [
            "",
            "2026-11-22T02:53:07Z",
            "2026-02-29T00:00:00.000000Z",
            "2026-13-01T00:00:00.000000Z",
            "2026-00-01T00:00:00.000000Z",
            "2026-01-01T24:00:00.000000Z",
            "2026-01-01T00:00:00.000000z",
            "2026-01-01T00:00:00.00000\u{e9}",
        ] {
            assert_eq!(time_from_text(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_time_is_read_back(time in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(time_from_text(&time_to_text(time)), Some(time));
        }
    }
}
