//! Masking bodies by what they are.

mod body;
mod decode;
mod events;
mod form;
mod frame;
mod head;
mod lines;
mod multipart;
mod rows;
mod waiting;

pub use self::{
    body::{BodyMasker, ViewError},
    decode::{Decoder, Undecodable},
    rows::{Cell, Column, ColumnKind, RowMasker},
};
