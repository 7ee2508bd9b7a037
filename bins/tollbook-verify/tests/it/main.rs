//! The program, given evidence that was put together by hand out of the formats.

#![expect(
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollbook_ledger::{
    Chain, Checkpoint, ContentDigest, Frontier, Hash, Header, Kind, Leaf, Level, LogProof, Note,
    Seal, SigningKey, Tile, WitnessSigner,
    evidence::{Indexes, Manifest, Opening, Selection, id_to_text},
    inclusion_proof, leaf_hash,
};
use tollbook_testkit::authority::{Authority, openssl};
use tollbook_timestamp::Query;

const NAME: &str = "audit.example/gw1";

fn key_of_log() -> SigningKey {
    key()
}

fn key() -> SigningKey {
    SigningKey::from_seed(NAME, &[9; 32]).unwrap()
}

/// Evidence of one exchange, and the log's checkpoint of when it was open.
fn evidence(folder: &Path) -> String {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let id = id_to_text(&[1; 16]);
    let body = |salt: &[u8; 32], bytes: &[u8]| {
        let mut digest = ContentDigest::new(salt);
        digest.part(5, bytes);
        json!({ "parts": 1, "bytes": bytes.len(), "digest": digest.finish().to_string() })
    };
    let (mut tree, mut notes) = (Frontier::new(), Vec::new());
    let mut chain = Chain::new();
    let (mut hashes, mut openings, mut bundle) = (Vec::new(), Vec::new(), Vec::new());
    for (sequence, kind) in [(0, Kind::Intent), (1, Kind::Outcome)] {
        let salt = [u8::try_from(sequence).unwrap(); 32];
        let body = body(&salt, b"words");
        let envelope = match kind {
            Kind::Intent => json!({
                "v": 2, "kind": "intent", "id": id, "session": id, "request": { "body": body },
            }),
            _ => json!({ "v": 2, "kind": "outcome", "id": id, "response": { "body": body } }),
        };
        let envelope = envelope.to_string().into_bytes();
        let header = Header {
            kind,
            period: 0,
            sequence,
            time: 7,
            exchange: [1; 16],
            session: [1; 16],
            link: chain.next(kind),
            seal: Seal::PLAIN,
        };
        let leaf = Leaf::seal(header, &salt, &envelope).to_bytes();
        tree.append(leaf_hash(&leaf));
        hashes.push(leaf_hash(&leaf));
        openings.push(Opening {
            leaf,
            salt: Some(salt),
        });
        notes.push(Checkpoint::of(NAME, &tree).sign(&key()).unwrap());
        chain.push(&header, leaf_hash(&leaf));
        bundle.extend(u16::try_from(leaf.len()).unwrap().to_be_bytes());
        bundle.extend(leaf);
        put(&format!("records/{sequence}.json"), &envelope);
        put(&format!("records/{sequence}.body"), b"words");
        put(&format!("records/{sequence}.parts"), b"5 5\n");
    }
    let mut records = Indexes::new();
    for (index, opening) in (0..).zip(&openings) {
        records.push(index);
        let proof = LogProof {
            extra: Some(opening.to_bytes()),
            index,
            hashes: inclusion_proof(&hashes, usize::try_from(index).unwrap()).unwrap(),
            checkpoint: notes[1].clone(),
        };
        put(
            &format!("records/{index}.tlog-proof"),
            proof.to_text().as_bytes(),
        );
    }
    let tile = Tile::of(2, Level::Hashes(0), 0).unwrap();
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash: &Hash| hash.0).collect();
    put(&tile.to_string(), &bytes);
    let tile = Tile::of(2, Level::Entries, 0).unwrap();
    put(&tile.to_string(), &bundle);
    put("vkey", format!("{}\n", key().verifier_key()).as_bytes());
    put("checkpoint", notes[1].as_bytes());
    let manifest = Manifest {
        writer: "by hand".to_owned(),
        origin: NAME.to_owned(),
        size: 2,
        leaves: true,
        contents: true,
        selection: Selection::default(),
        records,
        erased: Indexes::new(),
        emptied: Indexes::new(),
    };
    put("MANIFEST", manifest.to_string().as_bytes());
    notes.swap_remove(0)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tollbook-verify"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn told(output: &Output, code: i32) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn what_is_whole_ends_with_zero() {
    let folder = TempDir::new().unwrap();
    let older = evidence(&folder.path().join("b"));
    let page = told(&run(folder.path(), &["b"]), 0);
    for part in [
        "evidence     verified\n",
        "integrity    proven",
        "completeness complete",
        "everything in the log",
        "2, of which 2 are what was signed; 1 exchanges",
        "the folder's own: compare it",
    ] {
        assert!(page.contains(part), "`{part}` is missing in:\n{page}");
    }
    fs::write(folder.path().join("older"), older).unwrap();
    let key = key().verifier_key().to_string();
    let arguments = ["b", "--vkey", &key, "--checkpoint", "older", "--json"];
    let report = told(&run(folder.path(), &arguments), 0);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["verdict"], "verified");
    assert_eq!(report["key_given"], true);
    assert_eq!(
        report["checkpoints"][0],
        json!({ "file": "older", "size": 1, "verdict": "consistent", "what": "the log grew out of it" })
    );
    told(&run(folder.path(), &["b", "--vkey", "b/vkey"]), 0);
}

