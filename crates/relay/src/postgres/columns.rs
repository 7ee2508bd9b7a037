//! What the cells of a column are, between the wire, the masking engine and the record.

use std::{
    borrow::Cow,
    net::{Ipv4Addr, Ipv6Addr},
};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tollbook_masking::{Masker, view::ColumnKind};
use tollbook_wire_postgres::{Format, text_of};

use super::protected::Protection;

/// A column of a result, as it is treated.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type, as `pg_type` has it; zero where nobody says.
    pub(super) kind: u32,
    pub(super) format: Format,
    pub(super) form: Form,
    pub(super) protection: Option<Protection>,
    /// Schema, table and column it comes from.
    pub(super) origin: Option<(String, String, String)>,
}

/// What a value is, as far as it decides what can stand in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text in either format.
    Text,
    Json,
    /// In binary it has its version before it.
    Jsonb,
    /// Of so many bytes in binary.
    Integer(usize),
    /// With a point, or of another size than those.
    Number,
    Bool,
    Date,
    /// Bytes; as text in hexadecimal.
    Bytes,
    /// Something that has a text form, in which nothing can stand in the place of a part.
    Whole,
    /// Judged by the column's name alone.
    Opaque,
    /// Of texts or documents.
    Array(u32),
    /// A type that nobody here knows: text where it comes as text, and else bytes.
    Unknown,
}

impl Form {
    /// The form of a type that comes with PostgreSQL.
    pub(super) const fn of(kind: u32) -> Self {
        match kind {
            18 | 19 | 25 | 142 | 705 | 1042 | 1043 | 2275 => Self::Text,
            114 => Self::Json,
            3802 => Self::Jsonb,
            21 => Self::Integer(2),
            23 => Self::Integer(4),
            20 => Self::Integer(8),
            26 | 28 | 700 | 701 | 1700 => Self::Number,
            16 => Self::Bool,
            1082 | 1083 | 1114 | 1184 | 1186 | 1266 => Self::Date,
            17 => Self::Bytes,
            2950 => Self::Opaque,
            143 => Self::Array(142),
            199 => Self::Array(114),
            1002 => Self::Array(18),
            1003 => Self::Array(19),
            1009 => Self::Array(25),
            1014 => Self::Array(1042),
            1015 => Self::Array(1043),
            3807 => Self::Array(3802),
            // Addresses of networks, money, records, numbers and dates in arrays.
            650 | 774 | 790 | 829 | 869 | 1000 | 1001 | 1005 | 1007 | 1011 | 1016 | 1021 | 1022
            | 1028 | 1115 | 1182 | 1183 | 1185 | 1187 | 1231 | 1270 | 2249 | 2951 => Self::Whole,
            _ => Self::Unknown,
        }
    }

    /// How the masking engine looks at it.
    pub(super) const fn masked_as(self) -> ColumnKind {
        match self {
            Self::Text | Self::Whole | Self::Array(_) => ColumnKind::Text,
            Self::Json | Self::Jsonb => ColumnKind::Json,
            Self::Integer(_) | Self::Number => ColumnKind::Number,
            Self::Bool => ColumnKind::Bool,
            Self::Date => ColumnKind::Date,
            Self::Bytes | Self::Unknown => ColumnKind::Bytes,
            Self::Opaque => ColumnKind::Other,
        }
    }
}

