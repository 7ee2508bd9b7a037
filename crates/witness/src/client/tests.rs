use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tollbook_ledger::{SigningKey, leaf_hash};

use super::*;
use crate::{Witness, witness_key};

/// A log in memory.
struct Log(Mutex<Vec<Hash>>);

impl Leaves for Log {
    fn leaves(&self, range: Range<u64>) -> Result<Vec<Hash>, Box<dyn StdError + Send + Sync>> {
        let leaves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        Ok(leaves.get(range).ok_or("no such leaves")?.to_vec())
    }
}

impl Log {
    fn of(leaves: &[u8]) -> Arc<Self> {
        Arc::new(Self(Mutex::new(hashes(leaves))))
    }

    fn more(&self, leaves: &[u8]) {
        self.0.lock().unwrap().extend(hashes(leaves));
    }

    fn cut(&self, size: usize) {
        self.0.lock().unwrap().truncate(size);
    }

    async fn show(self: &Arc<Self>, client: &mut Client) -> Result<SignatureLine, Failure> {
        let mut tree = Frontier::new();
        for leaf in self.0.lock().unwrap().iter() {
            tree.append(*leaf);
        }
        let head = Checkpoint::of("log.example", &tree);
        let note = head.sign(&key()).unwrap();
        let book: Arc<dyn Leaves> = Arc::<Self>::clone(self);
        let line = client.ask(&note, &head, &book).await?;
        assert!(client.key().opens(&head.to_text(), &line).is_ok());
        Ok(line)
    }
}

fn hashes(leaves: &[u8]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(&[*leaf])).collect()
}

fn key() -> SigningKey {
    SigningKey::from_seed("log.example", &[1; 32]).unwrap()
}

type Told = Arc<Mutex<VecDeque<(u16, String)>>>;

/// Serves a witness, or first of all what it is told to answer.
async fn serve(witness: Arc<Witness>, told: Told) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/w/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (witness, told) = (Arc::clone(&witness), Arc::clone(&told));
            tokio::spawn(async move {
                let mut request = Vec::new();
                while let Some(body) = read(&mut stream, &mut request).await {
                    let told = told.lock().unwrap().pop_front();
                    let (status, body) = told.unwrap_or_else(|| {
                        let answer = witness.add_checkpoint(&body, 9);
                        (answer.status, answer.body)
                    });
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// The body of the next request.
async fn read(stream: &mut tokio::net::TcpStream, request: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            assert!(
                head.starts_with("POST /w/add-checkpoint HTTP/1.1"),
                "{head}"
            );
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(": ")?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.parse().unwrap())
            });
            let length: usize = length.unwrap();
            if body.len() >= length {
                request.clear();
                return Some(body.to_owned());
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend(&more[..count]),
        }
    }
}

struct Scene {
    _dir: tempfile::TempDir,
    client: Client,
    told: Told,
    address: String,
}

async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let signer = witness_key(dir.path(), "witness.example").unwrap();
    let witness = Witness::open(dir.path(), signer.clone(), vec![key().verifier_key()]);
    let told = Told::default();
    let address = serve(Arc::new(witness.unwrap()), Arc::clone(&told)).await;
    Scene {
        client: Client::new(signer.witness_key(), &address).unwrap(),
        _dir: dir,
        told,
        address,
    }
}

#[tokio::test]
async fn a_log_that_grows_is_cosigned_each_time() {
    let mut scene = scene().await;
    let log = Log::of(&[]);
    for size in 0..40 {
        log.show(&mut scene.client).await.unwrap();
        log.more(&[size, size]);
    }
    log.show(&mut scene.client).await.unwrap();
    // One that was started anew asks how far the witness has seen.
    let mut fresh = Client::new(scene.client.key().clone(), &scene.address).unwrap();
    log.more(&[200; 7]);
    log.show(&mut fresh).await.unwrap();
    // And so does one that somebody else overtook.
    log.show(&mut scene.client).await.unwrap();
}

#[tokio::test]
async fn a_log_with_two_histories_is_an_alarm() {
    let mut scene = scene().await;
    let log = Log::of(&[1, 2, 3, 4, 5, 6]);
    log.show(&mut scene.client).await.unwrap();

    log.cut(4);
    let behind = log.show(&mut scene.client).await.unwrap_err();
    assert!(
        matches!(behind, Failure::Behind { known: 6, size: 4 }),
        "{behind}"
    );
    log.more(&[9, 9]);
    let forked = log.show(&mut scene.client).await.unwrap_err();
    assert!(matches!(forked, Failure::Forked { known: 6 }), "{forked}");
    log.more(&[9, 9, 9]);
    let forked = log.show(&mut scene.client).await.unwrap_err();
    assert!(matches!(forked, Failure::Forked { known: 6 }), "{forked}");
    assert!(forked.is_alarm() && behind.is_alarm());
    // The first history is still the one that is witnessed.
    log.cut(4);
    log.more(&[5, 6, 7]);
    log.show(&mut scene.client).await.unwrap();
}

#[tokio::test]
async fn other_answers_are_no_alarm_and_pass() {
    let mut scene = scene().await;
    let log = Log::of(&[1, 2, 3]);
    let stranger = tollbook_ledger::WitnessSigner::from_seed("witness.example", &[5; 32]).unwrap();
    let line = stranger.cosign("anything\n", 1).unwrap();
    for (status, body) in [
        (404, ""),
        (403, ""),
        (500, "busy"),
        (429, ""),
        (302, ""),
        (200, ""),
        (200, "nonsense"),
        (200, &format!("{line}\n")),
        (200, &"x".repeat(70_000)),
    ] {
        scene
            .told
            .lock()
            .unwrap()
            .push_back((status, body.to_owned()));
        let failure = log.show(&mut scene.client).await.unwrap_err();
        assert!(!failure.is_alarm(), "{status}: {failure}");
    }
    // One that never comes to rest.
    let sizes = (1..=3).map(|size| (409, format!("{size}\n")));
    scene.told.lock().unwrap().extend(sizes);
    let failure = log.show(&mut scene.client).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused(409)), "{failure}");
    log.show(&mut scene.client).await.unwrap();

    let nobody = Client::new(scene.client.key().clone(), "http://127.0.0.1:1").unwrap();
    let mut nobody = nobody;
    let failure = log.show(&mut nobody).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)), "{failure}");
    assert!(Client::new(scene.client.key().clone(), "ftp://w.example").is_err());
}
