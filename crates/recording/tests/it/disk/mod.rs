//! A disk that forgets, fails or hangs, and a recorder in a process of its own that writes to it.
//!
//! `kill -9` shows nothing about power cuts: what was written and not synced is still in the
//! system's memory. So a library stands between the recorder and its files ([`shim.c`](shim.c)),
//! which writes down each write and each sync, and a [`Trace`] makes the disk as a power cut at any
//! moment could leave it.

mod child;
mod cut;

pub(crate) use self::{
    child::{Child, Fault, body_of, config, record},
    cut::{Lost, Trace},
};
