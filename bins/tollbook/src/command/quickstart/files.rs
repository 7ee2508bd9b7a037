//! What `quickstart` puts into its folder.

use std::{
    env, fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
};

use crate::exit::Failure;

/// The configuration. Written anew at each start, for the user to read and to copy from.
pub(super) const CONFIGURATION: &str = "quickstart.toml";
/// The token of a job, kept fresh while the gateway runs.
pub(super) const JOB: &str = "quickstart-job.token";
/// The token of a person who may approve, kept fresh while the gateway runs.
pub(super) const LEAD: &str = "quickstart-lead.token";
/// The variable under which the gateway finds the credential of its upstream.
pub(super) const KEY: &str = "ANTHROPIC_API_KEY";
/// The federation rule that speaks for the job.
pub(super) const RULE: &str = "quickstart-job";
/// The model that waits for a person. No client asks for it unless it is told to.
pub(super) const APPROVED_MODEL: &str = "claude-opus-4-1";
/// The folder of policies.
const POLICIES: &str = "quickstart-policies";

/// The policies and their tests, each with its file. They are the user's from the first start on.
const TEXTS: [(&str, &str); 3] = [
    (
        "approvals.cedar",
        r#"// A model that waits for a person: a request for it is held until one of the group `leads` has said
// yes. `tollbook approvals list` shows what waits.
@id("large-model")
@reason("a lead looks at requests for this model first")
@approval("leads:1")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { context has models && context.models.contains("claude-opus-4-1") };
"#,
    ),
    (
        "jobs.toml",
        r#"# What jobs may do that exchange their own token, in the short form. `tollbook policy print` shows it
# in Cedar. Try `models = ["claude-haiku-*"]` here, and `tollbook policy reload`.
[[rule]]
id = "jobs"
groups = ["jobs"]
actions = ["messages", "models"]
"#,
    ),
    (
        "quickstart.test.toml",
        r#"# What these policies have to decide. Tests run whenever policies are loaded: where one fails, the
# policies in force stay. `tollbook policy test` runs them and nothing else.
[default]
action = "messages.create"
facts = { body_scanned = true, model = "claude-haiku-4-5", models = ["claude-haiku-4-5"] }

[[case]]
name = "developers may use any model"
principal = { groups = ["developers"] }
facts = { model = "claude-opus-4-5", models = ["claude-opus-4-5"] }
expect = "allow"

[[case]]
name = "but one of them waits for a lead"
principal = { groups = ["developers"] }
facts = { model = "claude-opus-4-1", models = ["claude-opus-4-1"] }
expect = "approve"
requires = ["leads:1"]

[[case]]
name = "jobs may ask models"
principal = { groups = ["jobs"] }
expect = "allow"
rules = ["jobs"]

[[case]]
name = "jobs may start no batches"
principal = { groups = ["jobs"] }
action = "batches.create"
expect = "deny"
rules = []
"#,
    ),
];

/// The folder with policies in it. Those that are there stay as they are: they may be changed to
/// see what happens.
pub(super) fn folder(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: io::Error| {
        Failure::unknown(
            &format!("cannot use the folder {}", folder.display()),
            error,
        )
    };
    let policies = folder.join(POLICIES);
    let first = !policies.exists();
    fs::create_dir_all(&policies).map_err(failed)?;
    if first {
        for (name, text) in TEXTS {
            fs::write(policies.join(name), text).map_err(failed)?;
        }
    }
    folder.canonicalize().map_err(failed)
}

/// Who vouches for jobs and for people, and where the API is.
pub(super) struct Addresses<'a> {
    pub(super) jobs: &'a str,
    pub(super) people: &'a str,
    pub(super) upstream: &'a str,
}

/// The configuration. Its ports are the usual ones where they are free.
pub(super) fn configuration(at: &Addresses<'_>, any_port: bool) -> String {
    let Addresses {
        jobs,
        people,
        upstream,
    } = at;
    let address = |port: u16| {
        let usual = format!("127.0.0.1:{port}");
        let free = !any_port && TcpListener::bind(&usual).is_ok();
        if free {
            usual
        } else {
            "127.0.0.1:0".to_owned()
        }
    };
    format!(
        r#"# This file belongs to `tollbook quickstart`, which writes it anew at each start.
# It also starts the issuers named here and, where it stands in for the API, the upstream. For a
# gateway of your own, copy this to a tollbook.toml and put yours in their place.
[gateway]
listen = "{listen}"
admin = "{admin}"
data = "."

# Vouches for programs, as GitHub Actions and the like do.
[[issuer]]
name = "quickstart"
issuer = "{jobs}"
audience = "tollbook"
groups_claim = "groups"
max_lifetime = "24h"

# Vouches for people, as your company's sign-in does.
[[issuer]]
name = "people"
issuer = "{people}"
audience = "tollbook"
kind = "human"
groups_claim = "groups"

# Jobs of this repository may exchange their token for one of the gate, and are in group `jobs` then.
[[federation]]
id = "{RULE}"
issuer = "quickstart"
claims = {{ repository_id = "123456" }}
groups = ["jobs"]
lifetime = "10m"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "{upstream}"
credential = {{ header = "x-api-key", env = "{KEY}" }}
allow = ["developers"]

[policy]
path = "{POLICIES}"

# Whoever is in this group may revoke tokens and load policies.
[admin]
operator = ["platform"]
"#,
        listen = address(8080),
        admin = address(8081),
    )
}

/// Whether the stand-in takes the place of the API: for one call alone, which must cost nothing, and
/// wherever there is no key.
pub(super) fn stands_in(once: bool) -> bool {
    once || env::var(KEY).map_or(true, |key| key.trim().is_empty())
}

/// What is pasted to send one call.
pub(super) fn curl() -> String {
    r#"curl -N "$ANTHROPIC_BASE_URL/v1/messages" -H "authorization: Bearer $ANTHROPIC_AUTH_TOKEN" \
  -H "anthropic-version: 2023-06-01" -H "content-type: application/json" \
  -d '{"model":"claude-haiku-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hello"}]}'"#
        .to_owned()
}

/// The folder of policies within `folder`.
pub(super) fn policies(folder: &Path) -> PathBuf {
    folder.join(POLICIES)
}
