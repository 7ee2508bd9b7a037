//! What a decision costs, over sets of 10, 100 and 1,000 policies.
//!
//! Each set is what a firm of many teams has: per team a permit for models, a limit, a rule about
//! tools and one about findings, over four connections. The caller is in three groups. `decide` is
//! the set as it is; `all` puts every question, with everything that is known, to every policy.
//!
//! Before the measurements it prints percentiles of single decisions from a plain loop.

#![expect(
    clippy::expect_used,
    reason = "a bench that cannot be set up has nothing to say"
)]
#![expect(
    clippy::print_stdout,
    reason = "percentiles are printed, as criterion prints its own"
)]

use std::{collections::BTreeSet, fmt::Write as _, hint::black_box, time::Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;
use tollbook_exchange::{Action, Finding, Groups, Operator, Principal, PrincipalKind, Verdict};
use tollbook_policy::{Decide, PolicySet, PolicySetBuilder};

const CONNECTIONS: [&str; 4] = ["claude", "claude-eu", "claude-batch", "claude-lab"];
const DECISIONS: usize = 10_000;

/// `policies` policies, the caller's own among them.
fn policies(policies: usize) -> PolicySetBuilder {
    let mut text = String::new();
    for rule in 0..policies {
        let (team, connection) = (rule / 4, CONNECTIONS[rule / 4 % CONNECTIONS.len()]);
        let head = format!("@id(\"rule-{rule}\")\n");
        let written = match rule % 4 {
            0 => write!(
                text,
                "{head}permit (principal in Tollbook::Group::\"team-{team}\",\n\
                 action in Tollbook::Action::\"messages\",\n\
                 resource == Tollbook::Connection::\"{connection}\")\n\
                 when {{ context has model && context.model like \"claude-haiku-*\" }};\n"
            ),
            1 => write!(
                text,
                "{head}@reason(\"ask for a larger limit\")\n\
                 forbid (principal in Tollbook::Group::\"team-{team}\", action, resource)\n\
                 when {{ context has max_tokens && context.max_tokens > {} }};\n",
                4096 + rule
            ),
            2 => write!(
                text,
                "{head}@approval(\"leads-{team}:1\")\n\
                 forbid (principal, action in Tollbook::Action::\"messages\",\n\
                 resource == Tollbook::Connection::\"{connection}\")\n\
                 when {{ principal in Tollbook::Group::\"team-{team}\"\n\
                 && context.some.contains(\"tools: deploy-{team}-*\") }};\n"
            ),
            _ => write!(
                text,
                "{head}forbid (principal, action, resource)\n\
                 when {{ context.findings.contains(\"secret-{rule}\") }};\n"
            ),
        };
        written.expect("a string takes everything");
    }
    CONNECTIONS
        .iter()
        .fold(PolicySet::builder(), |builder, name| {
            builder.allow(*name, ["platform".to_owned()])
        })
        .file("teams.cedar", text)
}

/// A job with the claims that GitHub Actions gives one.
fn caller() -> Principal {
    let claims = json!({
        "actor": "alice", "actor_id": "1234", "aud": "tollbook", "base_ref": "",
        "event_name": "push", "head_ref": "", "job_workflow_ref": "acme/pay/.github/workflows/ci.yml@refs/heads/main",
        "ref": "refs/heads/main", "ref_protected": "true", "ref_type": "branch",
        "repository": "acme/pay", "repository_id": "4711", "repository_owner": "acme",
        "repository_owner_id": "42", "repository_visibility": "private", "run_attempt": "1",
        "run_id": "99", "run_number": "7", "runner_environment": "github-hosted",
        "sha": "3f2504e04f8911d39a0c0305e82c3301", "workflow": "ci",
    });
    let claims = serde_json::from_value(claims).expect("claims are an object");
    Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay:ref:refs/heads/main")
        .with_groups(Groups::from_iter(["team-0", "ci", "payments"]))
        .with_claims(claims)
}

fn action() -> Action {
    let set = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<BTreeSet<_>>()
    };
    Action::new("messages.create")
        .with("betas", set(&["prompt-caching-2024-07-31"]))
        .with("body_bytes", 48_213_usize)
        .with("body_scanned", true)
        .with("container", false)
        .with("labels", set(&["sql.write", "new-mcp-server"]))
        .with("max_tokens", 4096_i64)
        .with("mcp_servers", set(&[]))
        .with("messages", 31_usize)
        .with("model", "claude-haiku-4-5")
        .with("models", set(&["claude-haiku-4-5"]))
        .with("risk", 3_i64)
        .with("stream", true)
        .with("system", true)
        .with("thinking", false)
        .with(
            "tools",
            set(&["bash", "edit", "grep", "read", "web_fetch", "write"]),
        )
}

fn findings() -> Vec<Finding> {
    ["email", "aws-access-key-id", "jwt"]
        .map(|rule| Finding::new(rule, "request.body", Operator::Redact, 2))
        .to_vec()
}

fn decision(criterion: &mut Criterion) {
    let (caller, action, findings) = (caller(), action(), findings());
    for count in [10, 100, 1000] {
        let sliced = policies(count).build().expect("the policies are right");
        let all = policies(count)
            .ask_all()
            .build()
            .expect("the policies are right");
        let decide = |set: &PolicySet| {
            set.decide(
                black_box(&caller),
                "claude",
                "claude",
                black_box(&action),
                &findings,
            )
        };
        assert_eq!(decide(&sliced).verdict, Verdict::Allow);
        assert_eq!(decide(&sliced).rules, decide(&all).rules);
        percentiles(count, || decide(&sliced).is_allow());

        let mut group = criterion.benchmark_group(format!("decision/{count}"));
        group.bench_function("decide", |b| b.iter(|| decide(&sliced)));
        group.bench_function("all", |b| b.iter(|| decide(&all)));
        group.finish();
    }
}

/// Prints how long single decisions take, and what they cost of the processor: on a machine that
/// has other things to do the two differ.
fn percentiles(count: usize, decide: impl Fn() -> bool) {
    let began = on_processor();
    let mut nanos: Vec<u128> = (0..DECISIONS)
        .map(|_| {
            let began = Instant::now();
            assert!(decide());
            began.elapsed().as_nanos()
        })
        .collect();
    let spent = on_processor()
        .zip(began)
        .map(|(now, then)| (now - then) / DECISIONS as u128);
    nanos.sort_unstable();
    let at = |share: usize| nanos[DECISIONS * share / 1000] / 100;
    let micros = |tenths: u128| format!("{}.{} us", tenths / 10, tenths % 10);
    println!(
        "decision over {count} policies: p50 {}, p99 {}, p99.9 {}; processor {}",
        micros(at(500)),
        micros(at(990)),
        micros(at(999)),
        spent.map_or_else(|| "unknown".to_owned(), |nanos| micros(nanos / 100))
    );
}

/// Nanoseconds that this thread has run, as Linux counts them (proc(5), `schedstat`).
fn on_processor() -> Option<u128> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    stat.split_whitespace().next()?.parse().ok()
}

criterion_group!(benches, decision);
criterion_main!(benches);
