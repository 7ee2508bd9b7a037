//! AWS, tokens of `sts:GetWebIdentityToken`.
//!
//! Claims: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html>.
//! Each account has an issuer of its own. Everything but the standard claims is a member of the
//! object `https://sts.amazonaws.com/`. The caller chooses its `request_tags`, as far as IAM lets it.

use tollbook_exchange::Principal;

use super::profile::{GENERIC, Profile, Token};
use crate::{Algorithm, Reason};

pub(super) const PROFILE: Profile = Profile {
    claims: &[
        "https://sts.amazonaws.com/aws_account",
        "https://sts.amazonaws.com/ec2_*",
        "https://sts.amazonaws.com/lambda_*",
        "https://sts.amazonaws.com/org_id",
        "https://sts.amazonaws.com/ou_path",
        "https://sts.amazonaws.com/principal_id",
        "https://sts.amazonaws.com/principal_tags/*",
        "https://sts.amazonaws.com/request_tags/*",
        "https://sts.amazonaws.com/source_region",
    ],
    // The two that `SigningAlgorithm` takes.
    algorithms: &[Algorithm::Rs256, Algorithm::Es384],
    describe,
    ..GENERIC
};

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let account = token.required("https://sts.amazonaws.com/aws_account")?;
    // arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE
    if token.subject.starts_with("arn:") && token.subject.split(':').nth(4) != Some(&*account) {
        return Err(Reason::ClaimsContradict);
    }
    let own = token.text("https://sts.amazonaws.com/principal_id")?;
    let own = own.as_deref().unwrap_or(token.subject);
    principal.stable_id = Some(format!("{account}/{own}"));
    Ok(())
}
