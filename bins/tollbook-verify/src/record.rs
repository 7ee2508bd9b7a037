//! Records: envelope, proof and body.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Read},
};

use serde_json::Value;
use tollbook_ledger::{
    BOOK, Chain, Chains, Checkpoint, ContentDigest, Header, Kind, Leaf, LogProof, TiledTree,
    evidence::{Manifest, Opening, Part, RECORDS, id_to_text, record_file},
    leaf_hash, verify_inclusion,
};

use crate::{
    bundle::{Absent, Bundle},
    check::absence,
    report::Faults,
};

/// Checks each record by itself. Returns how many are what was signed, and, where nothing else shows
/// it, how the chain of the session ends that was asked for.
pub(crate) fn check(
    bundle: &Bundle,
    note: &str,
    head: &Checkpoint,
    manifest: &Manifest,
    faults: &mut Faults,
) -> (u64, Option<Chain>) {
    let tile = |tile: tollbook_ledger::Tile| {
        let bytes = bundle.read(&tile.to_string(), 256 * 32);
        bytes.map_err(|_| tollbook_ledger::Error::Tile)
    };
    let mut tree = TiledTree::new(head.size, tile);
    // Of a session that was asked for as a whole, the records themselves show a gap.
    let follow = manifest.selection.is_session();
    let mut chains = Chains::new();
    let mut stones = Stones::default();
    let mut good = 0;
    for index in manifest.records.iter() {
        let before = faults.count;
        if let Some((leaf, opened)) = opened(bundle, index, note, head, manifest, faults) {
            // With the leaves of the whole log this is known already.
            let hash = leaf_hash(&leaf.to_bytes());
            if !manifest.leaves && tree.leaf(index) != Ok(hash) {
                let what = "the hash tile has another leaf at this index";
                faults.wrong(Some(index), "tile/0", what);
            }
            if !manifest.leaves && follow {
                chain(index, &leaf, &mut chains, faults);
            }
            let is_exchange = matches!(leaf.header.kind, Kind::Intent | Kind::Outcome);
            let Some((salt, envelope)) = opened else {
                stones.needs(index, &leaf, "metadata");
                good += u64::from(faults.count == before);
                continue;
            };
            meaning(index, &leaf, &envelope, faults);
            stones.read(&leaf, &envelope);
            if manifest.emptied.contains(index) && is_exchange {
                stones.needs(index, &leaf, side(&leaf));
            } else if manifest.contents && is_exchange {
                content(bundle, index, &leaf, &salt, &envelope, faults);
            }
        } else if follow {
            chains.unread();
        }
        good += u64::from(faults.count == before);
        if faults.count > ENOUGH {
            faults.unread(
                None,
                RECORDS,
                "too much is wrong: the rest was not looked at",
            );
            break;
        }
    }
    for index in stones.unexplained() {
        let what = "it is said to be erased, and no tombstone here says so";
        faults.missing(Some(index), &record_file(index, "json"), what);
    }
    let session = manifest.selection.session.filter(|_| follow);
    let chain = session.and_then(|session| chains.session(&session).copied());
    (good, chain.filter(|_| !manifest.leaves))
}

/// Tombstones, and what they have to explain.
#[derive(Default)]
struct Stones {
    /// Key and class.
    destroyed: BTreeSet<(String, String)>,
    needed: Vec<(u64, String, &'static str)>,
}

impl Stones {
    fn read(&mut self, leaf: &Leaf, envelope: &Value) {
        if leaf.header.kind != Kind::Tombstone {
            return;
        }
        let texts = |key: &str| -> Vec<String> {
            let list = envelope[key].as_array().into_iter().flatten();
            list.filter_map(|text| Some(text.as_str()?.to_owned()))
                .collect()
        };
        for key in texts("keys") {
            let classes = texts("classes").into_iter();
            let destroyed = classes.map(|class| (key.clone(), class));
            self.destroyed.extend(destroyed);
        }
    }

