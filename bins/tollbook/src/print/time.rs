//! Times as a person reads them.

use jiff::{Timestamp, tz::TimeZone};

/// The RFC 3339 time in the local zone, to the millisecond.
pub(crate) fn local(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%Y-%m-%d %H:%M:%S%.3f")
            .to_string(),
        Err(_) => text.to_owned(),
    }
}
