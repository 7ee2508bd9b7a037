//! Addresses of electronic mail (RFC 5321 §4.1.2).

use crate::engine::{rule::Rule, verdict::Verdict, window::Window};

/// Looks for an address whose local part begins at `at`.
pub(crate) fn email((_index, _rule): (usize, &Rule), _window: &Window<'_>, _at: usize) -> Verdict {
    Verdict::No
}
