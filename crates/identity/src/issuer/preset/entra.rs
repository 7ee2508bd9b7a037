//! Microsoft Entra ID.
//!
//! Claims: <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>.
//! Version 1 tokens are `https://sts.windows.net/TENANT/`'s, version 2 tokens
//! `https://login.microsoftonline.com/TENANT/v2.0`'s. Above 200 groups the claim is dropped and
//! `_claim_names` or `hasgroups` is there instead.

use reqwest::Url;
use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{Description, GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    claims: &[
        "appid",
        "azp",
        "azpacr",
        "idtyp",
        "oid",
        "scp",
        "tid",
        "ver",
        "xms_mirid",
    ],
    groups_claim: Some("groups"),
    roles_claim: Some("roles"),
    // Tokens of managed identities live for a day, and are dated five minutes back.
    max_lifetime: 24 * 60 * 60 + 10 * 60,
    party_claims: &["azp", "appid"],
    problem,
    describe,
    ..GENERIC
};

/// What stands in the place of a tenant and means any.
const ANYBODY: [&str; 4] = ["common", "organizations", "consumers", "{tenantid}"];

fn problem(issuer: &Description<'_>) -> Option<&'static str> {
    let tenant = tenant(issuer.identifier)?;
    ANYBODY
        .iter()
        .any(|anybody| tenant.eq_ignore_ascii_case(anybody))
        .then_some("must name its tenant, or everybody's tokens would do")
}

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let own = token.required("tid")?;
    if is_microsoft(token.identifier)
        && tenant(token.identifier).is_some_and(|tenant| tenant != own)
    {
        return Err(Reason::ClaimsContradict);
    }
    let object = token.text("oid")?;
    let kind = token.text("idtyp")?;
    // An application's own token says so, or is about the object that it was given out to; a token
    // that a person let an application have carries scopes. Whatever is neither is nobody's person:
    // only people may approve.
    let application = match kind.as_deref() {
        Some(kind) => kind != "user",
        None => object.as_deref() == Some(token.subject),
    };
    let person = kind.as_deref() == Some("user") || token.text("scp")?.is_some();
    principal.kind = match token.kind {
        _ if application => PrincipalKind::Service,
        Some(kind) => kind,
        None if person => PrincipalKind::Human,
        None => PrincipalKind::Service,
    };
    principal.stable_id = object.map(|object| format!("{own}/{object}"));
    Ok(())
}

/// The tenant in an issuer's address: the first part of its path.
fn tenant(identifier: &str) -> Option<String> {
    // Not from the parsed address, which would escape the braces of a template.
    let (_, rest) = identifier.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    path.split('/').next().map(str::to_owned)
}

fn is_microsoft(identifier: &str) -> bool {
    const HOSTS: [&str; 5] = [
        "login.microsoftonline.com",
        "login.microsoftonline.us",
        "login.partner.microsoftonline.cn",
        "sts.windows.net",
        "sts.chinacloudapi.cn",
    ];
    Url::parse(identifier)
        .ok()
        .is_some_and(|url| url.host_str().is_some_and(|host| HOSTS.contains(&host)))
}
