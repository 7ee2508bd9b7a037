//! `tollbook replay --play`.

use std::{
    fs::File,
    io::{self, BufWriter, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use tokio::time::{Instant, sleep_until};
use tollbook_exchange::{ExchangeId, Timestamp};
use tollbook_recording::Reader;
use tollbook_replay::{Asciicast, BlockKind, Pace, Playback, Scene, What};

use super::{Replay, failed};
use crate::{
    command::serve::Signals,
    exit::Failure,
    print::{Tone, field, heading, inert, local, tone},
};

/// Columns and rows of the terminal that an asciicast is for.
const TERMINAL: [u16; 2] = [100, 30];

/// What stands under the name of a block.
const INSET: &str = "\n             ";

impl Replay {
    pub(super) async fn play(&self) -> Result<ExitCode, Failure> {
        if self.form.json {
            return Err(Failure::usage(
                "a playback is for people; `tollbook sessions show --json` has the same for programs",
            ));
        }
        let (reader, found) = self.selected()?;
        let mut signals = Signals::listen()?;
        let mut cast = match &self.asciicast {
            Some(file) => Some(cast(file, started(&reader, found.first())?)?),
            None => None,
        };
        let mut page = Page::default();
        let begun = Instant::now();
        for scene in Playback::new(Arc::clone(&reader), found, self.pace(Pace::recorded())) {
            let scene = scene.map_err(failed)?;
            let text = page.show(&scene);
            if self.way.play {
                tokio::select! {
                    () = sleep_until(begun + scene.at) => {}
                    () = signals.next() => {
                        // What was begun ends at the end of a line.
                        print("\n")?;
                        break;
                    }
                }
                print(&text)?;
            }
            if let Some(cast) = &mut cast {
                cast.output(scene.at, &text).map_err(unwritable)?;
            }
        }
        if let Some(cast) = cast {
            cast.finish().map_err(unwritable)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// When an exchange began, in seconds since 1970.
fn started(reader: &Reader, exchange: Option<&ExchangeId>) -> Result<Option<i64>, Failure> {
    let Some(exchange) = exchange else {
        return Ok(None);
    };
    let record = reader
        .exchange(&exchange.to_string())
        .map_err(|error| Failure::unknown("cannot read the book", error))?;
    let started = record.and_then(|record| record["started"].as_str()?.parse::<Timestamp>().ok());
    Ok(started.map(|time| time.as_micros() / 1_000_000))
}

/// Where on the page the playback is.
#[derive(Default)]
struct Page {
    /// The block that is being written, if one is.
    block: Option<BlockKind>,
}

impl Page {
    /// A scene as text for a terminal. What others wrote is inert in it.
    fn show(&mut self, scene: &Scene) -> String {
        let mut text = String::new();
        if !matches!(scene.what, What::Piece(_)) && self.block.take().is_some() {
            text.push('\n');
        }
        match &scene.what {
            What::Opened {
                exchange,
                started,
                subject,
                action,
                model,
            } => {
                let mut line = vec![
                    heading(&local(&inert(started))),
                    exchange.clone(),
                    inert(action),
                ];
                line.extend(model.as_deref().map(inert));
                line.extend(subject.as_deref().map(|who| tone(&inert(who), Tone::Aside)));
                text.push_str(&format!("\n{}\n", line.join("  ")));
            }
            What::Asked {
                tool: None,
                text: said,
                ..
            } => text.push_str(&line("user", &inert(said))),
            What::Asked {
                tool: Some(tool),
                text: given,
                failed,
            } => {
                let failed = if *failed {
                    tone(" failed", Tone::Bad)
                } else {
                    String::new()
                };
                let given = format!("{}{failed} {}", heading(&inert(tool)), inert(given));
                text.push_str(&line("gave back", &given));
            }
            What::Began { kind, tool } => {
                self.block = Some(*kind);
                let name = match kind {
                    BlockKind::Text => "model",
                    BlockKind::Thinking => "thinking",
                    BlockKind::Call => "calls",
                    _ => "sent",
                };
                let tool = tool
                    .as_deref()
                    .map(|tool| format!("{} ", heading(&inert(tool))));
                text.push_str(&field(name, ""));
                text.push_str(&tool.unwrap_or_default());
            }
            What::Piece(piece) => {
                let shown = inert(piece).replace('\n', INSET);
                let meant = match self.block {
                    Some(BlockKind::Thinking) => Tone::Aside,
                    _ => Tone::Plain,
                };
                text.push_str(&tone(&shown, meant));
            }
            What::Ended {
                outcome,
                status,
                stop_reason,
                told,
                took,
            } => {
                text.extend(
                    told.iter()
                        .map(|told| line("told", &tone(&inert(told), Tone::Bad))),
                );
                let mut ended = vec![inert(outcome.as_deref().unwrap_or("still under way"))];
                ended.extend(status.map(|status| format!("status {status}")));
                ended.extend(stop_reason.as_deref().map(inert));
                ended.push(format!("after {:.1} s", took.as_secs_f64()));
                text.push_str(&line("ended", &tone(&ended.join(", "), Tone::Aside)));
            }
            _ => {}
        }
        text
    }
}

fn line(name: &str, value: &str) -> String {
    format!("{}\n", field(name, value))
}

fn cast(path: &Path, started: Option<i64>) -> Result<Asciicast<BufWriter<File>>, Failure> {
    let mut options = File::options();
    options.write(true).create_new(true);
    // What is in it came out of the book.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options
        .open(path)
        .map_err(|error| Failure::unknown(&format!("cannot write {}", path.display()), error))?;
    Asciicast::begin(BufWriter::new(file), TERMINAL, started, "tollbook replay").map_err(unwritable)
}

fn unwritable(error: io::Error) -> Failure {
    Failure::unknown("cannot write the asciicast", error)
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever watched has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::unknown("cannot write to standard output", error)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_others_wrote_does_nothing_to_a_terminal() {
        let mut page = Page::default();
        let mut show = |what| {
            let at = Duration::ZERO;
            anstream::adapter::strip_str(&page.show(&Scene::new(at, what))).to_string()
        };
        let hostile = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{202e}";
        let kind = BlockKind::Call;
        for what in [
            What::Asked {
                tool: Some(hostile.to_owned()),
                text: hostile.to_owned(),
                failed: true,
            },
            What::Began {
                kind,
                tool: Some(hostile.to_owned()),
            },
            What::Piece(hostile.to_owned()),
            What::Ended {
                outcome: Some(hostile.to_owned()),
                status: Some(200),
                stop_reason: Some(hostile.to_owned()),
                told: Some(hostile.to_owned()),
                took: Duration::ZERO,
            },
        ] {
            let text = show(what);
            assert!(text.contains("\\u{1b}]0;owned\\u{7}"), "{text:?}");
            let acts = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!text.chars().any(acts), "{text:?}");
        }
    }

    #[test]
    fn pieces_of_a_block_are_one_text() {
        let mut page = Page::default();
        let mut all = String::new();
        let kind = BlockKind::Text;
        for what in [
            What::Began { kind, tool: None },
            What::Piece("one ".to_owned()),
            What::Piece("two\nthree".to_owned()),
            What::Asked {
                tool: None,
                text: "and?".to_owned(),
                failed: false,
            },
        ] {
            all.push_str(&page.show(&Scene::new(Duration::ZERO, what)));
        }
        let all = anstream::adapter::strip_str(&all).to_string();
        assert_eq!(
            all,
            "  model      one two\n             three\n  user       and?\n"
        );
    }
}
