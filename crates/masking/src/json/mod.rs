//! Finding secrets by the structure of a JSON document.

mod edits;
mod found;
mod level;
mod path;
mod report;
mod scan;
mod scratch;
mod text;
mod tokens;

pub(crate) use self::{
    edits::{Edit, splice},
    found::Found,
    scan::{Scanned, scan},
    scratch::Scratch,
    text::{decode, encode},
    tokens::{Malformed, Token, Tokens},
};
