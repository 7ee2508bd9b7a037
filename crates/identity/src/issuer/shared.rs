//! Issuers that sign for customers who have nothing to do with each other.

/// The claims of which a rule must name one, so that it speaks of one customer; none for an issuer
/// that signs for a single one.
pub(super) fn owner_claims(identifier: &str) -> &'static [&'static str] {
    let shared = SHARED
        .iter()
        .find(|(shared, _)| identifier.trim_end_matches('/') == *shared);
    shared.map_or(&[], |(_, claims)| claims)
}

const SHARED: [(&str, &[&str]); 4] = [
    (
        "https://token.actions.githubusercontent.com",
        &[
            "repository_id",
            "repository_owner_id",
            "enterprise_id",
            "repository",
            "repository_owner",
        ],
    ),
    (
        "https://gitlab.com",
        &[
            "project_id",
            "namespace_id",
            "project_path",
            "namespace_path",
        ],
    ),
    (
        "https://agent.buildkite.com",
        &[
            "organization_id",
            "pipeline_id",
            "cluster_id",
            "organization_slug",
        ],
    ),
    (
        "https://accounts.google.com",
        &[
            "hd",
            "email",
            "azp",
            "google/compute_engine/project_id",
            "google/compute_engine/project_number",
        ],
    ),
];
