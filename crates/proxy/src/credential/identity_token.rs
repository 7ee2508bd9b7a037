//! The token by which the gate itself is known.

use std::{env, ffi::OsString, io, path::PathBuf};

use tokio::{fs::File, io::AsyncReadExt};
use zeroize::Zeroizing;

use super::{
    CredentialError, Program,
    secret::{self, TOKEN_LIMIT},
};
use crate::error::{BuildError, Fault};

/// Where the gate's own identity token is: a JWT that the platform it runs on gives it and renews.
///
/// It is read anew for each exchange, because it rotates.
#[derive(Clone, Debug)]
pub struct IdentityToken(Place);

#[derive(Clone, Debug)]
enum Place {
    File(PathBuf),
    Variable(OsString),
    Program(Program),
}

impl IdentityToken {
    /// In a file of at most 16 KiB, such as a projected service account token of Kubernetes.
    ///
    /// Whoever may read the file is not looked at: platforms write such files for every process of
    /// a container, and the token in it is short-lived and good for one audience.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// In an environment variable of the gateway.
    ///
    /// # Errors
    ///
    /// When no variable can have that name.
    pub fn variable(name: impl Into<OsString>) -> Result<Self, BuildError> {
        let name = name.into();
        let bytes = name.as_encoded_bytes();
        if bytes.is_empty() || bytes.contains(&b'=') || bytes.contains(&0) {
            return Err(Fault::VariableName.into());
        }
        Ok(Self(Place::Variable(name)))
    }

    /// Printed by a program.
    pub const fn program(program: Program) -> Self {
        Self(Place::Program(program))
    }

    /// The token, with white space around it.
    pub(super) async fn read(&self) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
        match &self.0 {
            Place::File(path) => contents(path).await.map_err(|error| {
                CredentialError::new("the file of the identity token cannot be read")
                    .with_source(error)
            }),
            Place::Variable(name) => match env::var_os(name) {
                Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
                None => Err(CredentialError::new(
                    "the variable of the identity token is not set",
                )),
            },
            Place::Program(program) => program.run().await,
        }
    }
}

async fn contents(path: &PathBuf) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut contents = secret::buffer();
    let file = File::open(path).await?;
    file.take(TOKEN_LIMIT as u64 + 1)
        .read_to_end(&mut contents)
        .await?;
    Ok(contents)
}
