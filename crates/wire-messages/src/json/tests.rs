use proptest::prelude::*;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

use super::*;

fn kind(text: &[u8]) -> Option<&'static str> {
    check(text).err().map(|error| error.kind.as_str())
}

#[test]
fn what_every_reader_reads_alike_is_accepted() {
    for text in [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-0.0e-0",
        "1E+2",
        "123456789012345678901234567890",
        "1e308",
        "-1e308",
        "1e-999",
        "0e999999999999",
        "\"\"",
        "\"\u{7f}\u{80}\u{2028}\u{10ffff}\u{feff}\"",
        r#""\"\\\/\b\f\n\r\t\u0000\uD83D\uDE00\ud83d\ude00\uFFFF""#,
        "[]",
        "{}",
        " \t\r\n[ ] \t\r\n",
        "[ 1 , [ ] , { } , \"\" ]",
        "[[],[[]],{\"a\":{}}]",
        r#"{"a":1,"b":2,"A":3,"":4," a":5}"#,
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
        r#"{"a":{"b":1},"b":{"a":{}},"c":[{"a":1,"b":2}]}"#,
        // The same letter, composed and not: different names to every reader of JSON.
        "{\"\u{e9}\":1,\"e\u{301}\":2}",
        r#"{"a":1,"\u0061b":2,"\u0062":3}"#,
    ] {
        assert_eq!(kind(text.as_bytes()), None, "{text:?}");
        assert!(serde_json::from_str::<serde_json::Value>(text).is_ok());
    }
}