impl Column {
    /// A value as the masking engine and the record see it. None where only its bytes can be looked at.
    pub(super) fn plain<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        match (self.form, self.format) {
            (Form::Text | Form::Json, _) => Some(value.into()),
            (Form::Jsonb, Format::Binary) => value.get(1..).map(Into::into),
            (Form::Bytes, Format::Binary) => Some(value.into()),
            (Form::Bytes, Format::Text) => Some(unhex(value).map_or(value.into(), Into::into)),
            (_, Format::Text) => Some(value.into()),
            (Form::Unknown, Format::Binary) => None,
            (_, Format::Binary) => {
                let text = address(self.kind, value);
                let text = text.or_else(|| text_of(self.kind, Format::Binary, value))?;
                Some(text.into_bytes().into())
            }
        }
    }

    /// What the caller gets in the place of a value; none for null, where the type has no room for it.
    pub(super) fn wire(&self, plain: &[u8]) -> Option<Bytes> {
        match (self.form, self.format) {
            (Form::Text | Form::Json, _) | (Form::Jsonb | Form::Unknown, Format::Text) => {
                Some(Bytes::copy_from_slice(plain))
            }
            (Form::Jsonb, Format::Binary) => {
                let mut out = BytesMut::with_capacity(1 + plain.len());
                out.put_u8(1);
                out.put_slice(plain);
                Some(out.freeze())
            }
            (Form::Bytes, Format::Binary) => Some(Bytes::copy_from_slice(plain)),
            (Form::Bytes, Format::Text) => Some(hex(plain).into()),
            (Form::Integer(_) | Form::Number, Format::Text) => Some(Bytes::copy_from_slice(plain)),
            (Form::Integer(size), Format::Binary) => integer(size, plain),
            _ => None,
        }
    }

    /// What stands in the place of a value of a protected column; none for null.
    pub(super) fn concealed(
        &self,
        protection: Protection,
        masker: &Masker,
        value: &[u8],
    ) -> Option<Bytes> {
        let operator = protection.operator()?;
        let plain = self.plain(value)?;
        let concealed = || masker.conceal(LABEL, operator, &plain).into_inner();
        match (self.form, self.format) {
            (Form::Text | Form::Bytes, _) | (Form::Unknown, Format::Text) => Some(concealed()),
            (Form::Json | Form::Jsonb, _) => {
                let text = concealed();
                Some(json!(String::from_utf8_lossy(&text)).to_string().into())
            }
            _ => None,
        }
    }

    /// A value as the record tells it.
    pub(super) fn told(&self, plain: &[u8]) -> Value {
        match self.form {
            Form::Bytes => String::from_utf8_lossy(&hex(plain)).into(),
            _ => String::from_utf8_lossy(plain).into(),
        }
    }
}

/// The name of a type, where it comes with PostgreSQL.
pub(super) fn type_name(kind: u32) -> String {
    let name = match kind {
        16 => "bool",
        17 => "bytea",
        18 => "char",
        19 => "name",
        20 => "int8",
        21 => "int2",
        23 => "int4",
        25 => "text",
        26 => "oid",
        114 => "json",
        142 => "xml",
        650 => "cidr",
        700 => "float4",
        701 => "float8",
        790 => "money",
        869 => "inet",
        1005 => "int2[]",
        1007 => "int4[]",
        1009 => "text[]",
        1015 => "varchar[]",
        1016 => "int8[]",
        1042 => "bpchar",
        1043 => "varchar",
        1082 => "date",
        1083 => "time",
        1114 => "timestamp",
        1184 => "timestamptz",
        1186 => "interval",
        1266 => "timetz",
        1700 => "numeric",
        2249 => "record",
        2950 => "uuid",
        3802 => "jsonb",
        3807 => "jsonb[]",
        number => return number.to_string(),
    };
    name.to_owned()
}

fn integer(size: usize, digits: &[u8]) -> Option<Bytes> {
    let number: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match size {
        2 => Bytes::copy_from_slice(&i16::try_from(number).ok()?.to_be_bytes()),
        4 => Bytes::copy_from_slice(&i32::try_from(number).ok()?.to_be_bytes()),
        _ => Bytes::copy_from_slice(&number.to_be_bytes()),
    })
}

/// An address of a network, whose binary form no other type has (`network_send` in PostgreSQL's source).
fn address(kind: u32, value: &[u8]) -> Option<String> {
    let (869 | 650, [family, bits, _, _, rest @ ..]) = (kind, value) else {
        return None;
    };
    let (address, all) = match family {
        2 => (
            Ipv4Addr::from(<[u8; 4]>::try_from(rest).ok()?).to_string(),
            32,
        ),
        3 => (
            Ipv6Addr::from(<[u8; 16]>::try_from(rest).ok()?).to_string(),
            128,
        ),
        _ => return None,
    };
    Some(match *bits == all && kind == 869 {
        true => address,
        false => format!("{address}/{bits}"),
    })
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half & 15)];
    let mut out = b"\\x".to_vec();
    out.extend(
        bytes
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(*byte)]),
    );
    out
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_prefix(b"\\x")?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, rest) = digits.as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    rest.is_empty().then(|| pairs.iter().map(byte).collect())?
}

