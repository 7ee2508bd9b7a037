//! A top key that another program keeps: a key management service, a module, an agent.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// Two programs that wrap and unwrap the book's tenant key, such as the client of a key management
/// service.
///
/// Each gets the bytes on its standard input, has to give the others on its standard output, and to
/// end with 0. They run without a shell, with the environment of the process. What they write to
/// standard error is dropped: nobody knows whether it may be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyCommand {
    /// The program that wraps, and its arguments.
    pub wrap: Vec<String>,
    /// The program that unwraps, and its arguments.
    pub unwrap: Vec<String>,
    /// How long each may take. 10 seconds unless told.
    pub deadline: Duration,
}

impl KeyCommand {
    /// The programs that wrap and unwrap.
    pub fn new(wrap: Vec<String>, unwrap: Vec<String>) -> Self {
        Self {
            wrap,
            unwrap,
            deadline: Duration::from_secs(10),
        }
    }

    /// Gives a program its input, and returns its output.
    pub(super) fn run(
        &self,
        program: &[String],
        input: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let until = Instant::now() + self.deadline;
        let failed = |why: &'static str| Error::because(ErrorKind::TopKey, why);
        let (name, arguments) = program.split_first().ok_or(failed("no program is named"))?;
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::because(ErrorKind::TopKey, error))?;
        let output = Self::talk(&mut child, input, until);
        let ended = Self::end(&mut child, until);
        match (output, ended) {
            (Ok(output), Some(true)) => Ok(output),
            (_, Some(false)) => Err(failed("the program that keeps it failed")),
            (_, None) => Err(failed("the program that keeps it took too long")),
            (Err(error), _) => Err(error),
        }
    }

    fn talk(child: &mut Child, input: &[u8], until: Instant) -> Result<Zeroizing<Vec<u8>>, Error> {
        let failed = |why: &'static str| Error::because(ErrorKind::TopKey, why);
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (mut stdin, stdout) = stdin.zip(stdout).ok_or(failed("it has no pipes"))?;
        let input = Zeroizing::new(input.to_vec());
        // Threads of their own, which nobody joins: a program that leaves its pipes to another one
        // must not hold up more than these.
        thread::spawn(move || {
            // A program that does not read its input tells so by what it answers.
            let _unread = stdin.write_all(&input);
        });
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut output = Zeroizing::new(Vec::with_capacity(1024));
            let read = stdout.take(MAX_OUTPUT + 1).read_to_end(&mut output);
            let _left = sender.send(read.map(|_| output));
        });
        match receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Ok(output)) if output.is_empty() => Err(failed("the program gave nothing")),
            Ok(Ok(output)) if output.len() as u64 > MAX_OUTPUT => {
                Err(failed("the program gave more than a wrapped key"))
            }
            Ok(read) => read.map_err(|error| Error::because(ErrorKind::TopKey, error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                Err(failed("the program that keeps it took too long"))
            }
        }
    }

    /// Whether the program ended well, or `None` if it had to be ended.
    fn end(child: &mut Child, until: Instant) -> Option<bool> {
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status.success()),
                Ok(None) if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
                _ => {
                    let _gone = child.kill();
                    let _reaped = child.wait();
                    return None;
                }
            }
        }
    }
}

/// As much as a wrapped key may take: what key management services give is well below.
const MAX_OUTPUT: u64 = 64 << 10;

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn command(script: &str) -> (KeyCommand, Vec<String>) {
        let program = ["sh", "-c", script].map(str::to_owned).to_vec();
        let mut command = KeyCommand::new(program.clone(), program.clone());
        command.deadline = Duration::from_secs(5);
        (command, program)
    }

    #[test]
    fn what_a_program_answers_is_taken() {
        let (command, program) = command("tr a-z A-Z");
        assert_eq!(*command.run(&program, b"key").unwrap(), b"KEY");
    }

    #[test]
    fn a_program_that_fails_hangs_or_says_nothing_is_an_error() {
        for script in ["cat; exit 1", "true", "head -c 100000 /dev/zero"] {
            let (command, program) = command(script);
            let error = command.run(&program, b"key").unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::TopKey, "{script}");
        }
        let (mut command, program) = command("sleep 60");
        command.deadline = Duration::from_millis(100);
        let began = Instant::now();
        assert!(command.run(&program, b"key").is_err());
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(command.run(&[], b"key").is_err());
    }
}
