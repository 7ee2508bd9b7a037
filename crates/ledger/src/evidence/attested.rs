//! Checkpoints that others than the log have signed, or given a time.

/// The folder of checkpoints that others have signed too.
pub const ATTESTED: &str = "attested";

/// What a file below [`ATTESTED`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attested {
    /// A checkpoint with the lines of its witnesses: `<size>.checkpoint`.
    Cosigned,
    /// A checkpoint as a time-stamping authority was given its hash: `<size>.stamped`.
    Stamped,
    /// The authority's answer to it (RFC 3161, "TimeStampResp"): `<size>.tsr`.
    Token,
}

impl Attested {
    /// The name of the file of this kind for a checkpoint of so many entries.
    pub fn file(self, size: u64) -> String {
        format!("{size}.{}", self.extension())
    }

    /// The size and kind of a file with this name.
    pub fn of(name: &str) -> Option<(u64, Self)> {
        let (size, extension) = name.split_once('.')?;
        let kinds = [Self::Cosigned, Self::Stamped, Self::Token];
        let kind = kinds
            .into_iter()
            .find(|kind| kind.extension() == extension)?;
        let size = size.parse().ok()?;
        (kind.file(size) == name).then_some((size, kind))
    }

    const fn extension(self) -> &'static str {
        match self {
            Self::Cosigned => "checkpoint",
            Self::Stamped => "stamped",
            Self::Token => "tsr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_stands_for_a_file() {
        for kind in [Attested::Cosigned, Attested::Stamped, Attested::Token] {
            assert_eq!(Attested::of(&kind.file(17)), Some((17, kind)));
        }
        for name in [
            "17",
            "017.tsr",
            "+1.tsr",
            "17.tsr.new",
            "17.TSR",
            ".tsr",
            "x.checkpoint",
        ] {
            assert_eq!(Attested::of(name), None, "{name}");
        }
    }
}
