//! How a command fails.

use std::{error::Error, process::ExitCode};

/// A failure, by the exit code that tells scripts about it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: the question was understood and the answer is no.
    No(String),
    /// 2: the command or the configuration is wrong.
    Usage(String),
    /// 3: it could not be told, or something was not reachable.
    Unknown(String),
}

impl Failure {
    /// 1 with the answer.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::No(message.into())
    }

    /// 2 with what is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// 3 with what could not be done, and the chain of causes.
    pub(crate) fn unknown(doing: &str, error: impl Error) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!(": {error}"));
            cause = error.source();
        }
        Self::Unknown(message)
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::No(message) | Self::Usage(message) | Self::Unknown(message) => message,
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::No(_) => 1,
            Self::Usage(_) => 2,
            Self::Unknown(_) => 3,
        })
    }
}
