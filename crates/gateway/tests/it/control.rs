//! Whoever looks at the book is in the book.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
};

use serde_json::{Value, json};
use tollbook_gateway::{
    control::{Noted, Unnoted, View, ViewAction, note},
    digest_key,
};
use tollbook_masking::Masker;
use tollbook_recording::{Filter, Reader};
use tollbook_search::{Clock, Index};

use crate::stage::{Scene, Stage, parsed, until, whole};

/// As a command does it.
async fn look(folder: &Path, view: View) -> Result<Noted, Unnoted> {
    let folder = folder.to_owned();
    let noted = tokio::task::spawn_blocking(move || note(&folder, None, Masker::builtin, &view));
    noted.await.unwrap()
}

/// What the book has on the connection of views, the oldest first.
fn views(folder: &Path) -> Vec<Value> {
    let reader = Reader::open(folder).unwrap();
    let mut filter = Filter::default();
    filter.connection = Some("(book)".to_owned());
    let found = reader.exchanges(&filter).unwrap();
    let all = found.iter().rev();
    all.map(|summary| reader.exchange(&summary.id.to_string()).unwrap().unwrap())
        .collect()
}

fn me() -> String {
    rustix::process::geteuid().as_raw().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_gateway_notes_who_looks_before_they_see() {
    let stage = Stage::set().await;
    let socket = stage.book().join("control.sock");
    let mode = fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let secret = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let view = View::new(ViewAction::Search)
        .query(format!("prompt:{secret}"))
        .showing(["a", "b"]);
    let noted = look(&stage.book(), view).await.unwrap();
    // In the book when it returns.
    let [search] = &*views(&stage.book()) else {
        panic!("not one view");
    };
    assert_eq!(search["id"], json!(noted.exchange().unwrap()));
    assert_eq!(search["action"]["name"], "book.search");
    assert_eq!(search["action"]["count"], 2);
    assert_eq!(search["action"]["ids"], json!(["a", "b"]));
    let query = search["action"]["query"].as_str().unwrap();
    assert!(
        query.contains("REDACTED") && !query.contains(&secret),
        "{query}"
    );
    let who = &search["principal"];
    assert_eq!(
        (&who["kind"], &who["issuer"]),
        (&json!("local"), &json!("(local)"))
    );
    assert_eq!(who["stable_id"], json!(me()));

    // One that goes on is open until it is told what it came to.
    let tail = || View::new(ViewAction::Tail).kept_open();
    let told = look(&stage.book(), tail()).await.unwrap();
    let left = look(&stage.book(), tail()).await.unwrap();
    assert_eq!(views(&stage.book())[1]["outcome"], Value::Null);
    assert!(told.is_open());
    tokio::task::spawn_blocking(|| told.shown(5))
        .await
        .unwrap()
        .unwrap();
    drop(left);
    until("two views that ended", async || {
        views(&stage.book())
            .iter()
            .all(|view| view["outcome"].is_string())
    })
    .await;
    let all = views(&stage.book());
    assert_eq!(all[0]["outcome"], "complete");
    assert_eq!(
        (&all[1]["outcome"], &all[1]["shown"]),
        (&json!("complete"), &json!(5))
    );
    assert_eq!(all[2]["outcome"], "client_gone");

    // What a gateway that ends cuts off is seen by who looks.
    let cut = look(&stage.book(), tail()).await.unwrap();
    let records = stage.end().await;
    assert!(!cut.is_open());
    assert_eq!(records.of("(book)")[3]["outcome"], "client_gone");
    assert!(!socket.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_noted_is_not_seen() {
    let stage = Stage::set().await;
    let locked = stage.lock_journal();
    let refused = look(&stage.book(), View::new(ViewAction::List)).await;
    assert!(matches!(refused, Err(Unnoted::Refused { code, .. }) if code == "not_recordable"));
    drop(locked);
    drop(stage);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_gateway_the_book_is_written_and_a_copy_is_not() {
    let stage = Stage::set().await;
    let book = stage.book();
    let records = stage.end().await;
    let noted = look(&book, View::new(ViewAction::List).count(0))
        .await
        .unwrap();
    let all = views(&book);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["id"], json!(noted.exchange().unwrap()));
    assert_eq!(all[0]["principal"]["stable_id"], json!(me()));
    assert_eq!(all[0]["outcome"], "complete");

    let copy = records.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&book).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
    }
    let before = fs::read(copy.join("journal.db")).unwrap();
    let noted = look(&copy, View::new(ViewAction::List)).await.unwrap();
    assert!(noted.exchange().is_none() && noted.nowhere().is_some());
    assert_eq!(before, fs::read(copy.join("journal.db")).unwrap());
    fs::remove_file(copy.join("log.key")).unwrap();
    let noted = look(&copy, View::new(ViewAction::List)).await.unwrap();
    assert_eq!(noted.nowhere(), Some("the log's key is not there"));
    assert!(
        Reader::open(&book)
            .unwrap()
            .verify(None)
            .unwrap()
            .is_verified()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_has_versions_and_limits() {
    let stage = Stage::set().await;
    let socket = stage.book().join("control.sock");
    let say = |lines: Vec<u8>| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // The gateway may be gone before it has read all of what is too much.
        stream.write_all(&lines).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let answers = BufReader::new(stream).lines();
        answers
            .map_while(Result::ok)
            .map(|line| parsed(line.as_bytes()))
            .collect::<Vec<Value>>()
    };
    let lines = [
        r#"{"v":2,"say":{"ask":"shown","count":1}}"#,
        "rm",
        r#"{"v":1,"say":{"ask":"shown","count":1}}"#,
        "",
    ];
    let answers = say(lines.join("\n").into());
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer["say"]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["unknown_version", "malformed_request", "not_open"]);
    assert!(answers.iter().all(|answer| answer["v"] == 1));
    assert_eq!(say(vec![b' '; 1 << 20]), Vec::<Value>::new());
    assert_eq!(say(b"{\"v\":1".to_vec()), Vec::<Value>::new());
    assert_eq!(views(&stage.book()), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_is_fresh_before_anybody_searches() {
    let stage = Stage::set().await;
    let secret = ["ghp_", "0123456789abcdefghijABCDEFGHIJ012345"].concat();
    let message = stage.message(&format!("the zeppelin has {secret}"), true);
    let (status, _) = whole(stage.send(message).await).await;
    assert_eq!(status, 200);
    let index = || {
        let prices = tollbook_budget::Prices::built_in().unwrap();
        Index::open(stage.book(), prices).unwrap()
    };
    let find = |query: &str| {
        let query = query.parse().unwrap();
        index().indexes(&query, &Clock::utc(), 10, None).unwrap()
    };
    until("an exchange in the index", async || {
        stage.book().join("search.db").exists()
            && !find("prompt:zeppelin outcome:complete").is_empty()
    })
    .await;
    // The digest of what was masked is there as well, for whoever has the key of the folder.
    let key = digest_key(&stage.book()).unwrap();
    let digests = Masker::builtin().digests_of(&key, secret.as_bytes());
    let known = digests
        .iter()
        .any(|digest| !find(&format!("secret:{digest}")).is_empty());
    assert!(known, "{digests:?}");
    drop(stage);

    let stage = Scene::default()
        .more("[search]\nindex = \"on_demand\"")
        .set()
        .await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(!stage.book().join("search.db").exists());
}
