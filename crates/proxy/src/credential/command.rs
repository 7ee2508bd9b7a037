//! Credentials that a program prints.

use std::time::Duration;

use http::HeaderName;

use super::{
    CredentialError, CredentialFuture, Program, ProvideCredential,
    renewed::{Fresh, Renewed, Source},
    secret,
};
use crate::{BuildError, Credential};

/// A credential that a [`Program`] prints, used for a while and then asked for again.
///
/// The program runs when the first request needs it, and again when a credential has had four
/// fifths of its time: in the background, so that nobody waits. It never runs twice at once. When
/// it fails, what it printed last is used to the end of its time and no longer, and the pauses
/// between tries grow from one second to a minute. A 401 by the upstream ends a credential before
/// its time.
#[derive(Debug)]
pub struct CommandCredential {
    header: HeaderName,
    renewed: Renewed<Printed>,
}

impl CommandCredential {
    /// How long what was printed is used, unless told.
    pub const TTL: Duration = Duration::from_secs(5 * 60);

    /// What `program` prints, behind `prefix` in `header`, used for `ttl` at a time.
    ///
    /// # Errors
    ///
    /// When the header is none or the prefix cannot stand in it, as with [`Credential::new`].
    pub fn new(
        header: &str,
        prefix: &str,
        program: Program,
        ttl: Duration,
    ) -> Result<Self, BuildError> {
        // With some secret, to hear of mistakes now.
        let credential = Credential::new(header, prefix, "x")?;
        Ok(Self {
            header: credential.header().clone(),
            renewed: Renewed::new(Printed {
                header: header.to_owned(),
                prefix: prefix.to_owned(),
                program,
                ttl,
            }),
        })
    }
}

impl ProvideCredential for CommandCredential {
    fn header(&self) -> &HeaderName {
        &self.header
    }

    fn current(&self) -> CredentialFuture<'_> {
        Box::pin(self.renewed.current())
    }

    fn refused(&self, credential: &Credential) -> bool {
        self.renewed.refused(credential)
    }
}

#[derive(Debug)]
struct Printed {
    header: String,
    prefix: String,
    program: Program,
    ttl: Duration,
}

impl Source for Printed {
    async fn fetch(&self) -> Result<Fresh, CredentialError> {
        let printed = self.program.run().await?;
        let credential = Credential::new(&self.header, &self.prefix, secret::word(&printed)?)
            .map_err(|error| CredentialError::new("it cannot be sent").with_source(error))?;
        Ok(Fresh {
            credential,
            renew_after: self.ttl * 4 / 5,
            use_for: self.ttl,
        })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_program_runs_once_for_many_and_again_when_refused() {
        let folder = tempfile::tempdir().unwrap();
        let runs = folder.path().join("runs");
        let script = format!("echo run >> {0}; wc -l < {0}", runs.display());
        let program = Program::new(["/bin/sh", "-c", &script]).unwrap();
        let provider =
            CommandCredential::new("Authorization", "Bearer ", program, CommandCredential::TTL)
                .unwrap();
        assert_eq!(provider.header(), "authorization");
        let (first, second) = tokio::join!(provider.current(), provider.current());
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.value(), "Bearer 1");
        assert!(first.is_copy_of(&second));
        assert!(provider.refused(&first));
        assert_eq!(provider.current().await.unwrap().value(), "Bearer 2");
        assert_eq!(fs::read_to_string(&runs).unwrap().lines().count(), 2);
        assert!(!format!("{provider:?}").contains("runs"));
    }

    #[test]
    fn mistakes_are_told_at_once() {
        let program = || Program::new(["true"]).unwrap();
        for (header, prefix) in [("host", ""), ("x y", ""), ("x-api-key", "a\nb")] {
            let made = CommandCredential::new(header, prefix, program(), CommandCredential::TTL);
            assert!(made.is_err(), "{header}");
        }
    }
}
