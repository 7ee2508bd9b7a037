//! What must hold for every input.

use std::sync::OnceLock;

use serde_json::Value;
use tollbook_masking::{
    MaskStream, Masker,
    view::{BodyMasker, Column, ColumnKind, RowMasker},
};

use crate::{mutate::hash, seeds::BOUNDARY};

/// A text in pieces gives what the whole gives, nothing that is masked comes out before, little is
/// held back, and what is masked is masked no further.
pub(crate) fn text(input: &[u8]) -> Result<(), String> {
    let masker = masker();
    let whole = masker.mask(input).masked.into_inner();
    let (mut stream, mut out) = (masker.stream(), Vec::new());
    for piece in pieces(input) {
        stream.push(piece, &mut out);
        law(
            whole.starts_with(&out),
            "what came out is not the whole's beginning",
        )?;
        law(stream.held() <= MaskStream::HOLD_BACK, "too much waits")?;
    }
    stream.finish(&mut out);
    same(&out, &whole, "in pieces")?;
    same(
        &masker.mask(&whole).masked.into_inner(),
        &whole,
        "masked twice",
    )
}

/// A planted bug: matches that begin in one piece and end in another are lost.
pub(crate) fn forgetful(input: &[u8]) -> Result<(), String> {
    let masker = masker();
    let out: Vec<u8> = pieces(input)
        .flat_map(|piece| masker.mask(piece).masked.into_inner())
        .collect();
    same(&out, &masker.mask(input).masked.into_inner(), "in pieces")
}

/// A document stays one, with the same structure.
pub(crate) fn json(input: &[u8]) -> Result<(), String> {
    let masker = masker();
    let scan = masker.json(input, "b");
    let masked = scan.masked.into_inner();
    law(
        scan.coverage.inspected + scan.coverage.gaps.opaque == input.len() as u64,
        "coverage",
    )?;
    law(
        scan.found.is_empty() == (masked == input),
        "findings and changes differ",
    )?;
    if let Ok(before) = serde_json::from_slice::<Value>(input) {
        let after = serde_json::from_slice::<Value>(&masked).map_err(|error| error.to_string())?;
        alike(&before, &after)?;
        same(
            &masker.json(&masked, "b").masked.into_inner(),
            &masked,
            "masked twice",
        )?;
    }
    Ok(())
}

/// A tool's input in deltas gives the same however it is cut, and stays JSON.
pub(crate) fn tool_input(input: &[u8]) -> Result<(), String> {
    let input = String::from_utf8_lossy(input);
    let whole = deltas(std::iter::once(&*input))?;
    let cuts = pieces(input.as_bytes()).scan(0, |at, piece| {
        *at += piece.len();
        Some(*at)
    });
    let mut cuts: Vec<usize> = cuts.filter(|at| input.is_char_boundary(*at)).collect();
    cuts.insert(0, 0);
    cuts.push(input.len());
    let parts = deltas(cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]))?;
    same(parts.as_bytes(), whole.as_bytes(), "in pieces")?;
    if let Ok(before) = serde_json::from_str::<Value>(&input) {
        let after = serde_json::from_str::<Value>(&whole).map_err(|error| error.to_string())?;
        alike(&before, &after)?;
    }
    Ok(())
}

/// Events give the same however their bytes are cut, and as many of them.
pub(crate) fn events(input: &[u8]) -> Result<(), String> {
    body("text/event-stream", input)
}

/// Cells give the same alone and together.
pub(crate) fn rows(input: &[u8]) -> Result<(), String> {
    let masker = masker();
    let columns = [
        Column::new("note", ColumnKind::Text),
        Column::new("password", ColumnKind::Text),
        Column::new("data", ColumnKind::Json),
        Column::new("phone", ColumnKind::Number),
    ];
    let cells: Vec<Option<&[u8]>> = pieces(input).map(Some).collect();
    let full = cells.len() / columns.len() * columns.len();
    let together = RowMasker::new(&masker, &columns).mask(&cells[..full]);
    let mut rows = RowMasker::new(&masker, &columns);
    let alone = cells[..full]
        .chunks(columns.len())
        .flat_map(|row| rows.mask(row));
    law(alone.eq(together), "cells differ")
}

/// A form keeps its structure, however it comes.
pub(crate) fn form(input: &[u8]) -> Result<(), String> {
    body("application/x-www-form-urlencoded", input)?;
    let out = whole("application/x-www-form-urlencoded", input)?;
    let marks = |body: &[u8]| body.iter().filter(|byte| **byte == b'&').count();
    law(marks(&out) == marks(input), "pairs were lost")
}

