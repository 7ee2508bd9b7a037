//! Whole gateways in one process, between stand-ins.

mod canary;
mod edge;
mod load;
mod operations;
mod policies;
mod refusals;
mod stage;
mod transparency;
mod wire;
