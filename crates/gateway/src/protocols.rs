//! What each protocol brings besides its stack.

use tollbook_exchange::Vocabulary;

/// What policies can speak about besides the Claude API and SQL, whether or not a connection of the
/// protocol is configured: a policy stays right when its connection goes.
pub(crate) const SPOKEN: &[Vocabulary] = &[];
