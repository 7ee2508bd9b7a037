//! What it takes to know a caller: an issuer's token verified in full, the same one again, and a
//! gateway token.
//!
//! Verification in full is what a caller's first request costs; afterwards the token is remembered
//! by its hash, and its times and its key are looked at again. A gateway token is one lookup in
//! memory here; with the store in SQLite it is one read of an index.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up is no bench"
)]

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::Value;
use tokio::runtime::Runtime;
use tollbook_identity::{
    Authenticate, Credentials, GateAuthenticator, Issuer, OidcAuthenticator, Preset, Rule, Rules,
    TokenExchange,
};
use tollbook_testkit::issuer::{Algorithm, Config, OidcIssuer, Shape};

/// How many tokens an authenticator remembers, or none.
const REMEMBERED: [(&str, usize); 2] = [("cold", 0), ("cached", 4096)];

fn oidc(issuer: &OidcIssuer, algorithm: &str, remembered: usize) -> OidcAuthenticator {
    let trusted = Issuer::builder("ci", issuer.issuer_url())
        .preset(Preset::GithubActions)
        .audience("tollbook")
        .algorithms([algorithm])
        .jwks_json(issuer.jwks_json())
        .build()
        .expect("the issuer is described rightly");
    OidcAuthenticator::builder()
        .issuer(trusted)
        .recent_tokens(remembered)
        .build()
        .expect("one issuer can be told apart")
}

/// A token as GitHub Actions makes it.
fn token(issuer: &OidcIssuer) -> String {
    issuer
        .shaped(Shape::GithubActions)
        .audience("tollbook")
        .lifetime(Duration::from_secs(600))
        .sign()
        .expect("the issuer signs")
}

fn tokens(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    for (name, algorithm) in [("RS256", Algorithm::Rs256), ("ES256", Algorithm::Es256)] {
        let issuer = runtime
            .block_on(OidcIssuer::start(Config::default().algorithm(algorithm)))
            .expect("the issuer starts");
        let shown = Credentials::new(token(&issuer));
        let mut group = criterion.benchmark_group(format!("token/{name}"));
        for (how, remembered) in REMEMBERED {
            let oidc = oidc(&issuer, name, remembered);
            runtime
                .block_on(oidc.authenticate(&shown))
                .expect("the token is good");
            group.bench_function(how, |b| {
                b.iter(|| runtime.block_on(oidc.authenticate(black_box(&shown))));
            });
        }
        group.finish();
    }

    let issuer = runtime
        .block_on(OidcIssuer::start(
            Config::default().algorithm(Algorithm::Rs256),
        ))
        .expect("the issuer starts");
    let oidc = oidc(&issuer, "RS256", 4096);
    let rule = Rule::builder("ci", "ci")
        .claim("repository_id", "74")
        .groups(["ci-payments"]);
    let rules = Rules::new([rule], &oidc).expect("the rule is right");
    let gate = GateAuthenticator::builder(oidc).rules(rules).build();
    let body = serde_json::json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": token(&issuer),
        "federation_rule_id": "ci",
        "organization_id": "00000000-0000-0000-0000-000000000000",
    });
    let exchange = TokenExchange::new(gate.clone());
    let answer = runtime.block_on(exchange.respond(
        Some("application/json"),
        body.to_string().as_bytes(),
        None,
    ));
    let answer: Value = serde_json::from_str(&answer.body).expect("an answer is JSON");
    let issued = answer["access_token"].as_str().expect("a token is issued");
    let shown = Credentials::new(issued);
    criterion.bench_function("token/gateway", |b| {
        b.iter(|| runtime.block_on(gate.authenticate(black_box(&shown))));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = tokens
}
criterion_main!(benches);
