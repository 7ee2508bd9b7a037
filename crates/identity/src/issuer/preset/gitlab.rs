//! GitLab CI, in the cloud and self-managed.
//!
//! Claims: <https://docs.gitlab.com/ci/secrets/id_token_authentication/>. The subject is
//! `project_path:GROUP/PROJECT:ref_type:TYPE:ref:NAME` unless a project chose other parts. Ids and
//! yes-or-no values are texts, but `runner_id` is a number.

use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    kind: PrincipalKind::Ci,
    claims: &[
        "ci_config_ref_uri",
        "ci_config_sha",
        "deployment_tier",
        "environment",
        "environment_protected",
        "job_id",
        "job_source",
        "namespace_id",
        "namespace_path",
        "pipeline_id",
        "pipeline_source",
        "project_id",
        "project_path",
        "project_visibility",
        "ref",
        "ref_path",
        "ref_protected",
        "ref_type",
        "runner_environment",
        "runner_id",
        "sha",
        "user_id",
        "user_login",
    ],
    // A token lives as long as its job may run, and that is for the project to say.
    max_lifetime: 24 * 60 * 60,
    describe,
    ..GENERIC
};

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    // No path of a project has a colon.
    let path = token
        .subject
        .strip_prefix("project_path:")
        .and_then(|rest| rest.split(':').next());
    if let Some(path) = path {
        token.agrees("project_path", path)?;
    }
    principal.stable_id = Some(token.required("project_id")?);
    principal.actor = token.actor("user_id", "user_login")?;
    principal.run = token.run("job_id")?;
    principal.environment = token.text("environment")?;
    Ok(())
}
