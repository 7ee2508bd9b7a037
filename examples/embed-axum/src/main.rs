//! Serves the example: `cargo run -p embed-axum -- ISSUER_URL`.
//!
//! `tollbook quickstart` prints a token and starts the issuer that its configuration names.

use std::error::Error;

use embed_axum::{Parts, app};
use tollbook_identity::{Issuer, OidcAuthenticator};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_recording::{Config, Recorder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = std::env::args().nth(1).ok_or("name the issuer's URL")?;
    let issuer = Issuer::builder("own", &issuer)
        .audience("tollbook")
        .groups_claim("groups")
        .max_lifetime(std::time::Duration::from_secs(24 * 3600))
        .discover()
        .build()?;
    let recorder = Recorder::open(Config::new("embed-axum-book", "localhost/embed-axum"))?;
    let app = app(Parts {
        authenticate: OidcAuthenticator::builder().issuer(issuer).build()?,
        decide: PolicySet::builder()
            .allow("own", ["developers".to_owned()])
            .build()?,
        masker: Masker::builder().builtin().build()?,
        recorder: recorder.clone(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8082").await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    recorder.close();
    Ok(())
}
