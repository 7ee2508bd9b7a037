//! Finding secrets by the structure of a JSON document.

mod found;
mod path;
mod scan;
mod text;
mod tokens;

pub(crate) use self::{
    found::Found,
    scan::{Edit, scan, splice},
    text::{Text, encode},
    tokens::{Malformed, Token, Tokens},
};
