//! Tokens in the shapes that well-known providers publish.

use serde_json::{Map, Value, json};

/// A provider's token, with the claims that its documentation shows. Times, audience and, unless a
/// shape has its own, the issuer are left to whoever signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// GitHub Actions, with a subject of names.
    GithubActions,
    /// GitHub Actions, with a subject of names and ids, as repositories have it since July 2026.
    GithubActionsIds,
    /// GitLab CI.
    Gitlab,
    /// CircleCI, the second version of its token.
    CircleCi,
    /// Buildkite, with the two ids that jobs may ask for.
    Buildkite,
    /// Buildkite as it comes.
    BuildkiteSlugs,
    /// Entra ID, version 2: an application on behalf of a person.
    EntraUser,
    /// Entra ID, version 2: an application on its own.
    EntraApp,
    /// Entra ID, version 1: a managed identity.
    EntraManaged,
    /// Entra ID, version 2: a person in too many groups.
    EntraOverage,
    /// Okta: an application on behalf of a person.
    OktaUser,
    /// Okta: an application on its own.
    OktaApp,
    /// Google: a virtual machine's service account, in the full format.
    Google,
    /// AWS: a role.
    Aws,
    /// Kubernetes: a projected service account token.
    Kubernetes,
    /// SPIFFE: a JWT-SVID without `iss`.
    Spiffe,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 16] = [
        Self::GithubActions,
        Self::GithubActionsIds,
        Self::Gitlab,
        Self::CircleCi,
        Self::Buildkite,
        Self::BuildkiteSlugs,
        Self::EntraUser,
        Self::EntraApp,
        Self::EntraManaged,
        Self::EntraOverage,
        Self::OktaUser,
        Self::OktaApp,
        Self::Google,
        Self::Aws,
        Self::Kubernetes,
        Self::Spiffe,
    ];

    /// The name of the preset that reads it.
    pub const fn preset(self) -> &'static str {
        match self {
            Self::GithubActions | Self::GithubActionsIds => "github-actions",
            Self::Gitlab => "gitlab",
            Self::CircleCi => "circleci",
            Self::Buildkite | Self::BuildkiteSlugs => "buildkite",
            Self::EntraUser | Self::EntraApp | Self::EntraManaged | Self::EntraOverage => "entra",
            Self::OktaUser | Self::OktaApp => "okta",
            Self::Google => "google",
            Self::Aws => "aws",
            Self::Kubernetes => "kubernetes",
            Self::Spiffe => "spiffe",
        }
    }

    /// The provider's own issuer; for SPIFFE, the trust domain that stands for it.
    pub const fn issuer(self) -> &'static str {
        match self {
            Self::GithubActions | Self::GithubActionsIds => {
                "https://token.actions.githubusercontent.com"
            }
            Self::Gitlab => "https://gitlab.acme.example",
            Self::CircleCi => "https://oidc.circleci.com/org/c9035eb6-6eb2-4c85-8a81-d9ed6a1d1d1e",
            Self::Buildkite | Self::BuildkiteSlugs => "https://agent.buildkite.com",
            Self::EntraManaged => "https://sts.windows.net/8a0c6e0d-5f5c-4a7c-8a3b-0f5d2c1b7e11/",
            Self::EntraUser | Self::EntraApp | Self::EntraOverage => {
                "https://login.microsoftonline.com/8a0c6e0d-5f5c-4a7c-8a3b-0f5d2c1b7e11/v2.0"
            }
            Self::OktaUser | Self::OktaApp => "https://acme.okta.com/oauth2/default",
            Self::Google => "https://accounts.google.com",
            Self::Aws => "https://1a2b3c4d-0000-4000-8000-5e6f7a8b9c0d.tokens.sts.global.api.aws",
            Self::Kubernetes => "https://oidc.eks.eu-central-1.amazonaws.com/id/0123456789ABCDEF",
            Self::Spiffe => "spiffe://prod.acme.example",
        }
    }

    /// Whether the token says who issued it.
    pub const fn names_issuer(self) -> bool {
        !matches!(self, Self::Spiffe)
    }

    /// The claims but for `iss`, `aud`, `iat`, `exp` and `nbf`.
    pub fn claims(self) -> Map<String, Value> {
        let claims = match self {
            Self::GithubActions => github("repo:acme/payments:environment:production"),
            Self::GithubActionsIds => github("repo:acme@65/payments@74:environment:production"),
            Self::Gitlab => gitlab(),
            Self::CircleCi => circleci(),
            Self::Buildkite => with(
                buildkite(),
                json!({
                    "organization_id": "0184990a-477b-4fa8-9968-496074483c00",
                    "pipeline_id": "0184990a-477b-4fa8-9968-496074483c01",
                }),
            ),
            Self::BuildkiteSlugs => buildkite(),
            Self::EntraUser => with(
                entra("2.0"),
                json!({
                    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
                    "azp": "11112222-bbbb-3333-cccc-4444dddd5555",
                    "scp": "gate.use",
                    "groups": ["0a1b2c3d-1111-4222-8333-444455556666"],
                    "roles": ["Gate.Approver"],
                    "auth_time": 1_799_999_000,
                    "preferred_username": "someone@acme.example",
                }),
            ),
            Self::EntraApp => with(
                entra("2.0"),
                json!({
                    "sub": OBJECT,
                    "azp": "11112222-bbbb-3333-cccc-4444dddd5555",
                    "azpacr": "1",
                    "idtyp": "app",
                    "roles": ["Gate.Use"],
                }),
            ),
            Self::EntraManaged => with(
                entra("1.0"),
                json!({
                    "sub": OBJECT,
                    "appid": "11112222-bbbb-3333-cccc-4444dddd5555",
                    "appidacr": "2",
                    "xms_mirid": "/subscriptions/0000/resourcegroups/pay/providers/Microsoft.Compute/virtualMachines/vm1",
                }),
            ),
            Self::EntraOverage => with(
                entra("2.0"),
                json!({
                    "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
                    "azp": "11112222-bbbb-3333-cccc-4444dddd5555",
                    "scp": "gate.use",
                    "_claim_names": {"groups": "src1"},
                    "_claim_sources": {"src1": {"endpoint": "https://graph.microsoft.com/"}},
                }),
            ),
            Self::OktaUser => json!({
                "ver": 1,
                "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
                "sub": "someone@acme.example",
                "uid": "00uid4BxXw6I6TV4m0g3",
                "cid": "nmdP1fcyvdVO11AL7ECm",
                "scp": ["openid", "gate"],
                "auth_time": 1_799_999_000,
                "groups": ["Everyone", "payments"],
            }),
            Self::OktaApp => json!({
                "ver": 1,
                "jti": "AT.1mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
                "sub": "0oa1fcyvdVO11AL7ECm4",
                "cid": "0oa1fcyvdVO11AL7ECm4",
                "scp": ["gate"],
            }),
            Self::Google => json!({
                "sub": "107517467455664443765",
                "azp": "107517467455664443765",
                "email": "agent@acme-pay.iam.gserviceaccount.com",
                "email_verified": true,
                "google": {"compute_engine": {
                    "instance_creation_timestamp": 1_700_000_000,
                    "instance_id": "152986662232938449",
                    "instance_name": "agent-1",
                    "project_id": "acme-pay",
                    "project_number": 739_419_398_126_u64,
                    "zone": "europe-west3-a",
                }},
            }),
            Self::Aws => json!({
                "sub": "arn:aws:iam::123456789012:role/DataProcessingRole",
                "jti": "8f2b1c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d",
                "https://sts.amazonaws.com/": {
                    "aws_account": "123456789012",
                    "source_region": "eu-central-1",
                    "org_id": "o-abc1234567",
                    "principal_id": "arn:aws:iam::123456789012:role/DataProcessingRole",
                    "principal_tags": {"team": "payments"},
                    "request_tags": {"job-id": "job-2026-001"},
                },
            }),
            Self::Kubernetes => json!({
                "sub": "system:serviceaccount:payments:agent",
                "jti": "aed34954-b33a-4142-b1ec-389d6bbb4936",
                "kubernetes.io": {
                    "namespace": "payments",
                    "node": {"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
                    "pod": {"name": "agent-6d8f", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
                    "serviceaccount": {
                        "name": "agent",
                        "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798",
                    },
                },
            }),
            Self::Spiffe => json!({"sub": "spiffe://prod.acme.example/ns/payments/sa/agent"}),
        };
        match claims {
            Value::Object(claims) => claims,
            _ => Map::new(),
        }
    }
}

const OBJECT: &str = "6f1f0d2e-9a43-4c21-8f7e-2d3b4c5d6e7f";

/// <https://docs.github.com/en/actions/reference/security/oidc>
fn github(subject: &str) -> Value {
    json!({
        "jti": "5b9f6f2c-63d4-4f7a-9e0a-2a0c1d3e4f50",
        "sub": subject,
        "environment": "production",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "true",
        "sha": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
        "repository": "acme/payments",
        "repository_id": "74",
        "repository_owner": "acme",
        "repository_owner_id": "65",
        "repository_visibility": "private",
        "repo_property_tier": "gold",
        "run_id": "1234567890",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "actor_id": "12",
        "workflow": "deploy",
        "workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/heads/main",
        "job_workflow_ref": "acme/payments/.github/workflows/deploy.yml@refs/heads/main",
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
    })
}

/// <https://docs.gitlab.com/ci/secrets/id_token_authentication/>
fn gitlab() -> Value {
    json!({
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "sub": "project_path:acme/payments:ref_type:branch:ref:main",
        "namespace_id": "72",
        "namespace_path": "acme",
        "project_id": "20",
        "project_path": "acme/payments",
        "project_visibility": "private",
        "user_id": "1",
        "user_login": "sample-user",
        "user_email": "sample-user@acme.example",
        "user_identities": [{"provider": "github", "extern_uid": "2435223452345"}],
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "environment": "production",
        "environment_protected": "true",
        "deployment_tier": "production",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
    })
}

/// <https://circleci.com/docs/openid-connect-tokens/>
fn circleci() -> Value {
    json!({
        "sub": "org/c9035eb6-6eb2-4c85-8a81-d9ed6a1d1d1e/project/3a2f5b1c-7d4e-4f6a-9b8c-0d1e2f3a4b5c\
                /user/5e6f7a8b-9c0d-4e1f-a2b3-c4d5e6f7a8b9/vcs-origin/github.com/acme/payments\
                /vcs-ref/refs/heads/main",
        "oidc.circleci.com/context-ids": ["7b6a5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d"],
        "oidc.circleci.com/job-id": "1f2e3d4c-5b6a-4978-8695-a4b3c2d1e0f9",
        "oidc.circleci.com/org-id": "c9035eb6-6eb2-4c85-8a81-d9ed6a1d1d1e",
        "oidc.circleci.com/pipeline-id": "9f8e7d6c-5b4a-4c3d-8e2f-1a0b9c8d7e6f",
        "oidc.circleci.com/project-id": "3a2f5b1c-7d4e-4f6a-9b8c-0d1e2f3a4b5c",
        "oidc.circleci.com/ssh-rerun": false,
        "oidc.circleci.com/vcs-origin": "github.com/acme/payments",
        "oidc.circleci.com/vcs-ref": "refs/heads/main",
    })
}

/// <https://buildkite.com/docs/agent/cli/reference/oidc>
fn buildkite() -> Value {
    json!({
        "jti": "0194b014-8517-7cef-b232-76a827315f08",
        "sub": "organization:acme:pipeline:payments:ref:refs/heads/main\
                :commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
        "organization_slug": "acme",
        "pipeline_slug": "payments",
        "build_number": 5,
        "build_branch": "main",
        "build_tag": null,
        "build_commit": "9f3182061f1e2cca4702c368cbc039b7dc9d4485",
        "step_key": "build",
        "job_id": "01945ecf-80f0-41e8-9b83-a2970a9305a1",
        "agent_id": "01945ecf-8bcf-40a6-9d70-a765db9a0928",
        "build_source": "ui",
        "runner_environment": "buildkite-hosted",
    })
}

/// <https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference>
fn entra(version: &str) -> Value {
    json!({
        "ver": version,
        "tid": "8a0c6e0d-5f5c-4a7c-8a3b-0f5d2c1b7e11",
        "oid": OBJECT,
        "aio": "AXQAi/8IAAAA",
        "uti": "3s0Yl5j5wkGO5Vw3b8gKAA",
    })
}

fn with(mut claims: Value, more: Value) -> Value {
    if let (Value::Object(claims), Value::Object(more)) = (&mut claims, more) {
        claims.extend(more);
    }
    claims
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_a_subject_and_leaves_the_rest_to_the_signer() {
        for shape in Shape::ALL {
            let claims = shape.claims();
            assert!(claims["sub"].is_string(), "{shape:?}");
            for name in ["iss", "aud", "iat", "exp"] {
                assert!(!claims.contains_key(name), "{shape:?} has {name}");
            }
        }
    }
}
