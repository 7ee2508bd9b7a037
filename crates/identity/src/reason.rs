//! Why a caller is nobody.

use std::fmt;

use tollbook_exchange::{Code, Refusal};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Why a credential was refused. The text form is stable: it is in records and in alerts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the checks.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The reason as records see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// Neither `Authorization` nor `x-api-key`, or an empty one.
    MissingCredential = "missing_credential";
    /// Two credentials that differ. Answered with 400: the request says two things.
    AmbiguousCredential = "ambiguous_credential";
    /// An `Authorization` of another scheme than `Bearer` and `Basic`.
    UnsupportedScheme = "unsupported_scheme";
    /// Characters that no credential has.
    MalformedCredential = "malformed_credential";
    /// An API key of the provider itself. It is no identity, and it should not be here.
    StaticApiKey = "static_api_key";
    /// Longer than 16 KiB.
    TokenTooLarge = "token_too_large";
    /// Not header, claims and signature.
    TokenNotThreeParts = "token_not_three_parts";
    /// A part that is not unpadded base64url in its one canonical spelling.
    TokenBadBase64 = "token_bad_base64";
    /// A header longer than 4 KiB.
    HeaderTooLarge = "header_too_large";
    /// A header that is not a JSON object.
    HeaderNotJson = "header_not_json";
    /// A header that names a member twice.
    HeaderDuplicateMember = "header_duplicate_member";
    /// An algorithm that is missing, or that the issuer may not use.
    AlgNotAllowed = "alg_not_allowed";
    /// A header that demands extensions.
    HeaderCrit = "header_crit";
    /// A header about how the payload is encoded (RFC 7797).
    HeaderB64 = "header_b64";
    /// A header that brings a key or an address of one.
    HeaderEmbeddedKey = "header_embedded_key";
    /// A header of an encrypted or compressed token.
    HeaderEncrypted = "header_encrypted";
    /// A token made for another purpose.
    HeaderTyp = "header_typ";
    /// A key id that is not a text of 1 to 256 bytes.
    KidInvalid = "kid_invalid";
    /// Claims that are not a JSON object.
    ClaimsNotJson = "claims_not_json";
    /// Claims that name a member twice.
    ClaimsDuplicateMember = "claims_duplicate_member";
    /// A required claim is not there.
    ClaimMissing = "claim_missing";
    /// A claim of the wrong type or out of its range.
    ClaimType = "claim_type";
    /// No configured issuer has this name.
    UnknownIssuer = "unknown_issuer";
    /// The issuer has published no key of this id.
    UnknownKid = "unknown_kid";
    /// More than one key may be meant.
    KeyAmbiguous = "key_ambiguous";
    /// The issuer published the key, but it is weak, misplaced or for another use.
    KeyUnusable = "key_unusable";
    /// The key is not for the token's algorithm.
    KeyAlgMismatch = "key_alg_mismatch";
    /// The issuer's keys could not be had, or are too old to be trusted.
    KeysUnavailable = "keys_unavailable";
    /// The signature is not the key's.
    BadSignature = "bad_signature";
    /// `exp` is not after `iat`.
    LifetimeInvalid = "lifetime_invalid";
    /// The token lives longer than the issuer's tokens may.
    LifetimeTooLong = "lifetime_too_long";
    /// Past its time.
    Expired = "expired";
    /// Before its time.
    NotYetValid = "not_yet_valid";
    /// Made in the future.
    IssuedInFuture = "issued_in_future";
    /// Meant for somebody else.
    WrongAudience = "wrong_audience";
    /// Handed out to a party that may not use it here, or to several without saying to whom.
    WrongParty = "wrong_party";
    /// A subject that is empty, too long, or has control characters.
    SubjectInvalid = "subject_invalid";
    /// Groups that are not a list of names.
    GroupsInvalid = "groups_invalid";
    /// A claim that is to be kept, and too long for it.
    ClaimTooLarge = "claim_too_large";
    /// Two claims that have one name once objects are flattened.
    ClaimAmbiguous = "claim_ambiguous";
    /// Claims of one token that cannot both be true of one caller.
    ClaimsContradict = "claims_contradict";
    /// Roles that are not a list of names.
    RolesInvalid = "roles_invalid";
    /// A CircleCI job that was run again with a shell for somebody in it.
    SshRerun = "ssh_rerun";
    /// A gateway token that this gate does not know, or not any more.
    UnknownToken = "unknown_token";
    /// A gateway token, or what stands behind the caller, was revoked.
    Revoked = "revoked";
    /// The federation rule behind a gateway token is gone, or says something else now.
    RuleChanged = "rule_changed";
    /// The issuer has withdrawn the key that signed the token behind a gateway token.
    KeyRemoved = "key_removed";
    /// Bound to a client certificate, and none was shown.
    CertificateMissing = "certificate_missing";
    /// Bound to another client certificate.
    CertificateMismatch = "certificate_mismatch";
    /// Bound to a proof that this gate cannot check.
    ProofUnsupported = "proof_unsupported";
    /// No federation rule has the id that was asked for.
    UnknownRule = "unknown_rule";
    /// The federation rule that was asked for does not speak for the caller.
    RuleMismatch = "rule_mismatch";
    /// No federation rule speaks for the caller.
    NoRule = "no_rule";
    /// Several federation rules speak for the caller, and none was asked for.
    RuleAmbiguous = "rule_ambiguous";
    /// An organisation that this gate does not serve.
    OrganizationNotAllowed = "organization_not_allowed";
    /// Another service account than the federation rule's.
    ServiceAccountMismatch = "service_account_mismatch";
    /// The token of the one behind says that others may act.
    ActorNotAllowed = "actor_not_allowed";
    /// An issuer's token that was exchanged too often.
    AssertionOverused = "assertion_overused";
    /// Gateway tokens cannot be looked up or kept.
    StoreUnavailable = "store_unavailable";
}