#[test]
fn what_two_readers_may_read_in_two_ways_is_refused() {
    for (text, expected) in [
        (r#"{"a":1,"a":1}"#, "duplicate_name"),
        (r#"{"a":1,"b":2,"\u0061":3}"#, "duplicate_name"),
        (r#"{"\ud83d\ude00":1,"😀":2}"#, "duplicate_name"),
        (r#"{"\/":1,"/":2}"#, "duplicate_name"),
        (r#"{"\n":1,"\u000a":2}"#, "duplicate_name"),
        (r#"{"":1,"":2}"#, "duplicate_name"),
        (r#"[{"x":[{"a":{},"a":{}}]}]"#, "duplicate_name"),
        (r#"{"a":{"b":1},"b":1,"a":1}"#, "duplicate_name"),
        ("\u{feff}{}", "byte_order_mark"),
        ("1e309", "number_out_of_range"),
        ("-1.7976931348623157e308", "number_out_of_range"),
        ("[1e99999999999999999999]", "number_out_of_range"),
        (r#""\ud800""#, "lone_surrogate"),
        (r#""\udc00""#, "lone_surrogate"),
        (r#""\ud800\ud800""#, "lone_surrogate"),
        (r#""\ud800\u0041""#, "lone_surrogate"),
        (r#""\ud800x""#, "lone_surrogate"),
        (r#""\ude00\ud83d""#, "lone_surrogate"),
    ] {
        assert_eq!(kind(text.as_bytes()), Some(expected), "{text:?}");
    }
}

#[test]
fn what_is_not_json_is_refused() {
    for (text, expected) in [
        (&b""[..], "unexpected_end"),
        (b" ", "unexpected_end"),
        (b"[", "unexpected_end"),
        (b"[1", "unexpected_end"),
        (b"[1,", "unexpected_end"),
        (b"{", "unexpected_end"),
        (b"{\"a\"", "unexpected_end"),
        (b"{\"a\":", "unexpected_end"),
        (b"{\"a\":1", "unexpected_end"),
        (b"{\"a\":1,", "unexpected_end"),
        (b"\"abc", "unexpected_end"),
        (b"\"\\", "unexpected_end"),
        (b"tru", "unexpected_end"),
        (b"[1,]", "unexpected_byte"),
        (b"[,1]", "unexpected_byte"),
        (b"[1 2]", "unexpected_byte"),
        (b"[1}", "unexpected_byte"),
        (b"{\"a\":1]", "unexpected_byte"),
        (b"{\"a\":1,}", "unexpected_byte"),
        (b"{,}", "unexpected_byte"),
        (b"{\"a\" 1}", "unexpected_byte"),
        (b"{\"a\",1}", "unexpected_byte"),
        (b"{a:1}", "unexpected_byte"),
        (b"{1:1}", "unexpected_byte"),
        (b"{'a':1}", "unexpected_byte"),
        (b"]", "unexpected_byte"),
        (b"True", "unexpected_byte"),
        (b"trux", "unexpected_byte"),
        (b"NaN", "unexpected_byte"),
        (b"Infinity", "unexpected_byte"),
        (b"+1", "unexpected_byte"),
        (b".5", "unexpected_byte"),
        (b"/**/1", "unexpected_byte"),
        (b"\x0c1", "unexpected_byte"),
        (b"\xc2\xa01", "unexpected_byte"),
        (b"\0", "unexpected_byte"),
        (b"-", "bad_number"),
        (b"-a", "bad_number"),
        (b"01", "bad_number"),
        (b"-01", "bad_number"),
        (b"1.", "bad_number"),
        (b"1.e1", "bad_number"),
        (b"1e", "bad_number"),
        (b"1e+", "bad_number"),
        (b"0x1", "trailing_data"),
        (b"1 2", "trailing_data"),
        (b"{}{}", "trailing_data"),
        (b"[]]", "trailing_data"),
        (b"{}\0", "trailing_data"),
        (b"nullnull", "trailing_data"),
        (b"1//", "trailing_data"),
        (b"\"\n\"", "control_character"),
        (b"\"a\x00\"", "control_character"),
        (b"\"\\n\x1f\"", "control_character"),
        (b"\"\\x41\"", "bad_escape"),
        (b"\"\\u12\"", "bad_escape"),
        (b"\"\\u12g4\"", "bad_escape"),
        (b"\"\\u+123\"", "bad_escape"),
        (b"\"\\ud83d\\u12\"", "bad_escape"),
        (b"\"\\'\"", "bad_escape"),
        (b"\"\xff\"", "not_utf8"),
        (b"\"\xed\xa0\x80\"", "not_utf8"),
        (b"\"\xc0\xaf\"", "not_utf8"),
        (b"{}\xe2\x82", "not_utf8"),
        (b"\xff\xfe{\0}\0", "not_utf8"),
    ] {
        let shown = String::from_utf8_lossy(text);
        assert_eq!(kind(text), Some(expected), "{shown:?}");
        assert!(
            serde_json::from_slice::<serde_json::Value>(text).is_err(),
            "{shown:?}"
        );
    }
}

#[test]
fn the_offset_is_where_the_fault_shows() {
    for (text, offset) in [
        (r#"{"a":1, "a":1}"#, 8),
        ("[1, x]", 4),
        ("\"ab\u{1}\"", 3),
        (r#"["\ud800"]"#, 2),
        ("[1] 2", 4),
        ("[1", 2),
        ("[01]", 1),
    ] {
        assert_eq!(
            check(text.as_bytes()).unwrap_err().offset,
            offset,
            "{text:?}"
        );
    }
}

#[test]
fn nesting_has_a_limit_that_serde_json_shares() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let deepest = nested(MAX_DEPTH);
        assert_eq!(kind(deepest.as_bytes()), None);
        assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
        let deeper = nested(MAX_DEPTH + 1);
        assert_eq!(kind(deeper.as_bytes()), Some("too_deep"));
        assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_err());
    }
    // Neither the stack nor the time may depend on what a caller repeats.
    assert_eq!(kind("[".repeat(10_000_000).as_bytes()), Some("too_deep"));
}

#[test]
fn names_that_stand_twice_are_found_in_large_objects_too() {
    let object = |names: &mut dyn Iterator<Item = usize>| {
        let members: Vec<String> = names.map(|name| format!("\"{name}\":{{}}")).collect();
        format!("{{{}}}", members.join(","))
    };
    for count in [1, 15, 16, 17, 18, 1000, MAX_MEMBERS] {
        assert_eq!(kind(object(&mut (0..count)).as_bytes()), None, "{count}");
        let again = object(&mut (0..count).chain([count / 2]));
        let expected = if count == MAX_MEMBERS {
            "too_many_members"
        } else {
            "duplicate_name"
        };
        assert_eq!(kind(again.as_bytes()), Some(expected), "{count}");
    }
}

/// Objects on both sides of the change from few names to many, within each other.
#[test]
fn large_and_small_objects_keep_their_names_apart() {
    let many = (0..20).map(|name| format!("\"{name}\":1"));
    let many: Vec<String> = many.collect();
    let inner = format!("{{{}}}", many.join(","));
    let text = format!(
        r#"{{"0":{inner},"1":{{"0":1}},{},"x":{inner}}}"#,
        many[2..].join(",")
    );
    assert_eq!(kind(text.as_bytes()), None);
    let text = text.replace("\"x\":", "\"1\":");
    assert_eq!(kind(text.as_bytes()), Some("duplicate_name"));
}

#[test]
fn an_error_says_where_and_not_what() {
    let error = check(br#"{"hunter2":1,"hunter2":2}"#).unwrap_err();
    assert_eq!(error.to_string(), "duplicate_name at byte 13");
    assert!(!format!("{error:?}").contains("hunter2"));
}

/// Texts that are JSON, or nearly so.
fn almost_json() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "1",
        "-1.5e3",
        "0",
        "e9",
        "null",
        "true",
        " ",
        "\\",
        "\\ud83d",
        "\\ude00",
        "{}",
        "[]",
        "{\"a\":",
        "é",
        "\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Values whose names come from few letters, so that they often meet.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>()
            .prop_filter("JSON has no infinity", |number| number.is_finite())
            .prop_map(|number| format!("{number:e}")),
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        let member = (
            prop::sample::select(vec!["a", "b", "\\u0061", "c"]),
            inner.clone(),
        );
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| {
                let all: Vec<String> = all
                    .into_iter()
                    .map(|(name, value)| format!("\"{name}\" : {value}"))
                    .collect();
                format!("{{{}}}", all.join(", "))
            }),
        ]
    })
}

/// A value that `serde_json` reads without any name standing twice.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = Unambiguous;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unambiguous, A::Error> {
                while seq.next_element::<Unambiguous>()?.is_some() {}
                Ok(Unambiguous)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, Unambiguous)) = map.next_entry::<String, _>()? {
                    if !names.insert(name) {
                        return Err(A::Error::custom("twice"));
                    }
                }
                Ok(Unambiguous)
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// What is accepted is what `serde_json` reads without a name standing twice. Only numbers at the
/// edge of a double may be refused by one and not by the other.
fn agrees(text: &[u8]) -> Result<(), TestCaseError> {
    let theirs = serde_json::from_slice::<Unambiguous>(text);
    match check(text) {
        Ok(()) => prop_assert!(theirs.is_ok(), "accepted alone"),
        Err(error) => prop_assert!(
            theirs.is_err() || error.kind == JsonErrorKind::NumberOutOfRange,
            "refused alone: {}",
            error
        ),
    }
    Ok(())
}

proptest! {
    #[test]
    fn near_misses_agree_with_serde_json(text in almost_json()) {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn values_agree_with_serde_json(text in value()) {
        agrees(text.as_bytes())?;
    }

    #[test]
    fn cut_values_are_refused(text in value(), cut in any::<prop::sample::Index>()) {
        let cut = cut.index(text.len());
        agrees(&text.as_bytes()[..cut])?;
    }

    #[test]
    fn any_bytes_agree_with_serde_json(bytes in prop::collection::vec(any::<u8>(), 0..32)) {
        agrees(&bytes)?;
    }
}
