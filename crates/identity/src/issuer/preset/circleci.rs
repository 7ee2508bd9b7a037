//! CircleCI.
//!
//! Claims: <https://circleci.com/docs/openid-connect-tokens/>. The subject is
//! `org/UUID/project/UUID/user/UUID`; the second version of the token adds
//! `/vcs-origin/…/vcs-ref/…`.

use serde_json::Value;
use tollbook_exchange::{Actor, Principal, PrincipalKind};

use super::profile::{Description, GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    kind: PrincipalKind::Ci,
    claims: &[
        "oidc.circleci.com/job-id",
        "oidc.circleci.com/org-id",
        "oidc.circleci.com/pipeline-definition-id",
        "oidc.circleci.com/pipeline-id",
        "oidc.circleci.com/project-id",
        "oidc.circleci.com/ssh-rerun",
        "oidc.circleci.com/vcs-origin",
        "oidc.circleci.com/vcs-ref",
        "oidc.circleci.com/workflow-id",
    ],
    problem,
    describe,
    ..GENERIC
};

const CLOUD: &str = "https://oidc.circleci.com";

fn problem(issuer: &Description<'_>) -> Option<&'static str> {
    let rest = issuer.identifier.strip_prefix(CLOUD)?;
    let organization = rest.strip_prefix("/org/").unwrap_or_default();
    (!is_uuid(organization)).then_some("must name its organization: /org/ and a UUID")
}

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    // Somebody sat in the job's machine with a shell: what it sends is no longer the job's doing.
    match token.claims.get("oidc.circleci.com/ssh-rerun") {
        None | Some(Value::Null | Value::Bool(false)) => {}
        Some(Value::String(text)) if text == "false" => {}
        Some(_) => return Err(Reason::SshRerun),
    }
    let parts: Vec<&str> = token.subject.splitn(7, '/').collect();
    let ["org", organization, "project", project, "user", user, ..] = parts[..] else {
        return Err(Reason::SubjectInvalid);
    };
    if [organization, project, user].contains(&"") {
        return Err(Reason::SubjectInvalid);
    }
    if let Some((_, own)) = token.identifier.rsplit_once("/org/")
        && own != organization
    {
        return Err(Reason::ClaimsContradict);
    }
    token.agrees("oidc.circleci.com/org-id", organization)?;
    token.agrees("oidc.circleci.com/project-id", project)?;
    principal.stable_id = Some(project.to_owned());
    principal.actor = Some(Actor {
        id: Some(user.to_owned()),
        login: None,
    });
    principal.run = token.run("oidc.circleci.com/job-id")?;
    Ok(())
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}