#[test]
fn what_is_wrong_ends_with_one_and_has_its_index() {
    let folder = TempDir::new().unwrap();
    evidence(&folder.path().join("b"));
    fs::write(folder.path().join("b/records/1.body"), "lords").unwrap();
    let page = told(&run(folder.path(), &["b"]), 1);
    assert!(page.contains("NOT VERIFIED"), "{page}");
    assert!(
        page.contains("fault        index 1, records/1.body: "),
        "{page}"
    );
    let report = told(&run(folder.path(), &["b", "--json"]), 1);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["faults"][0]["index"], 1);
    assert_eq!(
        (&report["integrity"], &report["records"]),
        (&"broken".into(), &1.into())
    );

    // Another key under the same name.
    evidence(&folder.path().join("c"));
    let other = SigningKey::from_seed(NAME, &[1; 32]).unwrap();
    let other = other.verifier_key().to_string();
    told(&run(folder.path(), &["c", "--vkey", &other]), 1);
}

#[test]
fn wrong_use_ends_with_two_and_what_cannot_be_told_with_three() {
    let folder = TempDir::new().unwrap();
    evidence(&folder.path().join("b"));
    for wrong in [
        &[][..],
        &["b", "c"],
        &["b", "--vkey", "nokey"],
        &["b", "--checkpoint", "nowhere"],
        &["b", "--frobnicate"],
    ] {
        told(&run(folder.path(), wrong), 2);
    }
    told(&run(folder.path(), &["nowhere"]), 3);
    let empty = told(&run(folder.path(), &["."]), 3);
    assert!(empty.contains("it has no MANIFEST"), "{empty}");
    fs::write(folder.path().join("note"), "not a checkpoint").unwrap();
    let unread = told(&run(folder.path(), &["b", "--checkpoint", "note"]), 3);
    assert!(
        unread.contains("cannot be read: malformed signed note"),
        "{unread}"
    );
}

/// Puts a checkpoint into the evidence that this witness signed.
fn witnessed(bundle: &Path, size: u64, note: &str, witness: &WitnessSigner) {
    let (text, _) = Note::split(note).unwrap();
    let line = witness.cosign(text.text(), 1_700_000_000).unwrap();
    fs::create_dir_all(bundle.join("attested")).unwrap();
    let file = format!("attested/{size}.checkpoint");
    fs::write(bundle.join(file), format!("{note}{line}\n")).unwrap();
}

