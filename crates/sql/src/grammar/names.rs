//! Names in one form.

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart};

/// A name with dots between its parts. [`None`] where a part is no name.
pub(crate) fn object(name: &ObjectName) -> Option<String> {
    let parts = name.0.iter().map(|part| match part {
        ObjectNamePart::Identifier(part) => Some(ident(part)),
        ObjectNamePart::Function(_) => None,
    });
    let parts: Option<Vec<String>> = parts.collect();
    Some(parts?.join("."))
}

/// Parts of a name with dots between them.
pub(crate) fn parts(parts: &[Ident]) -> String {
    parts.iter().map(ident).collect::<Vec<_>>().join(".")
}

/// One part of a name: in quotes where it would mean something else without them.
pub(crate) fn ident(part: &Ident) -> String {
    let upper =
        part.quote_style == Some('"') && part.value.bytes().any(|byte| byte.is_ascii_uppercase());
    let first = part.value.bytes().next();
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'@') || byte >= 0x80
    };
    let odd = first.is_none_or(|byte| byte.is_ascii_digit()) || !part.value.bytes().all(plain);
    match part.quote_style {
        Some(quote) if upper || odd => {
            let doubled = format!("{quote}{quote}");
            format!("{quote}{}{quote}", part.value.replace(quote, &doubled))
        }
        _ => part.value.clone(),
    }
}
