//! Who is at the other end of the socket: an account of this machine.

use std::{fs, path::Path};

use serde_json::Value;
use tollbook_exchange::{Actor, Principal, PrincipalKind};

/// The issuer of accounts. No configured issuer is meant by it: those vouch for callers of the gate,
/// and this one for nobody there.
const ISSUER: &str = "(local)";
/// What the kernel says of a process that nobody has signed in for.
const NOBODY: u32 = u32::MAX;

/// The account with this number, as a principal. Where the process tells that somebody signed in as
/// another one, as with `sudo`, that is who stands behind it.
pub(super) fn principal(uid: u32, process: Option<u32>) -> Principal {
    let subject = name(uid).unwrap_or_else(|| uid.to_string());
    let mut principal = Principal::new(PrincipalKind::Local, ISSUER, subject);
    principal.stable_id = Some(uid.to_string());
    principal.claims.insert("uid".to_owned(), Value::from(uid));
    let behind = process.and_then(signed_in).filter(|behind| *behind != uid);
    principal.actor = behind.map(|behind| Actor {
        id: Some(behind.to_string()),
        login: name(behind),
    });
    principal
}

/// The account that this process runs as.
pub(super) fn own() -> (u32, Principal) {
    let uid = rustix::process::geteuid().as_raw();
    (uid, principal(uid, Some(std::process::id())))
}

/// The account that was signed in with when the process, or one that it comes from, began. The
/// kernel keeps it across changes of the account.
fn signed_in(process: u32) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{process}/loginuid")).ok()?;
    let uid = text.trim().parse().ok()?;
    (uid != NOBODY).then_some(uid)
}

/// The name of an account of this machine's own list. Accounts that another service keeps have
/// their number for a name.
fn name(uid: u32) -> Option<String> {
    named(&fs::read_to_string(Path::new("/etc/passwd")).ok()?, uid)
}

fn named(list: &str, uid: u32) -> Option<String> {
    let found = list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then_some(name)
    })?;
    (!found.is_empty()).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_names_and_else_numbers() {
        let list = "root:x:0:0::/root:/bin/sh\n#\n:x:7:7::/:\nana:x:1000:1000::/home/ana:/bin/sh\n";
        assert_eq!(named(list, 0).as_deref(), Some("root"));
        assert_eq!(named(list, 1000).as_deref(), Some("ana"));
        assert_eq!(named(list, 7), None);
        assert_eq!(named(list, 100), None);

        let nobody = principal(4_000_000_000, None);
        assert_eq!(nobody.subject, "4000000000");
        assert_eq!(nobody.identity(), "(local)/4000000000");
        assert_eq!((nobody.kind.as_str(), nobody.actor), ("local", None));
    }
}