#[test]
fn witnesses_that_are_demanded_must_have_signed_what_all_records_are_under() {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("b");
    let older = evidence(&bundle);
    let head = fs::read_to_string(bundle.join("checkpoint")).unwrap();
    let signer =
        |seed| WitnessSigner::from_seed(&format!("w.example/{seed}"), &[seed; 32]).unwrap();
    let key = |seed| signer(seed).witness_key().to_string();
    let (one, two) = (key(1), key(2));
    let demanded = ["b", "--witness", &one];
    let lacking = told(&run(folder.path(), &demanded), 1);
    assert!(lacking.contains("witnessed    NO"), "{lacking}");

    // Signed by who counts, but before the last record.
    witnessed(&bundle, 1, &older, &signer(1));
    let page = told(&run(folder.path(), &demanded), 1);
    assert!(page.contains("1 entries of the log came later"), "{page}");
    let undemanded = told(&run(folder.path(), &["b", "--json"]), 0);
    let undemanded: Value = serde_json::from_str(&undemanded).unwrap();
    for key in ["witnessed", "unwitnessed", "stamped"] {
        assert!(undemanded[key].is_null(), "{key}");
    }
    // Whoever demands nothing is told that there is something.
    let page = told(&run(folder.path(), &["b"]), 0);
    assert!(page.contains("if you name witnesses"), "{page}");

    witnessed(&bundle, 2, &head, &signer(1));
    let page = told(&run(folder.path(), &demanded), 0);
    assert!(
        page.contains("w.example/1 at 2023-11-14T22:13:20"),
        "{page}"
    );
    let both = ["b", "--witness", &one, "--witness", &two];
    told(&run(folder.path(), &both), 1);
    let either = [&both[..], &["--quorum", "1", "--json"]].concat();
    let report: Value = serde_json::from_str(&told(&run(folder.path(), &either), 0)).unwrap();
    assert_eq!(report["witnessed"], true);
    assert_eq!(report["unwitnessed"], 0);
    assert_eq!(
        report["attested"][1]["witnesses"][0]["witness"],
        "w.example/1"
    );
    for wrong in [
        &["b", "--quorum", "1"][..],
        &["b", "--witness", &one, "--quorum", "2"],
        &["b", "--witness", &one, "--quorum", "0"],
        &["b", "--witness", &one, "--witness", &one],
        &["b", "--witness", "w.example+1"],
    ] {
        told(&run(folder.path(), wrong), 2);
    }

    // Their line, changed; another log; another size; another history.
    let file = bundle.join("attested/2.checkpoint");
    let whole = fs::read_to_string(&file).unwrap();
    let place = whole.rfind(' ').unwrap() + 20;
    let other = if whole.as_bytes()[place] == b'A' {
        "B"
    } else {
        "A"
    };
    let mut changed = whole.clone();
    changed.replace_range(place..=place, other);
    fs::write(&file, &changed).unwrap();
    let page = told(&run(folder.path(), &demanded), 1);
    assert!(
        page.contains("attested/2.checkpoint: the note's signature is false"),
        "{page}"
    );
    let fork = Checkpoint {
        origin: NAME.to_owned(),
        size: 2,
        root: Hash([7; 32]),
    };
    witnessed(&bundle, 2, &fork.sign(&key_of_log()).unwrap(), &signer(1));
    let page = told(&run(folder.path(), &["b"]), 1);
    assert!(
        page.contains("did not grow out of what others signed"),
        "{page}"
    );
    for note in [
        older.clone(),
        "nonsense".to_owned(),
        head.replace(NAME, "x"),
    ] {
        fs::write(&file, note).unwrap();
        told(&run(folder.path(), &["b"]), 1);
    }
    fs::write(&file, whole).unwrap();
    told(&run(folder.path(), &demanded), 0);
    for stray in [
        "attested/3.checkpoint",
        "attested/02.checkpoint",
        "attested/2.txt",
    ] {
        fs::write(bundle.join(stray), &head).unwrap();
        told(&run(folder.path(), &demanded), 1);
        fs::remove_file(bundle.join(stray)).unwrap();
    }
}

