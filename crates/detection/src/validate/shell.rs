//! Commands whose danger lies in how options and operands come together.

use std::ops::Range;

use crate::{
    engine::Candidate,
    validate::{target::Target, words::Command},
};

/// `rm` of the machine, of what it needs, or of a home.
pub(crate) fn rm_machine(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let recursive = is_recursive(&command);
    let hit = command.has("", &["no-preserve-root"])
        || command
            .operands()
            .any(|word| (recursive || word.ends_with('*')) && Target::of(word) == Target::Machine);
    span(candidate, &command, hit)
}

/// `rm` of everything where one is.
pub(crate) fn rm_here(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let hit = is_recursive(&command)
        && command
            .operands()
            .any(|word| Target::of(word) == Target::Here);
    span(candidate, &command, hit)
}

/// `find` that removes what it finds, from a place where that is the machine or a home.
pub(crate) fn find_delete(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let from_machine = command
        .operands()
        .take_while(|word| !word.starts_with(['(', '!']))
        .any(|word| Target::of(word) == Target::Machine);
    let removes = command
        .arguments()
        .windows(2)
        .any(|pair| pair[0].starts_with("-exec") && is_rm(&pair[1]))
        || command.arguments().iter().any(|word| word == "-delete")
        || pipes_into_rm(command.rest);
    // Conditions narrow it down, and then it may be what one wants.
    let narrowed = command
        .arguments()
        .iter()
        .any(|word| NARROWING.contains(&&**word));
    span(candidate, &command, from_machine && removes && !narrowed)
}

/// `dd` onto a disk.
pub(crate) fn dd_device(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let hit = command.arguments().iter().any(|word| {
        word.strip_prefix("of=/dev/")
            .is_some_and(|device| DISKS.iter().any(|disk| device.starts_with(disk)))
    });
    span(candidate, &command, hit)
}

/// `chmod` that lets everybody write to the machine, or `chown` of it.
pub(crate) fn permissions(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let recursive = command.has("R", &["recursive"]);
    let is_chown = command.words.first().is_some_and(|word| word == "chown");
    let mut operands = command.operands();
    let loose = operands.next().is_some_and(|mode| {
        is_chown
            || matches!(
                mode,
                "777" | "0777" | "a+rwx" | "ugo+rwx" | "o+w" | "a+w" | "+w"
            )
    });
    let machine = operands.any(|word| {
        Target::of(word) == Target::Machine
            || (!is_chown && matches!(word, "/etc/passwd" | "/etc/shadow" | "/etc/sudoers"))
    });
    let hit = loose && machine && (recursive || !is_chown);
    span(candidate, &command, hit)
}

/// `git push` that overwrites what is there.
pub(crate) fn git_push_force(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let hit = git_push(&command).is_some_and(|arguments| {
        arguments.iter().any(|word| {
            let clustered = word.starts_with('-') && !word.starts_with("--") && word.contains('f');
            let is_refspec = word.starts_with('+') && word.len() > 1;
            clustered || is_refspec || word == "--force" || word == "--mirror"
        })
    });
    span(candidate, &command, hit)
}

/// `git push` that removes a branch that others build on.
pub(crate) fn git_push_delete(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let command = Command::read(candidate);
    let hit = git_push(&command).is_some_and(|arguments| {
        let deletes = arguments
            .iter()
            .any(|word| matches!(&**word, "--delete" | "-d"));
        arguments.iter().any(|word| match word.strip_prefix(':') {
            Some(branch) => is_shared_branch(branch),
            None => deletes && is_shared_branch(word),
        })
    });
    span(candidate, &command, hit)
}

/// The arguments of `git push`, whatever options of `git` itself stand before.
fn git_push<'a>(command: &'a Command<'_>) -> Option<&'a [String]> {
    let mut arguments = command.arguments();
    loop {
        let (word, rest) = arguments.split_first()?;
        arguments = match &**word {
            "push" => return Some(rest),
            "-C" | "-c" | "--git-dir" | "--work-tree" | "--namespace" => rest.get(1..)?,
            option if option.starts_with('-') => rest,
            _ => return None,
        };
    }
}

fn is_shared_branch(branch: &str) -> bool {
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    matches!(
        branch,
        "main" | "master" | "develop" | "production" | "prod" | "trunk" | "staging"
    ) || branch.starts_with("release/")
        || branch.starts_with("release-")
}

fn is_recursive(command: &Command<'_>) -> bool {
    command.has("rR", &["recursive"])
}

fn is_rm(word: &str) -> bool {
    matches!(word.rsplit('/').next(), Some("rm" | "shred" | "unlink"))
}

fn pipes_into_rm(rest: &[u8]) -> bool {
    let rest = String::from_utf8_lossy(rest);
    let Some((_, arguments)) = rest.split_once("xargs") else {
        return false;
    };
    arguments
        .split([' ', '|', ';'])
        .find(|word| !word.is_empty() && !word.starts_with('-') && word.len() > 1)
        .is_some_and(is_rm)
}

fn span(candidate: &Candidate<'_>, command: &Command<'_>, hit: bool) -> Option<Range<usize>> {
    hit.then_some(candidate.literal.start..command.end)
}

/// Conditions of `find` by which it takes less than everything.
const NARROWING: [&str; 15] = [
    "-name", "-iname", "-path", "-ipath", "-regex", "-iregex", "-mtime", "-mmin", "-ctime",
    "-atime", "-newer", "-user", "-empty", "-size", "-inum",
];

/// How the names of disks begin under `/dev`.
const DISKS: [&str; 11] = [
    "sd", "hd", "vd", "xvd", "nvme", "mmcblk", "disk", "rdisk", "mapper/", "dm-", "md",
];
