//! What is known about the tokens of well-known providers.

mod aws;
mod buildkite;
mod circleci;
mod entra;
mod github;
mod gitlab;
mod google;
mod kubernetes;
mod okta;
mod profile;
mod spiffe;

pub(crate) use self::{
    profile::{Description, Profile, Token},
    spiffe::trust_domain,
};

/// A provider whose tokens are known.
///
/// A preset is a set of defaults, which the other calls on an
/// [`IssuerBuilder`](crate::IssuerBuilder) override, and it says which verified claims become the
/// typed attributes of a [`Principal`](tollbook_exchange::Principal):
///
/// | preset | kind | stable id | actor | run | environment, roles |
/// |---|---|---|---|---|---|
/// | `github-actions` | ci | `repository_id` | `actor_id`, `actor` | `run_id`, `run_attempt` | `environment` |
/// | `gitlab` | ci | `project_id` | `user_id`, `user_login` | `job_id` | `environment` |
/// | `circleci` | ci | the project's UUID | the user's UUID | `oidc.circleci.com/job-id` | |
/// | `buildkite` | ci | `pipeline_id`, else `organization/pipeline` | | `job_id` | |
/// | `entra` | human with `scp`, else service | `tid/oid` | | | roles of `roles` |
/// | `okta` | human with `uid`, else service | `uid`, else `cid` | | | |
/// | `google` | service | `sub` | | | |
/// | `aws` | service | account and `principal_id` | | | |
/// | `kubernetes` | service | the service account's uid | | | |
/// | `spiffe` | service | the SPIFFE id | | | |
/// | `generic` | service | | | | |
///
/// Claims that are objects are flattened: the member `b` of the object `a` is the claim `a/b`, or
/// `ab` where `a` already ends in a slash. So rules and policies speak of `kubernetes.io/namespace`,
/// `kubernetes.io/serviceaccount/uid`, `https://sts.amazonaws.com/aws_account`,
/// `google/compute_engine/project_id`. Values stay what they are: GitLab's and GitHub's yes-or-no
/// claims are the texts `"true"` and `"false"`.
///
/// Claims of one token that contradict each other, such as a repository id in the subject that is
/// not the `repository_id`, are refused. So are CircleCI jobs that were run again with a shell in
/// them.
///
/// A stable id is as stable as what the provider hands out. Buildkite's jobs choose whether their
/// tokens carry a `pipeline_id`, so a rule for Buildkite does well to name it; an AWS role that is
/// deleted and made again has the ARN it had.
///
/// ```
/// use tollbook_identity::{Issuer, Preset};
///
/// let github = Issuer::builder("ci", "")
///     .preset(Preset::GithubActions)
///     .audience("tollbook")
///     .build()?;
/// assert_eq!(github.identifier(), "https://token.actions.githubusercontent.com");
/// // Everybody's jobs have tokens of this issuer: a rule must say whose it means.
/// assert!(github.is_shared());
/// assert!(github.owner_claims().contains(&"repository_id"));
/// # Ok::<(), tollbook_identity::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// GitHub Actions, in the cloud and on enterprise servers.
    GithubActions,
    /// GitLab CI's `id_tokens`.
    Gitlab,
    /// CircleCI.
    CircleCi,
    /// Buildkite.
    Buildkite,
    /// Microsoft Entra ID, one tenant, tokens of version 1 and 2.
    Entra,
    /// An Okta authorization server.
    Okta,
    /// Google accounts and service accounts.
    Google,
    /// AWS, tokens of `GetWebIdentityToken`.
    Aws,
    /// Service accounts of a Kubernetes cluster.
    Kubernetes,
    /// SPIFFE JWT-SVIDs. The identifier is the trust domain, `spiffe://example.org`, for tokens
    /// without `iss`; it is an issuer's address for tokens that name it.
    Spiffe,
    /// Any other issuer. What its tokens say is kept and not interpreted.
    #[default]
    Generic,
}

impl Preset {
    /// Every preset, in the order of this type.
    pub const ALL: [Self; 11] = [
        Self::GithubActions,
        Self::Gitlab,
        Self::CircleCi,
        Self::Buildkite,
        Self::Entra,
        Self::Okta,
        Self::Google,
        Self::Aws,
        Self::Kubernetes,
        Self::Spiffe,
        Self::Generic,
    ];

    /// The preset of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }

    /// The name that a configuration uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GithubActions => "github-actions",
            Self::Gitlab => "gitlab",
            Self::CircleCi => "circleci",
            Self::Buildkite => "buildkite",
            Self::Entra => "entra",
            Self::Okta => "okta",
            Self::Google => "google",
            Self::Aws => "aws",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
            Self::Generic => "generic",
        }
    }

    pub(crate) const fn profile(self) -> &'static Profile {
        match self {
            Self::GithubActions => &github::PROFILE,
            Self::Gitlab => &gitlab::PROFILE,
            Self::CircleCi => &circleci::PROFILE,
            Self::Buildkite => &buildkite::PROFILE,
            Self::Entra => &entra::PROFILE,
            Self::Okta => &okta::PROFILE,
            Self::Google => &google::PROFILE,
            Self::Aws => &aws::PROFILE,
            Self::Kubernetes => &kubernetes::PROFILE,
            Self::Spiffe => &spiffe::PROFILE,
            Self::Generic => &profile::GENERIC,
        }
    }

    /// The claims that are kept unless the operator names others. Of an issuer that nothing is
    /// known about, those that any known provider would have kept.
    pub(crate) fn kept(self) -> Vec<&'static str> {
        match self {
            Self::Generic => Self::ALL
                .iter()
                .flat_map(|preset| preset.profile().claims)
                .copied()
                .collect(),
            known => known.profile().claims.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_find_their_preset() {
        let names = Preset::ALL.map(Preset::as_str);
        assert_eq!(
            names,
            [
                "github-actions",
                "gitlab",
                "circleci",
                "buildkite",
                "entra",
                "okta",
                "google",
                "aws",
                "kubernetes",
                "spiffe",
                "generic",
            ]
        );
        for preset in Preset::ALL {
            assert_eq!(Preset::from_name(preset.as_str()), Some(preset));
        }
        assert_eq!(Preset::from_name("GitHub-Actions"), None);
        assert_eq!(Preset::from_name(""), None);
    }

    /// Mail addresses and personal names prove nothing (two issuers may assert the same one), and a
    /// record without them is easier to keep.
    #[test]
    fn no_preset_keeps_personal_data_unasked() {
        const PERSONAL: [&str; 8] = [
            "email",
            "family_name",
            "given_name",
            "name",
            "phone_number",
            "preferred_username",
            "upn",
            "user_email",
        ];
        for preset in Preset::ALL {
            for name in preset.kept() {
                assert!(!PERSONAL.contains(&name), "{preset:?} keeps {name}");
            }
        }
    }
}
