//! Masking a value because of where it stands, whatever it is.

use bytes::Bytes;
use tollbook_exchange::{Masked, Operator};

use crate::{Masker, masked, operator};

impl Masker {
    /// Masks a whole value of which somebody else knows that it is not to be seen, such as a cell of a
    /// protected column. `label` stands in the placeholder, as the id of a rule does.
    ///
    /// [`Operator::Partial`] keeps the end, [`Operator::Hash`] gives equal values equal hashes where the
    /// profile has a key, [`Operator::Drop`] leaves nothing. All others redact.
    ///
    /// ```
    /// use tollbook_masking::{Masker, Operator};
    ///
    /// let masker = Masker::builtin();
    /// let concealed = |operator| masker.conceal("protected", operator, b"219-09-9999").into_inner();
    /// assert_eq!(concealed(Operator::Redact), "[REDACTED:protected]");
    /// assert_eq!(concealed(Operator::Partial), "***-**-9999");
    /// assert_eq!(concealed(Operator::Drop), "");
    /// ```
    pub fn conceal(&self, label: &str, operator: Operator, value: &[u8]) -> Masked<Bytes> {
        let mut out = Vec::new();
        match (operator, self.profile.key()) {
            (Operator::Drop, _) => return masked(Bytes::new()),
            (Operator::Partial, _) => operator::partial(value, &mut out),
            (Operator::Hash, Some(key)) => operator::hash_of(key, label, value, &mut out),
            _ => out.extend_from_slice(format!("[REDACTED:{label}]").as_bytes()),
        }
        masked(out.into())
    }
}
