//! What a protocol has to be spoken about with.

/// A protocol's part of what policies may speak about, in Cedar's schema language.
///
/// A part declares what its protocol alone has: facts, each of them optional, as the record `Facts`,
/// and actions, each for a `Caller`, a `Connection` and those facts. Who asks, what is behind the
/// gate, and what the policy engine puts in itself is there already. An action in the group
/// `scanned` is denied unless its body was scanned as a whole.
///
/// Parts may declare the same fact, with the same type: it is one fact then. An action is declared once.
///
/// ```
/// use tollbook_exchange::Vocabulary;
///
/// const BARTER: Vocabulary = Vocabulary::new(
///     "barter",
///     r#"
/// namespace Tollbook {
///   type Facts = {
///     /// What is offered.
///     goods?: Set<String>,
///   };
///   action "barter";
///   action "barter.offer" in ["barter", "scanned"]
///     appliesTo { principal: Caller, resource: Connection, context: Facts };
/// }
/// "#,
/// );
/// assert_eq!(BARTER.protocol(), "barter");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vocabulary {
    protocol: &'static str,
    schema: &'static str,
}

impl Vocabulary {
    /// The part of `protocol`.
    pub const fn new(protocol: &'static str, schema: &'static str) -> Self {
        Self { protocol, schema }
    }

    /// Whose part it is.
    pub const fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The part, in Cedar's schema language.
    pub const fn schema(&self) -> &'static str {
        self.schema
    }
}
