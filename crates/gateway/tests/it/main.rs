//! Whole gateways in one process, between stand-ins.

mod canary;
mod edge;
mod load;
mod refusals;
mod stage;
mod transparency;
