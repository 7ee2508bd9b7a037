//! Rows of a database.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tollbook_masking::{
    Masker,
    view::{Cell, Column, ColumnKind, RowMasker},
};

use crate::{
    corpus::{strict, texts},
    laws,
};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const MASKED: &str = "[REDACTED:aws-access-key-id]";

fn mask(columns: &[Column], cells: &[Option<&[u8]>]) -> (Vec<Cell>, Vec<(String, u32)>) {
    let mut rows = RowMasker::new(&Masker::builtin(), columns);
    let cells = rows.mask(cells);
    let found = rows.found();
    (
        cells,
        found
            .into_iter()
            .map(|found| (found.place, found.count))
            .collect(),
    )
}

fn text(cell: &Cell) -> String {
    match cell {
        Cell::Masked(bytes) => String::from_utf8(bytes.as_inner().to_vec()).unwrap(),
        Cell::Unchanged => "=".to_owned(),
        Cell::Null => "null".to_owned(),
        _ => unreachable!(),
    }
}

#[test]
fn the_name_of_a_column_comes_first_then_its_type_then_what_is_in_it() {
    let columns = [
        Column::new("password", ColumnKind::Text),
        Column::new("password_changed", ColumnKind::Bool),
        Column::new("note", ColumnKind::Text),
        Column::new("payload", ColumnKind::Json),
        Column::new("blob", ColumnKind::Bytes),
        Column::new("at", ColumnKind::Date),
        Column::new("id", ColumnKind::Number),
    ];
    let note = format!("é {KEY} {KEY}");
    let payload = json!({"api_key": "correct horse", "n": [KEY]}).to_string();
    let blob = [b"\xff\x00", KEY.as_bytes(), b"\x00\xfe"].concat();
    let row: Vec<Option<&[u8]>> = vec![
        Some(b"correct horse"),
        Some(b"true"),
        Some(note.as_bytes()),
        Some(payload.as_bytes()),
        Some(&blob),
        Some(b"2026-11-22"),
        Some(b"1234567"),
    ];
    let (cells, found) = mask(&columns, &row);
    assert_eq!(text(&cells[0]), "[REDACTED:json-sensitive-key]");
    assert_eq!(text(&cells[2]), format!("é {MASKED} {MASKED}"));
    assert_eq!(
        text(&cells[3]),
        json!({"api_key": "[REDACTED:json-sensitive-key]", "n": [MASKED]}).to_string()
    );
    let expected = [b"\xff\x00", MASKED.as_bytes(), b"\x00\xfe"].concat();
    let Cell::Masked(masked) = &cells[4] else {
        panic!("{:?}", cells[4])
    };
    assert_eq!(masked.as_inner(), &Bytes::from(expected));
    for unchanged in [1, 5, 6] {
        assert_eq!(cells[unchanged], Cell::Unchanged);
    }
    for place in [
        "rows:password",
        "rows:note",
        "rows:payload.api_key",
        "rows:payload.n[]",
        "rows:blob",
    ] {
        assert!(
            found.iter().any(|(known, _)| known == place),
            "{place}: {found:?}"
        );
    }
    assert!(found.contains(&("rows:note".to_owned(), 2)));
}

#[test]
fn nulls_stay_and_odd_names_are_not_told() {
    let columns = [Column::new(format!("max({KEY})"), ColumnKind::Text)];
    let (cells, found) = mask(&columns, &[None, Some(KEY.as_bytes()), Some(b"")]);
    assert_eq!(
        cells.iter().map(text).collect::<Vec<_>>(),
        ["=", MASKED, "="]
    );
    assert_eq!(found, [("rows:*".to_owned(), 1)]);
}

#[test]
fn a_document_that_is_none_is_a_text() {
    let columns = [Column::new("payload", ColumnKind::Json)];
    let cell = format!("{{\"a\": {KEY}");
    let (cells, _) = mask(&columns, &[Some(cell.as_bytes())]);
    assert_eq!(text(&cells[0]), cell.replace(KEY, MASKED));
    let (cells, _) = mask(
        &[Column::new("api_key", ColumnKind::Json)],
        &[Some(b"[\"correct horse\", 1]")],
    );
    assert_eq!(text(&cells[0]), "[\"[REDACTED:json-sensitive-key]\", 1]");
}

#[test]
fn every_vector_is_found_in_a_cell_and_its_neighbours_do_not_matter() {
    let columns = [Column::new("note", ColumnKind::Text)];
    let vectors: Vec<&[u8]> = texts().map(|(_, text)| text.as_bytes()).collect();
    let cells: Vec<Option<&[u8]>> = vectors.iter().map(|text| Some(*text)).collect();
    let masker = strict();
    let together = RowMasker::new(&masker, &columns).mask(&cells);
    let mut one = RowMasker::new(&masker, &columns);
    for (cell, masked) in cells.iter().zip(&together) {
        let found = !masker.mask(cell.unwrap()).matches.is_empty();
        assert_eq!(matches!(masked, Cell::Masked(_)), found);
        assert_eq!(one.mask(&[*cell]), std::slice::from_ref(masked));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn cell_by_cell_is_the_same_as_all_at_once(
        cells in prop::collection::vec(prop::option::weighted(0.9, laws::text()), 0..20),
        at_once in 1usize..7,
    ) {
        let columns = [
            Column::new("note", ColumnKind::Text),
            Column::new("token", ColumnKind::Bytes),
            Column::new("data", ColumnKind::Json),
            Column::new("phone", ColumnKind::Number),
        ];
        let cells: Vec<Option<&[u8]>> = cells.iter().map(|cell| cell.as_deref()).collect();
        let rows: Vec<_> = cells.chunks_exact(4).flatten().copied().collect();
        let masker = Masker::builtin();
        let mut all = RowMasker::new(&masker, &columns);
        let together = all.mask(&rows);
        let mut some = RowMasker::new(&masker, &columns);
        let parts: Vec<Cell> = rows.chunks(4 * at_once).flat_map(|rows| some.mask(rows)).collect();
        prop_assert_eq!(&together, &parts);
        prop_assert_eq!(all.found(), some.found());
        prop_assert_eq!(all.coverage(), some.coverage());
        // As texts of their own, under no name.
        let unnamed = Column::new("", ColumnKind::Text);
        let mut alone = RowMasker::new(&masker, std::slice::from_ref(&unnamed));
        for (cell, masked) in rows.iter().zip(alone.mask(&rows)) {
            let Some(cell) = cell else { continue };
            let whole = masker.mask(cell);
            let expected = if whole.masked.as_inner() == cell {
                Cell::Unchanged
            } else {
                Cell::Masked(whole.masked)
            };
            prop_assert_eq!(masked, expected);
        }
    }
}
