//! Windows of time, such as `mon-fri 08:00-18:00 Europe/Berlin`.

use jiff::{Timestamp, civil::Weekday, tz::TimeZone};

const MINUTES_OF_A_DAY: u16 = 24 * 60;
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Hours of certain days in one time zone. Where they end before they begin they end on the day
/// after the one that is named.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Window {
    /// Monday first.
    days: [bool; 7],
    /// Minutes since midnight.
    from: u16,
    /// Minutes since midnight; this one is outside.
    to: u16,
    zone: TimeZone,
}

impl Window {
    /// Reads `<days> <from>-<to> <zone>`, where days are `daily` or names and ranges with commas
    /// between them, times are `HH:MM` up to `24:00`, and the zone is one of the IANA database.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [days, hours, zone] = parts.as_slice() else {
            return Err(format!(
                "`{text}` is no time window; write `mon-fri 08:00-18:00 Europe/Berlin`"
            ));
        };
        let (from, to) = hours
            .split_once('-')
            .ok_or_else(|| format!("`{hours}` are no hours; write `08:00-18:00`"))?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        if from == to || from == MINUTES_OF_A_DAY {
            return Err(format!("`{hours}` are no hours: they end where they begin"));
        }
        Ok(Self {
            days: week(days)?,
            from,
            to,
            zone: self::zone(zone)?,
        })
    }

    /// Whether `at` lies within.
    pub(crate) fn is_open(&self, at: Timestamp) -> bool {
        let local = self.zone.to_datetime(at);
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute()));
        let Ok(minute) = minute else {
            return false;
        };
        let today = self.has(local.weekday());
        if self.from < self.to {
            return today && (self.from..self.to).contains(&minute);
        }
        today && minute >= self.from || self.has(local.weekday().previous()) && minute < self.to
    }

    fn has(&self, day: Weekday) -> bool {
        let days = DAYS.iter().zip(self.days);
        days.into_iter().any(|((_, name), on)| on && *name == day)
    }
}

/// The zone of this name, or that there is none.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))
}

/// Minutes since midnight of `HH:MM`.
fn minutes(text: &str) -> Result<u16, String> {
    let number = |text: &str| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    text.split_once(':')
        .and_then(|(hour, minute)| {
            let minute = number(minute).filter(|minute| *minute < 60)?;
            Some(number(hour)? * 60 + minute)
        })
        .filter(|minutes| *minutes <= MINUTES_OF_A_DAY)
        .ok_or_else(|| format!("`{text}` is no time of day; write `08:00`"))
}

fn week(text: &str) -> Result<[bool; 7], String> {
    if text == "daily" {
        return Ok([true; 7]);
    }
    let place = |name: &str| {
        let found = DAYS.iter().position(|(day, _)| *day == name);
        found.ok_or_else(|| format!("`{name}` is no day; write mon, tue, wed, thu, fri, sat, sun"))
    };
    let mut week = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (place(first)?, place(last)?);
        // `sat-mon` goes over the end of the week.
        let length = (last + 7 - first) % 7;
        (0..=length).for_each(|step| week[(first + step) % 7] = true);
    }
    Ok(week)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_open_in_its_own_zone() {
        for (window, at, open) in [
            // Berlin is at UTC+1 in winter and at UTC+2 in summer.
            (
                "mon-fri 08:00-18:00 Europe/Berlin",
                "2026-01-05T07:00:00Z",
                true,
            ),
            (
                "mon-fri 08:00-18:00 Europe/Berlin",
                "2026-01-05T06:59:59Z",
                false,
            ),
            (
                "mon-fri 08:00-18:00 Europe/Berlin",
                "2026-07-06T06:00:00Z",
                true,
            ),
            (
                "mon-fri 08:00-18:00 Europe/Berlin",
                "2026-07-06T16:00:00Z",
                false,
            ),
            (
                "mon-fri 08:00-18:00 Europe/Berlin",
                "2026-01-10T10:00:00Z",
                false,
            ),
            ("sat,sun 00:00-24:00 UTC", "2026-01-10T23:59:59Z", true),
            ("sat,sun 00:00-24:00 UTC", "2026-01-12T00:00:00Z", false),
            // From Friday night into Saturday morning.
            ("fri 22:00-06:00 UTC", "2026-01-09T22:00:00Z", true),
            ("fri 22:00-06:00 UTC", "2026-01-10T05:59:00Z", true),
            ("fri 22:00-06:00 UTC", "2026-01-10T06:00:00Z", false),
            ("fri 22:00-06:00 UTC", "2026-01-09T05:00:00Z", false),
            ("sat-mon 00:00-24:00 UTC", "2026-01-12T12:00:00Z", true),
            ("sat-mon 00:00-24:00 UTC", "2026-01-13T12:00:00Z", false),
            ("daily 12:00-13:00 UTC", "2026-01-14T12:30:00Z", true),
        ] {
            let parsed = Window::parse(window).unwrap();
            assert_eq!(parsed.is_open(at.parse().unwrap()), open, "{window} {at}");
        }
    }

    #[test]
    fn what_is_no_window_says_why() {
        for (text, why) in [
            ("mon-fri 08:00-18:00", "is no time window"),
            ("mon-fry 08:00-18:00 UTC", "`fry` is no day"),
            ("mon 8:00-18:00 UTC", "`8:00` is no time of day"),
            ("mon 08:00-24:01 UTC", "`24:01` is no time of day"),
            ("mon 08:00-18:60 UTC", "`18:60` is no time of day"),
            ("mon 08:00 UTC", "are no hours"),
            ("mon 08:00-08:00 UTC", "they end where they begin"),
            ("mon 08:00-18:00 Europe/Berlni", "there is no time zone"),
        ] {
            let error = Window::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
