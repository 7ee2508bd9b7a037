//! The keys of a book, and their end.

use std::fs;

use super::*;

fn contains(folder: &Path, bytes: &[u8]) -> bool {
    let files = fs::read_dir(folder).unwrap();
    files.into_iter().any(|file| {
        let bytes_of = fs::read(file.unwrap().path()).unwrap();
        bytes_of.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn wrapped(keyring: &Keyring, id: KeyId) -> [Wrapped; CLASSES] {
    keyring.inner.store().scope(id).unwrap().unwrap().wrapped
}

#[test]
fn keys_outlive_the_process_and_are_destroyed_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let source = KeySource::default();
    let keyring = Keyring::open(dir.path(), &source, true).unwrap();
    let (kept, doomed) = (keyring.fresh().unwrap(), keyring.fresh().unwrap());
    drop(keyring);

    let keyring = Keyring::open(dir.path(), &source, false).unwrap();
    let reader = Keyring::read(dir.path(), &source).unwrap();
    for keys in [&kept, &doomed] {
        for class in Class::ALL {
            let key = keyring.key(keys.id(), class).unwrap().unwrap();
            assert_eq!(key.bytes(), keys.key(class).bytes());
            assert!(reader.key(keys.id(), class).unwrap().is_some());
        }
    }
    let before = wrapped(&keyring, doomed.id());
    assert!(before.iter().all(|bytes| contains(dir.path(), bytes)));
    keyring.destroy(doomed.id(), &[Class::Request]).unwrap();
    assert!(keyring.key(doomed.id(), Class::Request).unwrap().is_none());
    assert!(reader.key(doomed.id(), Class::Request).unwrap().is_none());
    assert!(keyring.key(doomed.id(), Class::Answer).unwrap().is_some());
    assert!(!contains(dir.path(), &before[1]));
    assert!(contains(dir.path(), &before[2]));

    keyring.destroy(doomed.id(), &Class::ALL).unwrap();
    drop((keyring, reader));
    assert!(before.iter().all(|bytes| !contains(dir.path(), bytes)));
    let keyring = Keyring::open(dir.path(), &source, false).unwrap();
    assert!(keyring.key(doomed.id(), Class::Answer).unwrap().is_none());
    assert!(keyring.key(kept.id(), Class::Answer).unwrap().is_some());
    let unknown = keyring.key(KeyId::random().unwrap(), Class::Answer);
    assert_eq!(unknown.unwrap_err().kind(), &ErrorKind::KeysMissing);
}

/// Rows are changed in their place whatever else is in the table, so that no page keeps a copy.
#[test]
fn of_many_destroyed_keys_nothing_is_left_in_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(dir.path(), &KeySource::default(), true).unwrap();
    let keys: Vec<_> = (0..3000).map(|_| keyring.fresh().unwrap()).collect();
    let doomed: Vec<_> = keys.iter().step_by(3).map(ScopeKeys::id).collect();
    let before: Vec<_> = doomed.iter().map(|id| wrapped(&keyring, *id)).collect();
    let all: Vec<_> = doomed.iter().map(|id| (*id, Class::ALL.to_vec())).collect();
    keyring.destroy_all(&all).unwrap();
    assert!(keyring.forget_log().unwrap());
    keyring.set_erased(7).unwrap();
    assert_eq!(keyring.erased().unwrap(), 7);

    let mut bytes = Vec::new();
    for file in fs::read_dir(dir.path()).unwrap() {
        bytes.extend(fs::read(file.unwrap().path()).unwrap());
    }
    // Sixteen bytes of each are enough to know it by.
    let seen: std::collections::HashSet<&[u8]> = bytes.windows(16).collect();
    let left = before
        .iter()
        .flatten()
        .filter(|key| seen.contains(&key[12..28]));
    assert_eq!(left.count(), 0);
    assert!(seen.contains(&wrapped(&keyring, keys[1].id())[0][12..28]));
}

#[test]
fn keys_that_nobody_used_do_not_stay() {
    let dir = tempfile::tempdir().unwrap();
    let keyring = Keyring::open(dir.path(), &KeySource::default(), true).unwrap();
    let used = keyring.fresh().unwrap().id();
    drop(keyring);
    let connection = rusqlite::Connection::open(dir.path().join("keys.db")).unwrap();
    let left: Vec<[u8; 16]> = connection
        .prepare("SELECT id FROM scope")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(left, [used.0]);
}

#[test]
fn without_its_keys_or_with_another_top_key_a_book_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = KeySource::default();
    let refused = Keyring::open(dir.path(), &source, false).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::KeysMissing);
    drop(Keyring::open(dir.path(), &source, true).unwrap());

    let key = dir.path().join(BOOK_KEY);
    let right = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    for new in [true, false] {
        let refused = Keyring::open(dir.path(), &source, new).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::TopKey);
    }
    assert!(!key.exists(), "no key is made beside keys that are there");
    let other = tempfile::tempdir().unwrap();
    source.create(other.path()).unwrap();
    fs::copy(other.path().join(BOOK_KEY), &key).unwrap();
    let refused = Keyring::open(dir.path(), &source, false).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::TopKeyWrong);
    let refused = Keyring::read(dir.path(), &source).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::TopKeyWrong);
    fs::write(&key, right).unwrap();
    assert!(Keyring::open(dir.path(), &source, false).is_ok());
}