    fn needs(&mut self, index: u64, leaf: &Leaf, class: &'static str) {
        let key = leaf.header.seal.key.iter();
        let key = key.map(|byte| format!("{byte:02x}")).collect();
        self.needed.push((index, key, class));
    }

    fn unexplained(self) -> Vec<u64> {
        let Self { destroyed, needed } = self;
        let unexplained = needed
            .into_iter()
            .filter(|(_, key, class)| !destroyed.contains(&(key.clone(), (*class).to_owned())));
        unexplained.map(|(index, ..)| index).collect()
    }
}

/// Goes on in the chain of the session.
fn chain(index: u64, leaf: &Leaf, chains: &mut Chains, faults: &mut Faults) {
    let hash = leaf_hash(&leaf.to_bytes());
    if let Err(broken) = chains.entry(&leaf.header, hash) {
        faults.session(index, &record_file(index, "tlog-proof"), broken);
    }
}

/// Salt and envelope of a record.
type Opened = ([u8; 32], Value);

/// The leaf of a record, with salt and envelope unless it was erased, if they are what was signed.
fn opened(
    bundle: &Bundle,
    index: u64,
    note: &str,
    head: &Checkpoint,
    manifest: &Manifest,
    faults: &mut Faults,
) -> Option<(Leaf, Option<Opened>)> {
    let (json, proof) = (record_file(index, "json"), record_file(index, "tlog-proof"));
    let erased = manifest.erased.contains(index);
    let envelope = match erased {
        true => Ok(Vec::new()),
        false => bundle.read(&json, MAX_ENVELOPE),
    };
    let text = bundle.read(&proof, MAX_PROOF);
    let (envelope, text) = match (envelope, text) {
        (Ok(envelope), Ok(text)) => (envelope, text),
        (envelope, text) => {
            for (name, read) in [(json, envelope), (proof, text)] {
                if let Err(absent) = read {
                    absence(faults, Some(index), &name, absent);
                }
            }
            return None;
        }
    };
    let mut wrong = |file: &str, what: &str| {
        faults.wrong(Some(index), file, what);
        None
    };
    let read = std::str::from_utf8(&text).map(LogProof::from_text);
    let Ok(Ok(LogProof {
        extra: Some(extra),
        index: proven,
        hashes,
        checkpoint,
    })) = read
    else {
        return wrong(&proof, "this is no proof of a record");
    };
    let Ok(Opening { leaf: bytes, salt }) = Opening::from_bytes(&extra) else {
        return wrong(&proof, "its extra data is not one that this program knows");
    };
    if proven != index {
        return wrong(&proof, "it is the proof of another index");
    }
    if checkpoint != note {
        return wrong(
            &proof,
            "it leads to another checkpoint than that of the evidence",
        );
    }
    let Ok(leaf) = Leaf::from_bytes(&bytes) else {
        return wrong(&proof, "the leaf cannot be read");
    };
    if leaf.header.sequence != index {
        return wrong(&proof, "the leaf belongs to another index");
    }
    match salt {
        None if erased => {}
        Some(salt) if !erased && leaf.opens_with(&salt, &envelope) => {}
        _ => return wrong(&json, "the record is not the one that was committed to"),
    }
    let shown = verify_inclusion(&leaf_hash(&bytes), index, head.size, &hashes, &head.root);
    if shown.is_err() {
        return wrong(&proof, "the proof does not lead to what was signed");
    }
    let Some(salt) = salt else {
        return Some((leaf, None));
    };
    match serde_json::from_slice(&envelope) {
        Ok(envelope) => Some((leaf, Some((salt, envelope)))),
        Err(_) => wrong(&json, "the record is no JSON"),
    }
}

/// Whether the envelope speaks of what its leaf speaks of.
fn meaning(index: u64, leaf: &Leaf, envelope: &Value, faults: &mut Faults) {
    let Header {
        kind,
        exchange,
        session,
        link,
        ..
    } = &leaf.header;
    let told = match kind {
        Kind::Intent => {
            envelope["id"] == id_to_text(exchange) && envelope["session"] == id_to_text(session)
        }
        Kind::Outcome => envelope["id"] == id_to_text(exchange),
        Kind::Close => {
            envelope["session"] == id_to_text(session) && envelope["entries"] == link.ordinal
        }
        _ => *session == BOOK,
    };
    if !told || envelope["v"] != 2 || envelope["kind"] != kind.as_str() {
        let what = "the record is not that of its leaf, or of a version not known here";
        faults.wrong(Some(index), &record_file(index, "json"), what);
    }
}

/// The class of the key that a record's body is sealed with.
const fn side(leaf: &Leaf) -> &'static str {
    match leaf.header.kind {
        Kind::Outcome => "answer",
        _ => "request",
    }
}

