//! The short form: common rules as TOML, for [`PolicySetBuilder::short`].
//!
//! A rule says what some groups may do. It is made into Cedar policies, which are checked like
//! any other, can be printed with [`PolicySet::to_cedar`], and stand under ids made of the rule's.
//!
//! ```toml
//! [[rule]]
//! id = "payments"                              # required
//! groups = ["ci-payments"]                     # who; required where the rule permits
//! connections = ["claude"]                     # any connection when left out
//! actions = ["messages", "tools"]              # actions and groups of them; any when left out
//! models = ["claude-haiku-*"]
//! tools = { allow = ["read_*", "grep"] }       # or { deny = ["bash"] }, or both
//! max_tokens = 8192
//! hours = { from = "08:00", to = "18:00", days = ["mon-fri"], zone = "Europe/Berlin" }
//! labels_deny = ["destructive-sql"]
//! findings_deny = ["aws-*"]
//! approval = "leads:1"
//! reason = "ask the platform team for an exception"
//! expires = "2027-01-31"
//! mode = "shadow"
//! ```
//!
//! | key | in the permit `<id>` | beside it |
//! |---|---|---|
//! | `groups`, `connections`, `actions` | whom, where and what it is about | the same for everything beside it |
//! | `models` | every model that the request names matches one pattern | |
//! | `tools.allow` | every tool that the request offers, or the one that is called, matches one pattern | |
//! | `max_tokens` | a message or batch asks for no more | |
//! | `hours` | the time lies within; `from` after `to` goes over midnight | |
//! | `tools.deny` | | the forbid `<id>.tools`: some tool that is offered or called matches |
//! | `labels_deny` | | the forbid `<id>.labels`: some label of the request matches |
//! | `findings_deny` | | the forbid `<id>.findings`: some finding in the request matches |
//! | `approval` | | `<id>.approval`: what the permit covers needs these people |
//! | `reason` | | what callers read when one of the forbids denies or asks |
//! | `expires`, `mode` | as the annotations `@expires` and `@mode` | the same |
//! | `permit = false` | there is none | |
//!
//! In patterns `*` stands for any letters.
//!
//! **Limits add up, denials win.** What a rule limits it does not forbid: a caller in two groups
//! may use the models of both. What it *denies* is denied to its groups whatever else permits it.
//! And what one rule permits and another permits with approval needs approval.
//!
//! What would not do what it seems to is a mistake: a limit for a group to which the connection's
//! `allow` permits everything; a rule that only denies and does not say with `permit` whether it
//! permits the rest; an unknown key, action or connection; an empty list. A request that does not
//! say which models or tools it is about, where its action should, is not within the limits.
//!
//! ```
//! use tollbook_policy::PolicySet;
//!
//! let policies = PolicySet::builder()
//!     .short(
//!         "rules.toml",
//!         r#"
//!         [[rule]]
//!         id = "payments"
//!         groups = ["ci-payments"]
//!         connections = ["claude"]
//!         models = ["claude-haiku-*"]
//!         "#,
//!     )
//!     .build()?;
//! assert_eq!(
//!     policies.to_cedar("rules.toml"),
//!     Some(
//!         r#"@id("payments")
//! permit (
//!   principal in Tollbook::Group::"ci-payments",
//!   action,
//!   resource == Tollbook::Connection::"claude"
//! )
//! when { !(action in [Tollbook::Action::"messages", Tollbook::Action::"batches.create"]) || context.every.contains("models: claude-haiku-*") };
//!
//! "#
//!     )
//! );
//! # Ok::<(), tollbook_policy::LoadError>(())
//! ```
//!
//! [`PolicySet::to_cedar`]: crate::PolicySet::to_cedar
//! [`PolicySetBuilder::short`]: crate::PolicySetBuilder::short