#[test]
fn a_rotation_makes_older_copies_useless_and_survives_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let source = KeySource::default();
    let keyring = Keyring::open(dir.path(), &source, true).unwrap();
    let (keys, doomed) = (keyring.fresh().unwrap(), keyring.fresh().unwrap());
    keyring.destroy(doomed.id(), &[Class::Answer]).unwrap();
    let subject = keyring.subject("issuer", "subject").unwrap();
    let before = wrapped(&keyring, keys.id());
    let ring = keyring.inner.store().ring().unwrap();
    let top = fs::read(dir.path().join(BOOK_KEY)).unwrap();

    assert!(keyring.rotate(&source).unwrap() >= 2);
    let check = |keyring: &Keyring| {
        let key = keyring.key(keys.id(), Class::Answer).unwrap().unwrap();
        assert_eq!(key.bytes(), keys.key(Class::Answer).bytes());
        assert!(keyring.key(doomed.id(), Class::Answer).unwrap().is_none());
        assert_eq!(keyring.subject("issuer", "subject").unwrap(), subject);
        keyring.fresh().unwrap();
    };
    check(&keyring);
    drop(keyring);
    assert!(before.iter().all(|bytes| !contains(dir.path(), bytes)));
    assert!(!contains(dir.path(), &ring.tenant));
    assert!(!contains(dir.path(), &top[..]));
    check(&Keyring::open(dir.path(), &source, false).unwrap());

    // A crash before the keys were wrapped anew, and one before the new top key took its place.
    let (key, next) = (dir.path().join(BOOK_KEY), dir.path().join("book.key.next"));
    fs::write(&next, &top).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&next, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    check(&Keyring::open(dir.path(), &source, false).unwrap());
    assert!(!next.exists());
    fs::rename(&key, &next).unwrap();
    fs::write(&key, [0; 40]).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    check(&Keyring::open(dir.path(), &source, false).unwrap());
    assert!(!next.exists());
}

#[test]
fn what_is_sealed_to_a_recipient_its_writer_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let identity = dir.path().join("identity");
    let secret = concat!(
        "AGE-SECRET-KEY-",
        "1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
    );
    let text = format!("# created by age-keygen\n\n{secret}\n");
    crate::folder::write_private(&identity, &text).unwrap();
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let source = KeySource::default().sealed_to(recipient.parse().unwrap());

    let book = dir.path().join("book");
    fs::create_dir(&book).unwrap();
    let keyring = Keyring::open(&book, &source, true).unwrap();
    let keys = keyring.fresh().unwrap();
    let refused = keyring.key(keys.id(), Class::Answer).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::KeySealed);
    assert_eq!(keyring.rotate(&source).unwrap(), 0);

    let reading = source.clone().with_identity(&identity);
    let reader = Keyring::read(&book, &reading).unwrap();
    let key = reader.key(keys.id(), Class::Answer).unwrap().unwrap();
    assert_eq!(key.bytes(), keys.key(Class::Answer).bytes());
    drop(reader);
    keyring.destroy(keys.id(), &Class::ALL).unwrap();
    let scope = keyring.inner.store().scope(keys.id()).unwrap().unwrap();
    assert!(scope.sealed.iter().all(|byte| *byte == 0));
    drop(keyring);

    // The identity alone reads, where the top key is not to be had.
    fs::remove_file(book.join(BOOK_KEY)).unwrap();
    let reader = Keyring::read(&book, &reading).unwrap();
    assert!(reader.key(keys.id(), Class::Answer).unwrap().is_none());
    assert!(Keyring::read(&book, &source).is_err());
}
