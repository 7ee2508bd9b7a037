//! `[record]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    document::Section,
    witness::{TimestampConfig, WitnessesConfig},
};

/// How the book is written.
#[derive(Clone, Debug, Default)]
pub struct RecordConfig {
    /// The file that the newest checkpoint is kept in, apart from the book.
    pub anchor: Option<PathBuf>,
    /// How often a heartbeat is written, unless it is each minute.
    pub heartbeat: Option<Duration>,
    /// How long a session may rest before it is closed, unless it is half an hour.
    pub session_idle: Option<Duration>,
    /// How long a write may take before it counts as failed, unless it is two seconds.
    pub deadline: Option<Duration>,
    /// The file in which is kept what was not recorded, until the book can tell it.
    pub gaps: Option<PathBuf>,
    /// How long the end may wait for what is to be written, unless it is ten seconds.
    pub close_deadline: Option<Duration>,
    /// Free bytes below which health warns, unless it is 1 GiB.
    pub low_space: Option<usize>,
    /// Free bytes below which nothing new begins, unless it is 32 MiB.
    pub reserve: Option<usize>,
    /// Who is asked to sign the book's checkpoints.
    pub witnesses: WitnessesConfig,
    /// Who is asked for time stamps.
    pub timestamp: Option<TimestampConfig>,
}

impl RecordConfig {
    pub(super) fn read(section: Section<'_>, folder: &Path, data: &Path) -> Self {
        let anchor = section.text("anchor");
        let path = anchor.as_ref().map(|path| folder.join(&path.value));
        // Who restores the folder would restore the anchor with it.
        if let (Some(text), Some(path)) = (&anchor, &path)
            && path.starts_with(data)
        {
            text.wrong(
                section.notes(),
                "`anchor` lies in the folder of the book, and would be restored with it; it belongs \
                 on another disk or machine",
            );
        }
        let config = Self {
            anchor: path,
            heartbeat: section.seconds("heartbeat"),
            session_idle: section.duration("session_idle"),
            deadline: section.duration_above_zero("deadline"),
            gaps: section.text("gaps").map(|file| folder.join(file.value)),
            close_deadline: section.duration_above_zero("close_deadline"),
            low_space: section.size("low_space"),
            reserve: section.size("reserve"),
            witnesses: WitnessesConfig::read(&section),
            timestamp: TimestampConfig::read(&section, folder),
        };
        section.finish();
        config
    }
}
