//! What must not lie on disk.

use std::{fs, path::Path};

use tollbook_approvals::{State as Standing, Store};
use tollbook_identity::{Revocation, Selector, TokenStore};
use tollbook_state::State;

use crate::{approval, token};

/// In which files of the folder these bytes are.
fn files_with(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let content = fs::read(file.path()).unwrap();
        if content.windows(bytes.len()).any(|window| window == bytes) {
            found.push(file.file_name().into_string().unwrap());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn no_token_and_no_key_is_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let (secret, record) = token(0xa5);
    let id = record.id();
    state.tokens().insert(record.clone()).await.unwrap();
    let revocation = Revocation::new(Selector::Token(id), "lost", 1100);
    state.tokens().revoke(revocation).await.unwrap();
    let pending = approval(1, "slot", Standing::Pending);
    state.approvals().open(&pending, 9).await.unwrap();
    let derived = state.key("approvals").unwrap();
    let master = fs::read_to_string(dir.path().join("state.key")).unwrap();
    let master = master.trim_end();
    let raw: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&master[2 * at..2 * at + 2], 16).unwrap())
        .collect();

    for closed in [false, true] {
        // The search finds what is there.
        let hash = record.hash.to_string();
        assert!(!files_with(dir.path(), hash.as_bytes()).is_empty());
        let none: [String; 0] = [];
        assert_eq!(files_with(dir.path(), secret.expose().as_bytes()), none);
        assert_eq!(
            files_with(dir.path(), &secret.expose().as_bytes()[4..]),
            none
        );
        assert_eq!(files_with(dir.path(), &[0xa5; 32]), none);
        assert_eq!(files_with(dir.path(), &*derived), none);
        assert_eq!(files_with(dir.path(), &raw), none);
        assert_eq!(files_with(dir.path(), master.as_bytes()), ["state.key"]);
        if closed {
            break;
        }
        // What the log holds moves into the database.
        state.put("x", vec![0; 1 << 20]).await.unwrap();
    }
    drop(state);
    assert_eq!(files_with(dir.path(), secret.expose().as_bytes()).len(), 0);
    assert_eq!(files_with(dir.path(), &*derived).len(), 0);
}

#[tokio::test]
async fn errors_hold_nothing_of_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let record = token(1).1;
    state.tokens().insert(record.clone()).await.unwrap();
    let error = state.tokens().insert(record).await.unwrap_err();
    let mut text = format!("{error} {error:?}");
    let pending = approval(1, "very secret slot", Standing::Pending);
    state.approvals().open(&pending, 9).await.unwrap();
    let again = approval(1, "other secret slot", Standing::Pending);
    let error = state.approvals().open(&again, 9).await.unwrap_err();
    text += &format!("{error} {error:?}");
    for hidden in ["repo:", "secret", "slot", "INSERT", "SELECT"] {
        assert!(!text.contains(hidden), "{text}");
    }
}
