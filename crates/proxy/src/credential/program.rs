//! Programs that print a secret.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    CredentialError,
    secret::{self, TOKEN_LIMIT},
};
use crate::error::{BuildError, Fault};

/// A program that prints one secret, and how it is called.
///
/// It is started without a shell, with the gateway's environment and nothing to read; what it says
/// on its error output is thrown away, since it may say the secret there. It has to print one word
/// of at most 16 KiB, white space around it aside, and to end with status 0 in time. What it
/// started and left behind in its process group is ended when it failed.
#[derive(Clone)]
pub struct Program {
    program: OsString,
    arguments: Vec<OsString>,
    limit: Duration,
}

impl Program {
    /// The program and its arguments. A name without a slash is looked for in `PATH`.
    ///
    /// # Errors
    ///
    /// When there is no program among them.
    pub fn new(command: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Self, BuildError> {
        let mut command = command.into_iter().map(Into::into);
        let program = command
            .next()
            .filter(|program| !program.is_empty())
            .ok_or(Fault::EmptyCommand)?;
        Ok(Self {
            program,
            arguments: command.collect(),
            limit: Duration::from_secs(10),
        })
    }

    /// How long the program may take. 10 seconds unless told.
    #[must_use]
    pub const fn limit(mut self, time: Duration) -> Self {
        self.limit = time;
        self
    }

    /// Runs the program and hands on what it printed; [`secret::word`] judges it.
    pub(super) async fn run(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        timeout(self.limit, self.printed())
            .await
            .map_err(|_| CredentialError::new("the command took too long"))?
    }

    async fn printed(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        let failed = |error| CredentialError::new("the command cannot be run").with_source(error);
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        // Dropped before the child: while nobody has waited for it, its id is not given again.
        let mut group = Group::of(&child);
        let mut printed = secret::buffer();
        if let Some(output) = child.stdout.take() {
            let mut output = output.take(TOKEN_LIMIT as u64 + 1);
            output.read_to_end(&mut printed).await.map_err(failed)?;
        }
        if printed.len() > TOKEN_LIMIT {
            return Err(CredentialError::new("the command printed too much"));
        }
        let status = child.wait().await.map_err(failed)?;
        group.leave();
        if !status.success() {
            return Err(CredentialError::new("the command failed"));
        }
        Ok(printed)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments have been known to hold secrets.
        let name = std::path::Path::new(&self.program).file_name();
        f.debug_struct("Program")
            .field("name", &name.unwrap_or(OsStr::new("")))
            .finish_non_exhaustive()
    }
}

/// The process group of a child, which is ended when this is dropped.
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

impl Group {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(rustix::process::Pid::from_raw),
        }
    }

    #[cfg(not(unix))]
    fn of(_: &Child) -> Self {
        Self {}
    }

    /// Leaves the group to itself.
    fn leave(&mut self) {
        #[cfg(unix)]
        {
            self.leader = None;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(leader) = self.leader {
            // Gone already, where it fails.
            rustix::process::kill_process_group(leader, rustix::process::Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{fs, time::Instant};

    use super::*;

    fn shell(script: &str) -> Program {
        Program::new(["/bin/sh", "-c", script]).unwrap()
    }

    async fn token(program: &Program) -> Result<String, String> {
        let printed = program.run().await.map_err(|error| error.to_string())?;
        let word = secret::word(&printed).map_err(|error| error.to_string())?;
        Ok(word.to_owned())
    }

    #[tokio::test]
    async fn one_word_is_taken_and_nothing_else() {
        for (script, expected) in [
            ("echo ' tok '; echo noise >&2", Ok("tok")),
            ("printf tok", Ok("tok")),
            ("cat; printf tok", Ok("tok")),
            ("", Err("there is no token")),
            ("echo two words", Err("there is more than one token")),
            ("echo tok; exit 3", Err("the command failed")),
            ("echo tok; kill -9 $$", Err("the command failed")),
            (
                "head -c 16385 /dev/zero | tr '\\0' a",
                Err("the command printed too much"),
            ),
            ("yes", Err("the command printed too much")),
        ] {
            let found = token(&shell(script)).await;
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{script}");
        }
        let none = Program::new(["/nonexistent/program"]).unwrap();
        assert_eq!(token(&none).await, Err("the command cannot be run".into()));
        assert!(Program::new(Vec::<String>::new()).is_err());
        assert!(Program::new([""]).is_err());
    }

    #[tokio::test]
    async fn arguments_are_not_read_by_a_shell() {
        let program = Program::new(["printf", "%s", "$HOME;`id`"]).unwrap();
        assert_eq!(token(&program).await.unwrap(), "$HOME;`id`");
        assert!(!format!("{program:?}").contains("HOME"));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        // The shell ends at once; the one it started keeps the output open.
        let script = format!("sleep 100 & echo $! > {}; echo tok", file.display());
        let begun = Instant::now();
        let program = shell(&script).limit(Duration::from_millis(300));
        assert_eq!(
            token(&program).await,
            Err("the command took too long".into())
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
        let pid = fs::read_to_string(file).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        let alive = || fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..100 {
            if !alive() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("it lives on");
    }
}
