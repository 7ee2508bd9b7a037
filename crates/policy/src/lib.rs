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
//! # Where the layer stands
//!
//! `PolicyLayer` stands behind identity and inspect, whose extensions it reads, and before
//! everything that lets bytes out: the forwarder refuses a request without a [`Decision`]. A
//! request without a principal is denied, and one without an action is refused as misassembled.
//!
//! [`Principal`]: tollbook_exchange::Principal
//! [`Action`]: tollbook_exchange::Action
//! [`Decision`]: tollbook_exchange::Decision

mod attributes;
mod builder;
mod decide;
mod error;
#[cfg(feature = "tower")]
mod layer;
mod names;
mod nearest;
mod request;
mod set;
mod source;
mod unknown_groups;

pub use builder::PolicySetBuilder;
pub use decide::{Decide, PolicyFn, policy_fn};
pub use error::{LoadError, Mistake};
#[cfg(feature = "tower")]
pub use layer::{Policy, PolicyLayer, ResponseFuture};
pub use set::PolicySet;

/// What a policy may speak about, in Cedar's schema language.
pub const SCHEMA: &str = include_str!("tollbook.cedarschema");

/// The rules that every set holds, in Cedar's policy language.
pub const BUILT_IN: &str = include_str!("tollbook.cedar");
