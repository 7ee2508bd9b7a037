//! A playback as a file that players of terminal sessions show.

use std::{
    io::{self, Write},
    time::Duration,
};

use serde_json::json;

/// Writes an asciicast, version 2: a line with the head, and a line for each output.
/// (<https://docs.asciinema.org/manual/asciicast/v2/>)
///
/// ```
/// use std::time::Duration;
/// use tollbook_replay::Asciicast;
///
/// let mut file = Vec::new();
/// let mut cast = Asciicast::begin(&mut file, [80, 24], Some(1_767_603_600), "a session")?;
/// cast.output(Duration::from_millis(1500), "hello\n")?;
/// let text = String::from_utf8(file).unwrap();
/// let mut lines = text.lines();
/// assert_eq!(
///     lines.next(),
///     Some(r#"{"version":2,"width":80,"height":24,"timestamp":1767603600,"title":"a session"}"#),
/// );
/// assert_eq!(lines.next(), Some(r#"[1.5,"o","hello\r\n"]"#));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Asciicast<W> {
    out: W,
}

impl<W: Write> Asciicast<W> {
    /// Begins a file for a terminal with so many columns and rows. `started` is the time of what is
    /// shown, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn begin(
        mut out: W,
        [width, height]: [u16; 2],
        started: Option<i64>,
        title: &str,
    ) -> io::Result<Self> {
        let mut head = json!({ "version": 2, "width": width, "height": height });
        if let Some(started) = started {
            head["timestamp"] = json!(started);
        }
        head["title"] = json!(title);
        writeln!(out, "{head}")?;
        Ok(Self { out })
    }

    /// Adds what a terminal was sent, so long after the beginning.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn output(&mut self, at: Duration, text: &str) -> io::Result<()> {
        // What a terminal gets has both.
        let text = text.replace('\n', "\r\n");
        writeln!(self.out, "{}", json!([at.as_secs_f64(), "o", text]))
    }

    /// Writes out what is held.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}