/// What stands in placeholders of protected columns.
pub(super) const LABEL: &str = "protected-column";

#[cfg(test)]
mod tests {
    use super::*;

    pub(in super::super) fn column(kind: u32, format: Format) -> Column {
        Column {
            name: "c".to_owned(),
            kind,
            format,
            form: Form::of(kind),
            protection: None,
            origin: None,
        }
    }

    #[test]
    fn what_takes_a_values_place_is_of_its_type_or_null() {
        let wire = |kind, format, plain: &[u8]| column(kind, format).wire(plain);
        let (text, binary) = (Format::Text, Format::Binary);
        assert_eq!(wire(25, binary, b"x").as_deref(), Some(&b"x"[..]));
        assert_eq!(wire(3802, binary, b"{}").as_deref(), Some(&b"\x01{}"[..]));
        assert_eq!(wire(3802, text, b"{}").as_deref(), Some(&b"{}"[..]));
        assert_eq!(wire(17, text, b"ab").as_deref(), Some(&b"\\x6162"[..]));
        assert_eq!(wire(23, binary, b"256").as_deref(), Some(&[0, 0, 1, 0][..]));
        assert_eq!(wire(21, binary, b"70000"), None);
        for kind in [1700, 1184, 2950, 869, 16, 1007, 99_999] {
            assert_eq!(wire(kind, binary, b"[REDACTED:x]"), None, "{kind}");
        }
        assert_eq!(wire(99_999, text, b"x").as_deref(), Some(&b"x"[..]));
        assert_eq!(wire(869, text, b"x"), None);
    }

    #[test]
    fn bytes_are_looked_at_as_bytes_in_either_format() {
        let plain = |kind, format, value: &'static [u8]| {
            column(kind, format).plain(value).map(Cow::into_owned)
        };
        let (text, binary) = (Format::Text, Format::Binary);
        assert_eq!(plain(17, text, b"\\x6162"), Some(b"ab".to_vec()));
        assert_eq!(plain(17, binary, b"ab"), Some(b"ab".to_vec()));
        assert_eq!(plain(17, text, b"\\x616"), Some(b"\\x616".to_vec()));
        let four = [2, 32, 0, 4, 192, 0, 2, 7];
        let told = column(869, binary).plain(&four).map(Cow::into_owned);
        assert_eq!(told, Some(b"192.0.2.7".to_vec()));
        assert_eq!(plain(99_999, binary, b"ab"), None);
    }

    #[test]
    fn a_protected_value_leaves_nothing_of_itself() {
        let masker = Masker::builtin();
        let (text, binary) = (Format::Text, Format::Binary);
        let concealed = |kind, format, value: &[u8], protection| {
            let cell = column(kind, format).concealed(protection, &masker, value);
            cell.map(|cell| String::from_utf8_lossy(&cell).into_owned())
        };
        let redacted = Some("[REDACTED:protected-column]".to_owned());
        assert_eq!(
            concealed(25, binary, b"219-09-9999", Protection::Redact),
            redacted
        );
        let partial = concealed(25, text, b"219-09-9999", Protection::Partial);
        assert_eq!(partial.as_deref(), Some("***-**-9999"));
        let document = concealed(3802, binary, b"\x01{\"a\":1}", Protection::Redact);
        assert_eq!(document.as_deref(), Some("\"[REDACTED:protected-column]\""));
        assert_eq!(
            concealed(23, binary, &[0, 0, 0, 7], Protection::Redact),
            None
        );
        assert_eq!(concealed(25, text, b"x", Protection::Null), None);
    }
}
