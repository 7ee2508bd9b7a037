//! What holds for every text.

use proptest::prelude::*;
use tollbook_detection::{Detectors, Place};

use crate::cases::{cases, place};

/// Texts in which hits begin, end, break off and run into each other.
fn text() -> impl Strategy<Value = String> {
    let known: Vec<String> = cases().into_iter().map(|case| case.text).collect();
    let known = prop::sample::select(known);
    let cut =
        (known.clone(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(text, at, end)| {
            let at = text.floor_char_boundary(at.index(text.len() + 1));
            if end {
                text[at..].to_owned()
            } else {
                text[..at].to_owned()
            }
        });
    let glue = prop::sample::select(vec![
        " ",
        "\n",
        "\t",
        "\\n",
        "\\",
        "\"",
        "'",
        "`",
        "\\\"",
        ";",
        "|",
        "&&",
        "$(",
        ")",
        "(",
        "{",
        "}",
        "${IFS}",
        "$'",
        "$",
        "/*",
        "*/",
        "--",
        "/",
        "rm ",
        "DROP ",
        "DELETE FROM ",
        "WHERE ",
        "UPDATE a SET b=",
        "curl ",
        "| sh",
        "git push ",
        "kubectl delete ",
        "> /dev/",
        "ignore ",
        "all previous instructions",
        "<!--",
        "](http",
        "![",
        "iban ",
        "card number ",
        "4111",
        "é",
        "😀",
        "\u{a0}",
        "\u{200b}",
        "\u{202e}",
        "\u{e0041}",
        "\u{1f3f4}",
        "\u{feff}",
        "\u{ad}",
        "\u{2060}",
        "\r\n",
        "\\x72",
        "\\x",
    ])
    .prop_map(str::to_owned);
    let run = (
        prop::sample::select(vec!['a', '(', '"', '\'', '\\', ' ', 'é', '/', '\u{200b}']),
        1usize..700,
    )
        .prop_map(|(letter, count)| letter.to_string().repeat(count));
    let noise = any::<String>();
    let piece = prop_oneof![3 => known, 4 => cut, 8 => glue, 1 => run, 1 => noise];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn any_place() -> impl Strategy<Value = Place> {
    let names = vec![
        "system",
        "user_text",
        "assistant_text",
        "thinking",
        "tool_definition",
        "tool_use",
        "tool_result",
        "document",
        "mcp_server",
        "other",
    ];
    prop::sample::select(names).prop_map(place)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_text_is_survived_and_spans_lie_within(place in any_place(), text in text()) {
        let detectors = Detectors::builtin();
        let mut scan = detectors.scan();
        scan.text(place, &text);
        scan.mcp_server(&text);
        let detected = scan.finish();
        for hit in &detected.hits {
            prop_assert!(hit.span.start < hit.span.end);
            prop_assert!(text.get(hit.span.clone()).is_some(), "{hit:?}");
        }
        prop_assert_eq!(detected.labels.is_empty(), detected.hits.is_empty());
        prop_assert!(detected.risk <= 100);
    }

    #[test]
    fn the_order_of_texts_does_not_matter(mut texts in prop::collection::vec((any_place(), text()), 0..6)) {
        let detectors = Detectors::builtin();
        let scan = |texts: &[(Place, String)]| {
            let mut scan = detectors.scan();
            for (place, text) in texts {
                scan.text(place.clone(), text);
            }
            let detected = scan.finish();
            (detected.findings("x"), detected.labels, detected.risk)
        };
        let forward = scan(&texts);
        texts.reverse();
        prop_assert_eq!(forward, scan(&texts));
    }

    #[test]
    fn what_is_found_in_a_place_is_found_in_one_that_nobody_knows(place in any_place(), text in text()) {
        // Other texts are read as a shell reads them too, which takes nothing away.
        let detectors = Detectors::builtin();
        let labels = |place: Place| {
            let mut scan = detectors.scan();
            scan.text(place, &text);
            scan.finish().labels
        };
        prop_assert!(labels(place).is_subset(&labels(Place::Other)));
    }

    #[test]
    fn lines_before_and_behind_hide_nothing(text in text(), before in text()) {
        // The names of commands begin lines of their own, so what stands in other lines matters not.
        let detectors = Detectors::builtin();
        let mut scan = detectors.scan();
        scan.text(Place::tool_use("x"), &format!("{before}\n;\nrm -rf /\n{text}"));
        prop_assert!(scan.finish().labels.contains("destructive-shell"));
    }
}
