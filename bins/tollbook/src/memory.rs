//! What is in memory stays there.

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::exit::Failure;

/// Sees to it that the process leaves no core behind when it dies: the upstream's credential, the
/// key of the log and what callers send would be in it. On Linux other processes of the same user
/// cannot read its memory or attach to it from then on either (`PR_SET_DUMPABLE`, prctl(2)).
pub(crate) fn keep() -> Result<(), Failure> {
    let failed = |error| Failure::unknown("cannot turn core dumps off", error);
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, nothing).map_err(failed)?;
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        // The limit alone is not enough: where cores go to a program, it does not count.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(failed)?;
    }
    Ok(())
}