#[test]
fn a_time_stamp_that_is_demanded_must_be_one_of_what_all_records_are_under() {
    let folder = TempDir::new().unwrap();
    let (bundle, tsa) = (folder.path().join("b"), folder.path().join("tsa"));
    let older = evidence(&bundle);
    let authority = Authority::new(&tsa).unwrap();
    Authority::new(&folder.path().join("stranger")).unwrap();
    let demanded = ["b", "--tsa-roots", "tsa/root.pem"];
    let page = told(&run(folder.path(), &demanded), 1);
    assert!(page.contains("time stamp   NO"), "{page}");

    let stamp = |size: u64, note: &str| {
        let query = Query::new(note.as_bytes(), size);
        let answer = authority.answer(&query.to_bytes()).unwrap();
        fs::create_dir_all(bundle.join("attested")).unwrap();
        fs::write(bundle.join(format!("attested/{size}.stamped")), note).unwrap();
        fs::write(bundle.join(format!("attested/{size}.tsr")), answer).unwrap();
    };
    stamp(1, &older);
    told(&run(folder.path(), &demanded), 1);
    let head = fs::read_to_string(bundle.join("checkpoint")).unwrap();
    stamp(2, &head);
    told(&run(folder.path(), &demanded), 0);
    let page = told(&run(folder.path(), &["b"]), 0);
    assert!(page.contains("if you give roots"), "{page}");
    let strangers = ["b", "--tsa-roots", "stranger/root.pem", "--json"];
    let report = told(&run(folder.path(), &strangers), 1);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["stamped"], false);
    for wrong in ["nowhere", "b/checkpoint"] {
        told(&run(folder.path(), &["b", "--tsa-roots", wrong]), 2);
    }

    // What stands there is what openssl takes.
    openssl(
        &bundle,
        "ts -verify -data attested/2.stamped -in attested/2.tsr -CAfile ../tsa/root.pem",
    )
    .unwrap();
    for name in ["attested/2.stamped", "attested/2.tsr"] {
        let file = bundle.join(name);
        let whole = fs::read(&file).unwrap();
        let mut changed = whole.clone();
        let place = changed.len() - 30;
        changed[place] ^= 1;
        for other in [&changed[..], &whole[1..], b"", older.as_bytes()] {
            fs::write(&file, other).unwrap();
            let page = told(&run(folder.path(), &demanded), 1);
            assert!(page.contains("fault"), "{name}: {page}");
        }
        fs::remove_file(&file).unwrap();
        let page = told(&run(folder.path(), &demanded), 1);
        assert!(page.contains("missing"), "{name}: {page}");
        fs::write(&file, whole).unwrap();
    }
    told(&run(folder.path(), &demanded), 0);
}

#[test]
fn names_of_files_cannot_act_on_a_terminal() {
    let folder = TempDir::new().unwrap();
    evidence(&folder.path().join("b"));
    fs::write(folder.path().join("b/\u{1b}[2J\u{202e}x"), "").unwrap();
    let page = told(&run(folder.path(), &["b"]), 1);
    assert!(
        !page.contains('\u{1b}') && !page.contains('\u{202e}'),
        "{page}"
    );
    assert!(page.contains("\\u{1b}[2J\\u{202e}x"), "{page}");
}

#[cfg(unix)]
#[test]
fn a_link_is_no_evidence() {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("b");
    evidence(&bundle);
    let file = bundle.join("records/0.json");
    fs::rename(&file, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &file).unwrap();
    let page = told(&run(folder.path(), &["b"]), 1);
    assert!(
        page.contains("index 0, records/0.json: this does not belong"),
        "{page}"
    );
}

#[test]
fn the_help_is_for_somebody_who_never_heard_of_it() {
    let folder = TempDir::new().unwrap();
    let help = told(&run(folder.path(), &["--help"]), 0);
    for part in [
        "integrity",
        "completeness",
        "--vkey",
        "--checkpoint",
        "Exit codes: 0",
    ] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn that_there_are_no_records_is_witnessed_for_the_whole_log_only() {
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("b");
    let older = evidence(&bundle);
    let head = fs::read_to_string(bundle.join("checkpoint")).unwrap();
    let text = fs::read_to_string(bundle.join("MANIFEST")).unwrap();
    let mut manifest = Manifest::from_text(&text).unwrap();
    manifest.records = Indexes::new();
    manifest.selection.since = Some(4_000_000_000_000_000);
    fs::write(bundle.join("MANIFEST"), manifest.to_string()).unwrap();
    fs::remove_dir_all(bundle.join("records")).unwrap();
    told(&run(folder.path(), &["b"]), 0);

    let signer = WitnessSigner::from_seed("w.example/1", &[1; 32]).unwrap();
    let key = signer.witness_key().to_string();
    witnessed(&bundle, 1, &older, &signer);
    told(&run(folder.path(), &["b", "--witness", &key]), 1);
    witnessed(&bundle, 2, &head, &signer);
    told(&run(folder.path(), &["b", "--witness", &key]), 0);
}