/// Whether the recorded body is the one that the envelope has the digest of.
fn content(
    bundle: &Bundle,
    index: u64,
    leaf: &Leaf,
    salt: &[u8; 32],
    envelope: &Value,
    faults: &mut Faults,
) {
    let side = match leaf.header.kind {
        Kind::Outcome => "response",
        _ => "request",
    };
    let recorded = &envelope[side]["body"];
    // One that nobody could open when the exchange was closed has no digest, and is not handed on.
    if recorded.is_null() {
        return;
    }
    let (body, parts) = (record_file(index, "body"), record_file(index, "parts"));
    let digest = match (bundle.stream(&body), bundle.stream(&parts)) {
        (Ok(body), Ok(parts)) => digest(salt, body, parts),
        // A body of no parts has no files.
        (Err(Absent::Missing), Err(Absent::Missing)) if recorded["parts"] == 0 => {
            Ok(Some(ContentDigest::new(salt)))
        }
        (found, list) => {
            for (name, absent) in [(&body, found.err()), (&parts, list.err())] {
                if let Some(absent) = absent {
                    absence(faults, Some(index), name, absent);
                }
            }
            return;
        }
    };
    let fits = |digest: &ContentDigest| {
        recorded["parts"] == digest.parts()
            && recorded["bytes"] == digest.bytes()
            && recorded["digest"] == digest.finish().to_string()
    };
    match digest {
        Ok(Some(digest)) if fits(&digest) => {}
        Ok(_) => faults.wrong(
            Some(index),
            &body,
            "body or parts are not those that were recorded",
        ),
        Err(_) => faults.unread(Some(index), &body, Absent::Unreadable),
    }
}

/// The digest of a body in these parts; `None` if it does not come in such parts.
fn digest(
    salt: &[u8; 32],
    mut body: impl BufRead,
    mut parts: impl BufRead,
) -> io::Result<Option<ContentDigest>> {
    let mut digest = ContentDigest::new(salt);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut parts).take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        let part = line.strip_suffix(b"\n");
        let part = part.and_then(|line| std::str::from_utf8(line).ok()?.parse::<Part>().ok());
        let Some(part) = part else {
            return Ok(None);
        };
        digest.begin(part.at, part.bytes);
        let mut left = part.bytes;
        while left > 0 {
            let piece = body.fill_buf()?;
            if piece.is_empty() {
                return Ok(None);
            }
            let length = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            digest.more(&piece[..length]);
            body.consume(length);
            left -= length as u64;
        }
    }
    let rest = !body.fill_buf()?.is_empty();
    Ok((!rest && digest.parts() > 0).then_some(digest))
}

/// A manifest can speak of more records than anybody could look for.
const ENOUGH: u64 = 1_000_000;
/// An envelope holds no body, but what was found in one.
const MAX_ENVELOPE: u64 = 1 << 30;
/// A checkpoint as long as any, and the hashes.
const MAX_PROOF: u64 = 1_100_000;
/// Two numbers of twenty digits, a space and a line feed.
const MAX_LINE: u64 = 42;
