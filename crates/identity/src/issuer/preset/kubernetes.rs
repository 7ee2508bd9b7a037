//! Service accounts of a Kubernetes cluster.
//!
//! Claims: <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#schema-for-service-account-private-claims>.
//! The subject is `system:serviceaccount:NAMESPACE:NAME`. A name may be given out again; the uid of
//! the service account is not.

use tollbook_exchange::Principal;

use super::profile::{Description, GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    claims: &[
        "kubernetes.io/namespace",
        "kubernetes.io/node/name",
        "kubernetes.io/node/uid",
        "kubernetes.io/pod/name",
        "kubernetes.io/pod/uid",
        "kubernetes.io/serviceaccount/name",
        "kubernetes.io/serviceaccount/uid",
    ],
    // EKS asks for tokens of a day.
    max_lifetime: 24 * 60 * 60,
    problem,
    describe,
    ..GENERIC
};

/// What API servers call themselves. A pod's default token is for them; whoever were to see it
/// could act as the pod in its own cluster.
const API_SERVER: [&str; 3] = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];

fn problem(issuer: &Description<'_>) -> Option<&'static str> {
    let audience = issuer.audience;
    let host = audience
        .split_once("://")
        .map_or(audience, |(_, rest)| rest)
        .trim_end_matches('/');
    let own = API_SERVER.contains(&host)
        || host.starts_with("kubernetes.default.svc.")
        // Unless told otherwise, an API server accepts its own issuer as the audience.
        || audience == issuer.identifier;
    own.then_some("must not have the API server's own audience: name one for this gate alone")
}

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let account = token
        .subject
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let (namespace, name) = account.ok_or(Reason::SubjectInvalid)?;
    token.agrees("kubernetes.io/namespace", namespace)?;
    token.agrees("kubernetes.io/serviceaccount/name", name)?;
    principal.stable_id = Some(token.required("kubernetes.io/serviceaccount/uid")?);
    Ok(())
}
