//! Keeping the end of a value, by which its owner knows it.

/// Letters and digits that stay.
const KEPT: usize = 4;
/// With fewer letters and digits than this, the kept ones would be too much of the value.
const MIN: usize = 2 * KEPT;
/// What stands for all but the first letter of a local part, however long it is.
const STARS: &[u8] = b"***";

/// Writes the value with all but its end masked; what separates its parts stays. An address of
/// electronic mail keeps its first letter and its domain.
pub(crate) fn partial(value: &[u8], out: &mut Vec<u8>) {
    if let Some(at) = memchr::memrchr(b'@', value)
        && at > 0
    {
        let first = value[0];
        // A letter of more than one byte cannot be kept by its first.
        out.push(if first.is_ascii_alphanumeric() {
            first
        } else {
            b'*'
        });
        out.extend_from_slice(STARS);
        out.extend_from_slice(&value[at..]);
        return;
    }
    let is_masked = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let count = value.iter().filter(|byte| is_masked(byte)).count();
    // Stars that stand already are no letters any more, but they were.
    let stars = value.iter().filter(|byte| **byte == b'*').count();
    let kept = if count + stars < MIN { 0 } else { KEPT };
    let mut left = count.saturating_sub(kept);
    for byte in value {
        let hidden = is_masked(byte) && left > 0;
        left -= usize::from(hidden);
        out.push(if hidden { b'*' } else { *byte });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_stays_and_what_separates() {
        for (value, expected) in [
            ("4111 1111 1111 1111", "**** **** **** 1111"),
            ("DE89370400440532013000", "******************3000"),
            ("+49 (30) 1234-5678", "+** (**) ****-5678"),
            ("219-09-9999", "***-**-9999"),
            ("1234567", "*******"),
            ("ada.lovelace@example.com", "a***@example.com"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            partial(value.as_bytes(), &mut out);
            assert_eq!(out, expected.as_bytes());
            let mut again = Vec::new();
            partial(&out, &mut again);
            assert_eq!(again, out, "masked no further");
        }
    }
}
