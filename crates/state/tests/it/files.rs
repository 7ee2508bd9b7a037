//! The files of the state, who may use them, and what is wrong with them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tollbook_approvals::{State as Standing, Store};
use tollbook_budget::{Ask, Budget, Budgets, Per};
use tollbook_exchange::{Principal, PrincipalKind};
use tollbook_identity::TokenStore;
use tollbook_state::{ErrorKind, State};

use crate::{approval, token};

fn kind<T: std::fmt::Debug>(result: Result<T, tollbook_state::Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

/// Copies what a backup would.
fn copy(from: &Path, to: &Path) {
    for name in ["state.db", "state.db-wal"] {
        if from.join(name).exists() {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn one_process_writes_and_others_read_along() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    assert_eq!(kind(State::open(dir.path())), ErrorKind::InUse);

    let reader = State::open_read_only(dir.path()).unwrap();
    let record = token(1).1;
    assert_eq!(reader.tokens().find(record.hash).await.unwrap(), None);
    state.tokens().insert(record.clone()).await.unwrap();
    let found = reader.tokens().find(record.hash).await.unwrap();
    assert_eq!(found, Some(record.clone()));

    assert!(reader.tokens().insert(token(2).1).await.is_err());
    let pending = approval(1, "slot", Standing::Pending);
    assert!(reader.approvals().open(&pending, 9).await.is_err());
    assert_eq!(kind(reader.put("x", Vec::new()).await), ErrorKind::ReadOnly);
    assert_eq!(kind(reader.key("x")), ErrorKind::ReadOnly);
    assert_eq!(state.tokens().list(9).await.unwrap(), [record]);

    drop(state);
    assert!(State::open(dir.path()).is_ok(), "the next one may write");
}

#[tokio::test]
async fn a_copy_is_read_wherever_it_lies() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let record = token(1).1;
    state.tokens().insert(record.clone()).await.unwrap();
    let found = async |folder: &Path| {
        let copy = State::open_read_only(folder).unwrap();
        copy.tokens().find(record.hash).await.unwrap()
    };

    let running = tempfile::tempdir().unwrap();
    copy(dir.path(), running.path());
    assert!(running.path().join("state.db-wal").exists());
    assert_eq!(found(running.path()).await, Some(record.clone()));

    drop(state);
    let closed = tempfile::tempdir().unwrap();
    copy(dir.path(), closed.path());
    assert!(!closed.path().join("state.db-wal").exists());
    assert_eq!(found(closed.path()).await, Some(record.clone()));
}

#[tokio::test]
async fn where_there_is_no_state_nothing_is_made_by_reading() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(kind(State::open_read_only(dir.path())), ErrorKind::NoState);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A closed state with a hundred tokens.
async fn closed() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let tokens = State::open(dir.path()).unwrap().tokens();
    for byte in 0..100 {
        tokens.insert(token(byte).1).await.unwrap();
    }
    drop(tokens);
    let path = dir.path().join("state.db");
    (dir, path)
}

#[tokio::test]
async fn a_damaged_file_is_told_and_not_repaired() {
    let (dir, path) = closed().await;
    let good = fs::read(&path).unwrap();

    let garbage = vec![0x5a; good.len()];
    fs::write(&path, &garbage).unwrap();
    assert_eq!(kind(State::open(dir.path())), ErrorKind::Corrupt);
    assert_eq!(kind(State::open_read_only(dir.path())), ErrorKind::Corrupt);
    assert_eq!(fs::read(&path).unwrap(), garbage);

    // The head is whole, and a page in the middle is not.
    let mut damaged = good.clone();
    damaged[4096 * 4..4096 * 20].fill(0xff);
    fs::write(&path, &damaged).unwrap();
    let error = State::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.to_string(), "the state's database is damaged");

    fs::write(&path, &good).unwrap();
    assert!(State::open(dir.path()).is_ok());
}

#[tokio::test]
async fn without_its_key_a_state_is_refused() {
    let (dir, _) = closed().await;
    let key = dir.path().join("state.key");
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    assert_eq!(kind(State::open(dir.path())), ErrorKind::Key);
    assert!(!key.exists(), "a new one would hide the loss");

    for wrong in ["0".repeat(64), String::new(), "x".repeat(1000)] {
        fs::write(&key, wrong).unwrap();
        #[cfg(unix)]
        mode(&key, 0o600);
        assert_eq!(kind(State::open(dir.path())), ErrorKind::Key);
    }
    fs::write(&key, good).unwrap();
    assert!(State::open(dir.path()).is_ok());
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_any_of_it() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("new");
    let state = State::open(&folder).unwrap();
    state.put("x", vec![1]).await.unwrap();
    let modes = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(Result::unwrap);
        let mut modes: Vec<_> = files
            .map(|file| {
                let mode = file.metadata().unwrap().permissions().mode() & 0o777;
                (file.file_name().into_string().unwrap(), mode)
            })
            .collect();
        modes.sort();
        modes
    };
    let expected = [
        "state.db",
        "state.db-shm",
        "state.db-wal",
        "state.key",
        "state.lock",
    ];
    assert_eq!(
        modes(&folder),
        expected.map(|name| (name.to_owned(), 0o600))
    );
    assert_eq!(modes(dir.path()), [("new".to_owned(), 0o700)]);

    drop(state);
    mode(&folder.join("state.db"), 0o644);
    let state = State::open(&folder).unwrap();
    state.put("x", vec![2]).await.unwrap();
    assert!(modes(&folder).iter().all(|(_, mode)| *mode == 0o600));
}

#[tokio::test]
async fn keys_are_the_same_after_a_restart_and_data_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let key = state.key("approvals").unwrap();
    assert_ne!(key, state.key("check").unwrap());
    assert_eq!(state.get("x").await.unwrap(), None);
    state.put("x", vec![1; 100_000]).await.unwrap();
    state.put("x", vec![2]).await.unwrap();
    drop(state);
    let state = State::open(dir.path()).unwrap();
    assert_eq!(state.key("approvals").unwrap(), key);
    assert_eq!(state.get("x").await.unwrap(), Some(vec![2]));
    assert_eq!(format!("{state:?}"), "State { read_only: false, .. }");
}

#[tokio::test]
async fn budgets_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let budgets = || {
        let hour = Duration::from_secs(3600);
        let budget = Budget::new("b", Per::Principal, hour).requests(1);
        Budgets::builder().budget(budget).build().unwrap()
    };
    let me = Principal::new(PrincipalKind::Ci, "ci", "me");
    {
        let state = State::open(dir.path()).unwrap();
        let budgets = budgets();
        state.restore_budgets(&budgets).await.unwrap();
        drop(budgets.check(&Ask::new(&me, "claude")).unwrap());
        state.keep_budgets(&budgets).await.unwrap();
    }
    let state = State::open(dir.path()).unwrap();
    let budgets = budgets();
    state.restore_budgets(&budgets).await.unwrap();
    assert!(budgets.check(&Ask::new(&me, "claude")).is_err());
    state.put("budgets", b"nonsense".to_vec()).await.unwrap();
    let error = state.restore_budgets(&budgets).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}
