//! Buildkite.
//!
//! Claims: <https://buildkite.com/docs/agent/cli/reference/oidc>. All customers share one issuer.
//! The subject is `organization:O:pipeline:P:ref:R:commit:C:step:S`. `organization_id` and
//! `pipeline_id` are there only if the job asked for them; a rule that names one makes every job
//! ask.

use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    identifier: Some("https://agent.buildkite.com"),
    kind: PrincipalKind::Ci,
    claims: &[
        "agent_id",
        "build_branch",
        "build_commit",
        "build_id",
        "build_number",
        "build_source",
        "build_tag",
        "cluster_id",
        "cluster_name",
        "job_id",
        "organization_id",
        "organization_slug",
        "pipeline_id",
        "pipeline_slug",
        "queue_id",
        "queue_key",
        "runner_environment",
        "step_key",
    ],
    describe,
    ..GENERIC
};

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let organization = token.required("organization_slug")?;
    let pipeline = token.required("pipeline_slug")?;
    if token.subject.starts_with("organization:") {
        let own = format!("organization:{organization}:pipeline:{pipeline}:");
        if !token.subject.starts_with(&own) {
            return Err(Reason::ClaimsContradict);
        }
    }
    principal.stable_id = Some(
        token
            .text("pipeline_id")?
            .unwrap_or_else(|| format!("{organization}/{pipeline}")),
    );
    principal.run = token.run("job_id")?;
    Ok(())
}
