//! `[keys]`.

use std::path::Path;

use tollbook_recording::{KeyCommand, KeySource};

use super::document::Section;

/// Where the top key of the book comes from, and to whom sessions are sealed; and whether they are
/// sealed to anybody.
pub(super) fn read(section: Section<'_>, folder: &Path) -> (KeySource, bool) {
    let file = section.text("file");
    let commands = section.has("wrap") || section.has("unwrap");
    let (wrap, unwrap) = (section.values("wrap"), section.values("unwrap"));
    let deadline = section.duration_above_zero("deadline");
    let mut source = match (file, commands) {
        (None, false) => KeySource::default(),
        (Some(file), false) => KeySource::file(folder.join(file.value)),
        (None, true) => {
            if wrap.is_empty() || unwrap.is_empty() {
                section.wrong("`wrap` and `unwrap` are a program each, with its arguments");
            }
            let mut command = KeyCommand::new(wrap, unwrap);
            command.deadline = deadline.unwrap_or(command.deadline);
            KeySource::command(command)
        }
        (Some(file), true) => {
            file.wrong(
                section.notes(),
                "the top key is in a `file`, or `wrap` and `unwrap` keep it, not both",
            );
            KeySource::default()
        }
    };
    let recipient = section.text("recipient");
    let sealed = recipient.is_some();
    if let Some(recipient) = recipient {
        match recipient.value.parse() {
            Ok(parsed) => source = source.sealed_to(parsed),
            Err(error) => recipient.wrong(section.notes(), format!("`recipient` is {error}")),
        }
    }
    section.finish();
    (source, sealed)
}
