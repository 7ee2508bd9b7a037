//! The book from outside: what is durable when, what is found, and what is refused.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod anchor;
#[cfg(target_os = "linux")]
mod disk;
mod durability;
mod erasure;
mod evidence;
mod failure;
#[cfg(target_os = "linux")]
mod faults;
mod limits;
mod outcomes;
mod reading;
mod release;
mod restart;
mod sealed;
mod sessions;
mod support;
mod tampering;

/// The recorder of a test with a disk of its own; see [`disk`].
#[cfg(target_os = "linux")]
#[ignore = "a process that other tests start"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_child() {
    disk::record().await;
}