/// A body of several parts keeps its parts.
pub(crate) fn multipart(input: &[u8]) -> Result<(), String> {
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    body(&content_type, input)?;
    let out = whole(&content_type, input)?;
    let boundary = format!("\n--{BOUNDARY}");
    let count = |body: &[u8]| String::from_utf8_lossy(body).matches(&boundary).count();
    law(count(&out) <= count(input), "parts were made")
}

/// A file of rules is taken or refused.
pub(crate) fn rules(input: &[u8]) -> Result<(), String> {
    let toml = String::from_utf8_lossy(input);
    if let Err(error) = Masker::builder().rules("fuzz.toml", &*toml).build() {
        law(!error.to_string().is_empty(), "an error says nothing")?;
    }
    Ok(())
}

fn masker() -> Masker {
    static MASKER: OnceLock<Masker> = OnceLock::new();
    MASKER.get_or_init(Masker::builtin).clone()
}

/// The input in pieces of sizes that it tells itself.
fn pieces(input: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut state = hash(input);
    let mut rest = input;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        let size = match state >> 61 {
            0 => 1,
            1 => 2,
            scale => usize::try_from(state >> 40).unwrap() % (1 << scale) + 1,
        };
        let (piece, more) = rest.split_at(size.min(rest.len()));
        rest = more;
        Some(piece)
    })
}

/// A body gives the same in pieces and at once, errors included.
fn body(content_type: &str, input: &[u8]) -> Result<(), String> {
    let masker = masker();
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut view = BodyMasker::new(&masker, Some(content_type), "b");
        let mut out = Vec::new();
        let mut error = None;
        for piece in pieces {
            match view.push(piece) {
                Ok(parts) => out.extend(parts),
                Err(known) => error = error.or(Some(known)),
            }
        }
        match view.finish() {
            Ok(parts) => out.extend(parts),
            Err(known) => error = error.or(Some(known)),
        }
        (out, error, view.found(), view.coverage())
    };
    let (parts, error, found, coverage) = run(&mut pieces(input));
    let (whole, whole_error, whole_found, whole_coverage) = run(&mut std::iter::once(input));
    law(error == whole_error, "errors differ")?;
    law(found == whole_found, "findings differ")?;
    law(
        error.is_some() || coverage == whole_coverage,
        "coverage differs",
    )?;
    let join = |parts: &[tollbook_exchange::Masked<bytes::Bytes>]| -> Vec<u8> {
        parts
            .iter()
            .flat_map(|part| part.as_inner().to_vec())
            .collect()
    };
    same(&join(&parts), &join(&whole), "in pieces")
}

fn whole(content_type: &str, input: &[u8]) -> Result<Vec<u8>, String> {
    let mut view = BodyMasker::new(&masker(), Some(content_type), "b");
    let mut parts = view.push(input).map_err(|error| error.to_string())?;
    parts.extend(view.finish().map_err(|error| error.to_string())?);
    Ok(parts
        .iter()
        .flat_map(|part| part.as_inner().to_vec())
        .collect())
}

/// Sends a tool's input in deltas and puts together what comes out.
fn deltas<'a>(parts: impl Iterator<Item = &'a str>) -> Result<String, String> {
    let mut stream = String::new();
    for part in parts {
        let delta = serde_json::json!({"type": "input_json_delta", "partial_json": part});
        let data = serde_json::json!({"type": "content_block_delta", "index": 0, "delta": delta});
        stream.push_str(&format!("data: {data}\n\n"));
    }
    stream.push_str("data: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
    let out = whole("text/event-stream", stream.as_bytes())?;
    let out = String::from_utf8(out).map_err(|error| error.to_string())?;
    let mut text = String::new();
    for data in out.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let data: Value = serde_json::from_str(data).map_err(|error| error.to_string())?;
        text.push_str(data["delta"]["partial_json"].as_str().unwrap_or_default());
    }
    Ok(text)
}

/// The same structure: texts may differ, numbers may have become texts.
fn alike(before: &Value, after: &Value) -> Result<(), String> {
    match (before, after) {
        (Value::Array(a), Value::Array(b)) => {
            law(a.len() == b.len(), "elements")?;
            a.iter().zip(b).try_for_each(|(a, b)| alike(a, b))
        }
        (Value::Object(a), Value::Object(b)) => law(a.len() == b.len(), "members"),
        (Value::String(_) | Value::Number(_), Value::String(_)) => Ok(()),
        (a, b) => law(a == b, "values"),
    }
}

fn law(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn same(a: &[u8], b: &[u8], what: &str) -> Result<(), String> {
    law(
        a == b,
        &format!("{what}: {} is not {}", a.escape_ascii(), b.escape_ascii()),
    )
}
