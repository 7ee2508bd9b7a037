//! An Okta authorization server.
//!
//! Claims: <https://developer.okta.com/docs/api/openapi/okta-oauth/guides/overview/>. Tokens of the
//! organization's own server cannot be verified by others, so the issuer is always below `/oauth2/`.
//! A list of groups is cut at 100 without a word.

use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{Description, GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    claims: &["cid", "scp", "uid", "ver"],
    groups_claim: Some("groups"),
    groups_cut_at: Some(100),
    party_claims: &["azp", "cid"],
    problem,
    describe,
    ..GENERIC
};

fn problem(issuer: &Description<'_>) -> Option<&'static str> {
    let host = issuer.identifier.strip_prefix("https://")?;
    let (host, path) = host.split_once('/').unwrap_or((host, ""));
    let okta = [
        ".okta.com",
        ".oktapreview.com",
        ".okta-emea.com",
        ".okta-gov.com",
    ]
    .iter()
    .any(|end| host.ends_with(end));
    (okta && !path.starts_with("oauth2/")).then_some(
        "is the organization's own server, whose tokens only Okta can verify: name one below /oauth2/",
    )
}

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let (user, client) = (token.text("uid")?, token.text("cid")?);
    // A service application's token has itself for a subject.
    let application = user.is_none() && client.is_some();
    principal.kind = match token.kind {
        _ if application => PrincipalKind::Service,
        Some(kind) => kind,
        None if user.is_some() => PrincipalKind::Human,
        None => PrincipalKind::Service,
    };
    principal.stable_id = user.or(client);
    Ok(())
}
