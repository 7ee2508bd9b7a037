//! What ties a rule to one customer of an issuer that serves everybody.
//!
//! Anybody can make a repository and have tokens from the same issuer. Most claims are then the
//! caller's own choice: branch names, environments, workflow files, and even the form of the
//! subject, which GitHub lets a repository's owner compose. A rule must ask for one that is not.

use super::matcher::{Matcher, Pattern};

/// Claims that begin with the owner's name and a slash.
const PATHS: [&str; 3] = ["namespace_path", "project_path", "repository"];
/// How subjects begin that say first whose they are, and what ends the owner's name. Issuers escape
/// the colons in values, so that no other claim can pass for these.
const OWNED_SUBJECTS: [(&str, char); 3] = [
    ("organization:", ':'),
    ("project_path:", '/'),
    ("repo:", '/'),
];

/// Whether `matcher` ties its rule to one owner, if those are the claims that name owners.
pub(super) fn pins(matcher: &Matcher, owner_claims: &[&str]) -> bool {
    let claim = matcher.claim.as_str();
    let names_owners = owner_claims.contains(&claim);
    matcher.patterns.iter().all(|pattern| match pattern {
        Pattern::Exact(value) if claim == "sub" => names_owner(value) || is_number(value),
        Pattern::Exact(_) => names_owners,
        Pattern::Prefix(begin) if claim == "sub" => names_owner(begin),
        Pattern::Prefix(begin) => names_owners && PATHS.contains(&claim) && has_owner(begin, '/'),
        Pattern::Suffix(_) | Pattern::Any => false,
    })
}

/// Whether `pattern` would take names that only begin or end like the one that is meant.
pub(super) fn cuts_a_name(claim: &str, pattern: &Pattern) -> bool {
    let names = claim == "sub" || claim.ends_with("_id") || PATHS.contains(&claim);
    names
        && match pattern {
            Pattern::Prefix(begin) => begin.ends_with(is_of_a_name),
            Pattern::Suffix(end) => end.starts_with(is_of_a_name),
            Pattern::Exact(_) | Pattern::Any => false,
        }
}

fn is_of_a_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.')
}

fn names_owner(subject: &str) -> bool {
    OWNED_SUBJECTS.iter().any(|&(key, end)| {
        subject
            .strip_prefix(key)
            .is_some_and(|rest| has_owner(rest, end))
    })
}

fn has_owner(text: &str, end: char) -> bool {
    text.split_once(end)
        .is_some_and(|(owner, _)| !owner.is_empty() && !owner.contains(':'))
}

/// Google's subjects are account numbers.
fn is_number(subject: &str) -> bool {
    subject.len() >= 8 && subject.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER_CLAIMS: &[&str] = &["repository_id", "repository"];

    #[test]
    fn a_rule_is_tied_by_what_the_caller_cannot_choose() {
        for (claim, values, expected) in [
            ("repository_id", &["1"][..], true),
            ("repository_id", &["1", "2"], true),
            ("repository_id", &["1", "*"], false),
            ("repository_id", &["1*"], false),
            ("repository", &["acme/*"], true),
            ("repository", &["acme/pay"], true),
            ("repository", &["acme*"], false),
            ("repository", &["/*"], false),
            ("repository", &["*/pay"], false),
            ("sub", &["repo:acme/pay:*"], true),
            ("sub", &["repo:acme/*"], true),
            ("sub", &["repo:acme@1/pay@2:ref:refs/heads/main"], true),
            ("sub", &["repo:*"], false),
            ("sub", &["repo:/*"], false),
            ("sub", &["environment:production"], false),
            ("sub", &["organization:acme:*"], true),
            ("sub", &["project_path:acme/pay:*"], true),
            ("sub", &["project_path:*"], false),
            ("sub", &["organization:*"], false),
            ("sub", &["113774264463038321964"], true),
            ("sub", &["113774264463038*"], false),
            ("environment", &["production"], false),
            ("namespace_path", &["acme"], false),
            ("ref", &["refs/heads/main"], false),
            (
                "job_workflow_ref",
                &["acme/ci/.github/workflows/x.yml@main"],
                false,
            ),
        ] {
            let matcher = Matcher {
                claim: claim.to_owned(),
                patterns: values
                    .iter()
                    .map(|value| Pattern::parse(value).unwrap())
                    .collect(),
            };
            assert_eq!(pins(&matcher, OWNER_CLAIMS), expected, "{claim} {values:?}");
        }
    }

    #[test]
    fn half_a_name_is_noticed() {
        for (claim, value, expected) in [
            ("sub", "repo:acme*", true),
            ("sub", "repo:acme-*", true),
            ("sub", "repo:acme/*", false),
            ("sub", "*pay", true),
            ("sub", "*:ref:refs/heads/main", false),
            ("repository", "acme/pay*", true),
            ("ref", "refs/tags/v*", false),
            ("sub", "repo:acme/pay", false),
        ] {
            let pattern = Pattern::parse(value).unwrap();
            assert_eq!(cuts_a_name(claim, &pattern), expected, "{claim} {value}");
        }
    }
}
