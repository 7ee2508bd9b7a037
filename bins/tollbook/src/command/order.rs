//! What the commands share that decide over the fate of records.

use std::{
    env,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;
use tollbook_gateway::{
    Plan,
    config::Config,
    control::{self, Of, Order, Ordered, Unnoted},
};
use tollbook_masking::Masker;
use tollbook_recording::{ErrorKind, Retention};

use crate::{command::Book, exit::Failure};

/// Whose records are meant.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// All of this session.
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// All that this subject did, in whatever session: the issuer's name, a slash, the subject.
    #[arg(long, value_name = "ISSUER/SUBJECT")]
    subject: Option<String>,
}

impl Whose {
    /// What that is, if it is anything.
    pub(crate) fn of(&self) -> Result<Of, Failure> {
        if let Some(session) = &self.session {
            let session = session.parse();
            return session.map(Of::Session).map_err(|_| {
                Failure::usage("--session takes the whole id, as `tollbook sessions list` has it")
            });
        }
        let whole = self.subject.as_deref().unwrap_or_default();
        let (issuer, subject) = whole
            .split_once('/')
            .filter(|(issuer, subject)| !issuer.is_empty() && !subject.is_empty())
            .ok_or_else(|| Failure::usage("--subject is written issuer/subject"))?;
        Ok(Of::Subject {
            issuer: issuer.to_owned(),
            subject: subject.to_owned(),
        })
    }
}

impl Book {
    /// The folder, and the configuration if it is that of this folder.
    pub(super) fn own(&self) -> Result<(PathBuf, Option<(PathBuf, Config)>), Failure> {
        let Some(folder) = &self.data else {
            let (file, config) = self.configuration.read()?;
            return Ok((config.gateway.data.clone(), Some((file, config))));
        };
        Ok((folder.clone(), self.configuration.of_book(folder)?))
    }

    /// How long what is in the book is kept.
    pub(crate) fn retention(&self) -> Result<Retention, Failure> {
        let (_, own) = self.own()?;
        let own = own.map(|(_, config)| config.retention());
        own.ok_or_else(|| {
            Failure::usage(
                "how long records must be kept is not known here: name the configuration with \
                 --config",
            )
        })
    }

    /// Has an order carried out: by the gateway that runs, and where none does by this process.
    pub(crate) fn order(&self, order: &Order) -> Result<Value, Failure> {
        let (folder, own) = self.own()?;
        let masker = || {
            let own = own.as_ref().and_then(|(file, config)| {
                let folder = file.parent().unwrap_or(Path::new("."));
                Plan::masker(config, folder, env::vars(), "default").ok()
            });
            own.unwrap_or_else(Masker::builtin)
        };
        let config = own.as_ref().map(|(_, config)| config);
        let retention = config.map(Config::retention);
        let book = config.map(Config::book);
        match control::order(&folder, book, retention.as_ref(), masker, order) {
            Ok(Ordered::Done(told)) => Ok(told),
            Ok(Ordered::Refused { message, .. }) => {
                Err(Failure::no(format!("nothing was done: {message}")))
            }
            Ok(_) => Err(Failure::Unknown(
                "the gateway answered something new".to_owned(),
            )),
            Err(error) => Err(undone(error)),
        }
    }
}

/// Why it is not done, or not known to be.
fn undone(error: Unnoted) -> Failure {
    if matches!(error, Unnoted::Terms) {
        return Failure::usage(format!(
            "nothing was done: {error}: name the configuration with --config"
        ));
    }
    let hint = match &error {
        Unnoted::Book(error) => match error.kind() {
            ErrorKind::AnchorLost => "; name its configuration with --config",
            ErrorKind::TopKey | ErrorKind::TopKeyWrong => {
                "; [keys] of the configuration says where the top key is"
            }
            _ => "; what was begun is done when the gateway starts, or by the same command again",
        },
        Unnoted::Copy(_) => "; erase in the folder that the gateway writes, and delete copies",
        Unnoted::Unreachable(_) => "; is it starting, or of another release?",
        _ => "",
    };
    match Failure::unknown("it is not known to be done", error) {
        Failure::Unknown(message) => Failure::Unknown(message + hint),
        other => other,
    }
}
