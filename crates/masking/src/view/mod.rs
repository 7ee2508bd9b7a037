//! Masking bodies by what they are.

mod body;
mod events;
mod form;
mod frame;
mod lines;
mod multipart;
mod rows;

pub use self::{
    body::{BodyMasker, ViewError},
    rows::{Cell, Column, ColumnKind, RowMasker},
};
