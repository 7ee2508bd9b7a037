//! Finding secrets by the structure of a JSON document.

mod edits;
mod found;
mod level;
mod path;
mod report;
mod scan;
mod stream;
mod text;
mod text_stream;
mod tokens;

pub(crate) use self::{
    edits::{Edit, splice},
    found::Found,
    level::Name,
    path::Path,
    scan::{MIN_NUMBER, Scanned, is_value, member_spans, scan, scan_named},
    stream::JsonStream,
    text::{decode, encode},
    tokens::{Malformed, Token, Tokens},
};