/// A refused credential.
///
/// `Display` is the same for every rejection, so that it can be shown to anybody. What went wrong
/// is in [`reason`](Self::reason), for the record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rejection {
    reason: &'static str,
}

impl Rejection {
    /// A rejection for a reason of the caller's own making: one stable word, no data.
    pub const fn because(reason: &'static str) -> Self {
        Self { reason }
    }

    /// The stable word for the record.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// What the caller is told. The reason goes with it, for the record alone.
    pub fn refusal(&self) -> Refusal {
        // The one fault that a caller may be told: it can see for itself what it sent, and nothing
        // was checked yet.
        if self.reason == Reason::AmbiguousCredential.as_str() {
            Refusal::new(
                Code::MalformedRequest,
                "The request carries two different credentials; send one.",
            )
        } else {
            Refusal::new(
                Code::AuthenticationFailed,
                "The request carries no acceptable credential.",
            )
        }
        .because(self.reason)
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self::because(reason.as_str())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not authenticated")
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records and alerts are searched by these words: add to them, never change one.
    #[test]
    fn the_table_of_reasons_is_stable() {
        let table: Vec<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(
            table,
            [
                "missing_credential",
                "ambiguous_credential",
                "unsupported_scheme",
                "malformed_credential",
                "static_api_key",
                "token_too_large",
                "token_not_three_parts",
                "token_bad_base64",
                "header_too_large",
                "header_not_json",
                "header_duplicate_member",
                "alg_not_allowed",
                "header_crit",
                "header_b64",
                "header_embedded_key",
                "header_encrypted",
                "header_typ",
                "kid_invalid",
                "claims_not_json",
                "claims_duplicate_member",
                "claim_missing",
                "claim_type",
                "unknown_issuer",
                "unknown_kid",
                "key_ambiguous",
                "key_unusable",
                "key_alg_mismatch",
                "keys_unavailable",
                "bad_signature",
                "lifetime_invalid",
                "lifetime_too_long",
                "expired",
                "not_yet_valid",
                "issued_in_future",
                "wrong_audience",
                "wrong_party",
                "subject_invalid",
                "groups_invalid",
                "claim_too_large",
                "claim_ambiguous",
                "claims_contradict",
                "roles_invalid",
                "ssh_rerun",
                "unknown_token",
                "revoked",
                "rule_changed",
                "key_removed",
                "certificate_missing",
                "certificate_mismatch",
                "proof_unsupported",
                "unknown_rule",
                "rule_mismatch",
                "no_rule",
                "rule_ambiguous",
                "organization_not_allowed",
                "service_account_mismatch",
                "actor_not_allowed",
                "assertion_overused",
                "store_unavailable",
            ]
        );
    }

    #[test]
    fn a_rejection_tells_the_caller_nothing() {
        for reason in Reason::ALL {
            assert_eq!(Rejection::from(*reason).to_string(), "not authenticated");
        }
    }
}
