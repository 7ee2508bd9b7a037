//! Budgets and loop breakers, and the tower layer.
//!
//! An agent that runs away spends a month's money in a night, and one that is stuck makes the same
//! tool call until somebody looks. [`Budgets`] keeps callers within what they were granted: so many
//! requests, tokens or dollars for each caller, group or session in a sliding window. A
//! [`RepeatLimit`] slows a loop of identical tool calls down to almost nothing.
//!
//! It is a pure engine: it counts, in memory, and knows no protocol beyond the `usage` that the
//! Messages API reports. Who wants counters to survive a restart keeps [`Budgets::snapshot`]s.
//!
//! ```
//! use std::time::Duration;
//! use tollbook_budget::{Ask, Bill, Budget, Budgets, Per, RepeatLimit, Usage};
//! use tollbook_exchange::{Code, Principal, PrincipalKind};
//!
//! let day = Duration::from_secs(24 * 60 * 60);
//! let budgets = Budgets::builder()
//!     .budget(
//!         Budget::new("ci-daily", Per::Principal, day)
//!             .cost(1_000_000) // one dollar
//!             .groups(["ci-payments"])
//!             .reason("ask the platform team for more"),
//!     )
//!     .repeat(RepeatLimit::new(8))
//!     .build()?;
//!
//! let job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay")
//!     .with_groups(["ci-payments"].into_iter().collect());
//! let ask = Ask::new(&job, "claude");
//! let admission = budgets.check(&ask)?;
//! // … the answer comes, and took 200,000 tokens of prompt at five dollars a million.
//! admission.settle(&Bill::new("claude-opus-5", Usage::tokens(200_000, 0)));
//!
//! let refused = budgets.check(&ask).unwrap_err();
//! assert_eq!(refused.code, Code::BudgetExceeded);
//! assert!(refused.retry_after >= 24 * 60 * 60);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where the layer stands
//!
//! `BudgetLayer` stands inside inspect, whose facts and session it reads and which notes what the
//! answer took, and inside policy, so that what is denied spends nothing. It stands outside
//! approvals: nobody is asked to approve what could not be paid for. A request that is refused
//! further in, or waits there for an approval, gets its count back.
//!
//! # What is exact and what is not
//!
//! A limit on requests is exact: in no stretch of the window's length do more pass. Tokens and cost
//! are counted when an exchange is over, a moment after its answer has ended; see [`Budget`] for
//! what that means and for [`Budget::reserving`].
//!
//! A batch of ten thousand requests counts as ten thousand. It is counted by the most that they may
//! take, because their answers come in no exchange that could be billed: see [`Budget`]. Nothing is
//! given back when they take less or the batch is cancelled, so whoever sends batches needs a budget
//! for what they ask, not for what they get.
//!
//! Each budget keeps a bounded number of counters.
//! One gate counts for itself: two gates side by side grant twice as much.

mod admission;
mod ask;
mod batch;
mod budget;
mod budgets;
mod builder;
mod clock;
mod counters;
#[cfg(feature = "tower")]
mod layer;
mod prices;
mod refused;
mod repeat;
mod snapshot;
mod usage;
mod window;

pub use admission::Admission;
pub use ask::Ask;
pub use budget::{Budget, Per, Weights};
pub use budgets::{Budgets, Standing};
pub use builder::{BudgetsBuilder, BuildError};
pub use clock::{Clock, SystemClock};
#[cfg(feature = "tower")]
pub use layer::{BudgetLayer, Budgeted};
pub use prices::{Prices, PricesError, micro_dollars};
pub use refused::Refused;
pub use repeat::RepeatLimit;
pub use snapshot::RestoreError;
pub use usage::{Bill, Usage};
pub use window::Amounts;
