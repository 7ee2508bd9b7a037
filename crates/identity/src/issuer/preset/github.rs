//! GitHub Actions.
//!
//! Claims and subjects:
//! <https://docs.github.com/en/actions/reference/security/oidc>. Unless a template replaces it, the
//! subject is `repo:OWNER/NAME:CONTEXT`; repositories made, renamed or moved since July 2026 have
//! `repo:OWNER@ID/NAME@ID:CONTEXT`.

use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    identifier: Some("https://token.actions.githubusercontent.com"),
    kind: PrincipalKind::Ci,
    claims: &[
        "actor",
        "actor_id",
        "base_ref",
        "check_run_id",
        "enterprise_id",
        "environment",
        "event_name",
        "head_ref",
        "job_workflow_ref",
        "job_workflow_sha",
        "ref",
        "ref_protected",
        "ref_type",
        "repo_property_*",
        "repository",
        "repository_id",
        "repository_owner",
        "repository_owner_id",
        "repository_visibility",
        "run_attempt",
        "run_id",
        "run_number",
        "runner_environment",
        "sha",
        "workflow",
        "workflow_ref",
        "workflow_sha",
    ],
    // Tokens live for five minutes.
    max_lifetime: 15 * 60,
    describe,
    ..GENERIC
};

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let ids = ids(token.subject)?;
    if let Some((owner, repository)) = ids {
        token.agrees("repository_owner_id", owner)?;
        token.agrees("repository_id", repository)?;
    }
    principal.stable_id = token
        .text("repository_id")?
        .or_else(|| ids.map(|(_, repository)| repository.to_owned()));
    principal.actor = token.actor("actor_id", "actor")?;
    principal.run = token.run("run_id")?;
    if let Some(run) = &mut principal.run {
        run.attempt = token.text("run_attempt")?;
    }
    principal.environment = token.text("environment")?;
    Ok(())
}

/// The ids of owner and repository in a subject, if it is one that has them. Neither owners nor
/// repositories can have an `@` in their names.
fn ids(subject: &str) -> Result<Option<(&str, &str)>, Reason> {
    let Some(rest) = subject.strip_prefix("repo:") else {
        return Ok(None);
    };
    let path = rest.split_once(':').map_or(rest, |(path, _)| path);
    let (owner, repository) = path.split_once('/').ok_or(Reason::SubjectInvalid)?;
    match (owner.split_once('@'), repository.split_once('@')) {
        (None, None) => Ok(None),
        (Some((_, owner)), Some((_, repository))) if is_id(owner) && is_id(repository) => {
            Ok(Some((owner, repository)))
        }
        _ => Err(Reason::SubjectInvalid),
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_subject_are_read() {
        for (subject, expected) in [
            ("repo:acme/pay:ref:refs/heads/main", Ok(None)),
            ("repo:acme/pay", Ok(None)),
            ("repository_owner:acme:environment:prod@2/1", Ok(None)),
            ("repo:acme@1/pay@22:pull_request", Ok(Some(("1", "22")))),
            ("repo:acme@1/pay@22", Ok(Some(("1", "22")))),
            ("repo:acme/pay:ref:refs/tags/a@1/b@2", Ok(None)),
            ("repo:acme@1/pay:pull_request", Err(Reason::SubjectInvalid)),
            ("repo:acme/pay@2:pull_request", Err(Reason::SubjectInvalid)),
            (
                "repo:acme@x/pay@2:pull_request",
                Err(Reason::SubjectInvalid),
            ),
            ("repo:acme@1/pay@:pull_request", Err(Reason::SubjectInvalid)),
            ("repo:acme@1@2/pay@3:x", Err(Reason::SubjectInvalid)),
            ("repo:acme@1/pay@3/x@4:x", Err(Reason::SubjectInvalid)),
            ("repo:acme", Err(Reason::SubjectInvalid)),
        ] {
            assert_eq!(ids(subject), expected, "{subject}");
        }
    }
}
