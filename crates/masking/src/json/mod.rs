//! Finding secrets by the structure of a JSON document.

mod edits;
mod found;
mod level;
mod path;
mod report;
mod scan;
mod text;
mod tokens;

pub(crate) use self::{
    edits::{Edit, splice},
    found::Found,
    level::Name,
    path::Path,
    scan::{MIN_NUMBER, Scanned, is_value, scan, scan_named},
    text::{decode, encode},
    tokens::{Malformed, Token, Tokens},
};
