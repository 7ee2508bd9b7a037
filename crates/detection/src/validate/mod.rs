//! Checks that a pattern cannot make.

mod context;
mod image;
mod numbers;
mod shell;
mod sql;
mod target;
mod unseen;
pub(crate) mod words;

use std::ops::Range;

use crate::engine::Candidate;

/// A check by its name in a rule.
#[derive(Clone, Copy)]
pub(crate) struct Validator {
    name: &'static str,
    check: fn(&Candidate<'_>) -> Option<Range<usize>>,
    /// What it looks for by itself; a rule then has no literals.
    own: &'static [&'static [u8]],
}

impl Validator {
    /// The validator that a rule calls so.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|known| known.name == name).copied()
    }

    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|known| known.name)
    }

    pub(crate) const fn own_literals(&self) -> &'static [&'static [u8]] {
        self.own
    }

    /// Where the hit is, if the candidate is one.
    pub(crate) fn span(&self, candidate: &Candidate<'_>) -> Option<Range<usize>> {
        (self.check)(candidate)
    }
}

impl std::fmt::Debug for Validator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Validator").field(&self.name).finish()
    }
}

const fn check(name: &'static str, check: fn(&Candidate<'_>) -> Option<Range<usize>>) -> Validator {
    Validator {
        name,
        check,
        own: &[],
    }
}

/// Every validator. The documentation of the crate tells what each is for.
const ALL: [Validator; 24] = [
    check("rm-machine", shell::rm_machine),
    check("rm-here", shell::rm_here),
    check("find-delete", shell::find_delete),
    check("dd-device", shell::dd_device),
    check("permissions", shell::permissions),
    check("git-push-force", shell::git_push_force),
    check("git-push-delete", shell::git_push_delete),
    check("sql-drop", sql::drop),
    check("sql-drop-object", sql::drop_object),
    check("sql-truncate", sql::truncate),
    check("sql-delete", sql::delete),
    check("sql-update", sql::update),
    check("sql-grant", sql::grant),
    check("sql-alter", sql::alter),
    check("sql-alter-drop", sql::alter_drop),
    check("run-by-shell", context::run_by_shell),
    check("is-written", context::is_written),
    check("is-removed", context::is_removed),
    check("markdown-image", image::markdown_image),
    check("payment-card", numbers::payment_card),
    check("iban", numbers::iban),
    Validator {
        name: "tag-characters",
        check: unseen::tags,
        own: unseen::TAGS,
    },
    Validator {
        name: "bidi-override",
        check: unseen::bidi,
        own: unseen::BIDI,
    },
    Validator {
        name: "zero-width-run",
        check: unseen::zero_width,
        own: unseen::ZERO_WIDTH,
    },
];
