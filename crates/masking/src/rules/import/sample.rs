//! Made-up texts that an expression matches.

use regex_syntax::hir::{Hir, HirKind};

use crate::engine::pattern::class_of;

/// Makes up texts, the same ones each time.
pub(super) struct Samples(u64);

impl Samples {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A text that the expression matches: as short as it may be, of letters and digits as far as
    /// it may.
    pub(super) fn text(&mut self, hir: &Hir) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(hir, &mut out);
        out
    }

    fn write(&mut self, hir: &Hir, out: &mut Vec<u8>) {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => out.extend_from_slice(&literal.0),
            HirKind::Class(class) => {
                let class = class_of(class);
                let bytes: Vec<u8> = (0..=u8::MAX).filter(|byte| class.has(*byte)).collect();
                let plain = bytes.iter().copied().filter(u8::is_ascii_alphanumeric);
                let plain: Vec<u8> = plain.collect();
                let choice = if plain.is_empty() { &bytes } else { &plain };
                out.extend(self.one_of(choice));
            }
            HirKind::Capture(group) => self.write(&group.sub, out),
            HirKind::Repetition(again) => {
                for _ in 0..again.min {
                    self.write(&again.sub, out);
                }
            }
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.write(part, out)),
            HirKind::Alternation(parts) => {
                if let Some(part) = self.one_of(parts) {
                    self.write(&part, out);
                }
            }
        }
    }

    fn one_of<T: Clone>(&mut self, choice: &[T]) -> Option<T> {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let count = u64::try_from(choice.len())
            .ok()
            .filter(|count| *count > 0)?;
        let index = usize::try_from(mixed % count).ok()?;
        choice.get(index).cloned()
    }
}
