//! Cedar policies over principals, actions and findings, and the tower layer.
//!
//! A [`PolicySet`] answers one question: may this [`Principal`] do this [`Action`] on this
//! connection? Rules are Cedar policies, checked strictly against [`SCHEMA`] when they are loaded.
//! Nothing is permitted unless a rule permits it, a rule that forbids wins, and a rule that cannot
//! be evaluated denies: Cedar alone would skip it, and a broken `forbid` would let pass what it
//! was written to stop.
//!
//! The answer is a [`Decision`] that names the rules that led to it and, by hash, the exact set
//! that was asked. Only typed facts and rule ids enter the engine, never a caller's text.
//!
//! ```
//! use tollbook_exchange::{Action, Groups, Principal, PrincipalKind};
//! use tollbook_policy::{Decide, PolicySet};
//!
//! let policies = PolicySet::builder()
//!     .allow("claude", ["ci-payments".to_owned()])
//!     .file(
//!         "policies/models.cedar",
//!         r#"
//!         @id("no-large-models")
//!         @reason("ask the platform team for an exception")
//!         forbid (principal, action in Tollbook::Action::"messages", resource)
//!         when { context has model && context.model like "claude-opus-*" };
//!         "#,
//!     )
//!     .build()?;
//!
//! let caller = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay")
//!     .with_groups(Groups::from_iter(["ci-payments"]));
//! let action = Action::new("messages.create").with("body_scanned", true);
//!
//! let small = action.clone().with("model", "claude-haiku-4-5");
//! assert!(policies.decide(&caller, "claude", "claude", &small, &[]).is_allow());
//!
//! let large = action.with("model", "claude-opus-4-5");
//! let decision = policies.decide(&caller, "claude", "claude", &large, &[]);
//! assert!(!decision.is_allow());
//! assert_eq!(decision.rules, ["no-large-models"]);
//! # Ok::<(), tollbook_policy::LoadError>(())
//! ```
//!
//! # What a policy says of itself
//!
//! | annotation | meaning |
//! |---|---|
//! | `@id("…")` | its name in records and answers; required, and its own |
//! | `@reason("…")` | on a forbid: what the caller reads when it denies or asks |
//! | `@approval("leads:2, security:1")` | on a forbid: what it covers is not denied but needs that many different people of each group |
//! | `@mode("shadow")` | on trial: it is asked and noted, and has no effect |
//! | `@expires("2027-01-31")` | until when it has a part: to the end of that day in the set's zone, or until an RFC 3339 time. A permit ends then, and so does a forbid |
//! | `@labels("…")` | words for people |
//!
//! Anything else is a mistake, as is everything misspelt: a set is loaded as a whole or not at all.
//!
//! # Three verdicts
//!
//! Denial comes before approval and approval before permission. If a forbid applies, or no permit
//! does, or a policy that was asked cannot be evaluated, the verdict is *deny*. Otherwise, if a
//! forbid with `@approval` applies, it is *approve*, and the [`Decision`] names for each such rule
//! the groups and numbers of people. Otherwise it is *allow*.
//!
//! Policies on trial are asked last and only noted, in [`Decision::shadow`]: a forbid that applies
//! or cannot be evaluated, whatever the verdict is without it; and a permit that applies where
//! nothing permitted.
//!
//! Where a caller's groups are unknown, permits that mention a group have no part, and forbids
//! that mention one apply as if the caller were in it; so do approvals and policies on trial.
//!
//! # Files
//!
//! Beside Cedar there is a [short form](short_form) for common rules, and [`PolicyTests`] hold
//! cases that a set has to decide as they say, at load and in CI. [`PolicySet::explain`] tells
//! what led to a decision; [`replay`] finds recorded exchanges that a candidate set would decide
//! in another way. [`Policies`] lets one set take the place of another while questions go on. The
//! folder `cookbook` of this crate has small examples, each with its tests. Those for SQL (`sql-*.cedar`:
//! read-only, no change of all rows, approval of what changes tables or rights or cannot be read, no
//! searching by protected columns) only forbid: copied into the folder that `[policy] path` names, they are on.
//!
//! # Where the layer stands
//!
//! `PolicyLayer` stands behind identity and inspect, whose extensions it reads, and before
//! everything that lets bytes out: the forwarder refuses a request without a [`Decision`] that
//! allows. A request without a principal is denied, and one without an action is refused as
//! misassembled. One that needs approval passes inward with its [`Decision`]: the layer that asks
//! people stands behind this one.
//!
//! # Time
//!
//! A decision costs 10 to 30 µs plus about 1 µs for each policy that can concern the request
//! (`benches/decision.rs`). Which can is read off scopes: `action in …`, `resource == …`,
//! `principal in …`; and off conditions `when { principal in [groups] }` and
//! `when { resource in [connections] }` that come before all others.
//!
//! [`Principal`]: tollbook_exchange::Principal
//! [`Action`]: tollbook_exchange::Action
//! [`Decision`]: tollbook_exchange::Decision
//! [`Decision::shadow`]: tollbook_exchange::Decision::shadow

mod annotations;
mod attributes;
mod builder;
mod clock;
mod decide;
mod document;
mod error;
mod explain;
mod glob;
mod index;
#[cfg(feature = "tower")]
mod layer;
mod live;
mod load;
mod mentions;
mod names;
mod nearest;
mod reach;
mod replay;
mod request;
mod rule;
mod set;
mod short;
pub mod short_form;
mod source;
mod table;
mod unknown_groups;
mod vocabulary;
mod watch;
mod window;

pub use builder::PolicySetBuilder;
pub use decide::{Decide, PolicyFn, policy_fn};
pub use error::{LoadError, Mistake};
pub use explain::{Considered, Explanation, Part, PolicyResult};
#[cfg(feature = "tower")]
pub use layer::{Policy, PolicyLayer, refusal};
pub use live::Policies;
pub use replay::{Change, Recorded, Report, UnreadableExchange, replay};
pub use set::PolicySet;
pub use table::{Difference, Outcome, PolicyTests};

/// What a policy may speak about whatever protocols are spoken, in Cedar's schema language.
/// [`PolicySet::schemas`] has the parts of protocols too.
pub const SCHEMA: &str = include_str!("tollbook.cedarschema");

/// The rules that every set holds, in Cedar's policy language.
pub const BUILT_IN: &str = include_str!("tollbook.cedar");
