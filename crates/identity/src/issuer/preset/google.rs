//! Google accounts and service accounts.
//!
//! Claims: <https://docs.cloud.google.com/docs/authentication/token-types#id-contents>; those of
//! virtual machines:
//! <https://docs.cloud.google.com/compute/docs/instances/verifying-instance-identity>. There are no
//! groups. Subjects are numbers, and no number that begins with another has to do with it.

use tollbook_exchange::{Principal, PrincipalKind};

use super::profile::{GENERIC, Profile, Token};
use crate::Reason;

pub(super) const PROFILE: Profile = Profile {
    identifier: Some("https://accounts.google.com"),
    claims: &["azp", "google/compute_engine/*", "hd"],
    describe,
    ..GENERIC
};

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    // The address proves that a caller is no person. It never proves that one is.
    let service = token
        .text("email")?
        .is_some_and(|address| address.ends_with("gserviceaccount.com"));
    if service && principal.kind == PrincipalKind::Human {
        principal.kind = PrincipalKind::Service;
    }
    principal.stable_id = Some(token.subject.to_owned());
    Ok(())
}
