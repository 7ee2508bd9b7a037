//! The steps of writing evidence.

use std::path::Path;

use rusqlite::{OptionalExtension, Transaction, params};
use tollbook_ledger::{
    Checkpoint, Frontier, Hash, Kind, LEAF_BYTES, Leaf, Level, LogProof, TILE_WIDTH, Tile,
    TiledTree, Tiler, VerifierKey,
    evidence::{
        CHECKPOINT, Indexes, MANIFEST, Manifest, Opening, Part, Selector, VKEY, record_file,
    },
    leaf_hash,
};

use super::{Evidence, EvidenceOptions, folder::Folder};
use crate::{
    Attestations, Error, ErrorKind,
    database::{signed, unsigned},
    journal::REQUEST,
};

/// Writes evidence out of one snapshot of the book.
///
/// It goes through the leaves once, for the tiles and to select, and then through the selected
/// entries. It holds a tile of each level, one entry and one part of a body at a time, and of a
/// selection the ids of its exchanges. The manifest comes last: without it, a folder is none.
pub(crate) fn write(
    book: &Transaction<'_>,
    key: &VerifierKey,
    attested: &Attestations,
    options: &EvidenceOptions,
    path: &Path,
) -> Result<Evidence, Error> {
    let (size, note): (i64, String) = book
        .query_row("SELECT size, note FROM head", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?
        .ok_or(ErrorKind::Corrupt)?;
    let size = unsigned(size)?;
    let head = Checkpoint::open(&note, key).map_err(corrupt)?;

    let mut folder = Folder::create(path)?;
    let mut selector = Selector::new(&options.selection);
    let (tree, records) = tiles(book, size, options.leaves, &mut selector, &mut folder)?;
    // A book that does not fit its signed head proves nothing, whatever is taken out of it.
    if Checkpoint::of(key.name(), &tree) != head {
        return Err(ErrorKind::Corrupt.into());
    }
    let tiles = folder.reader();
    let mut tree = TiledTree::new(size, |tile: Tile| tiles(&tile.to_string()));
    for index in records.iter() {
        let leaf = record(book, index, &mut tree, &note, &mut folder)?;
        if options.contents && matches!(leaf.header.kind, Kind::Intent | Kind::Outcome) {
            content(book, index, &leaf, &mut folder)?;
        }
    }
    let needed = records.last().map_or(0, |last| last + 1);
    for (name, bytes) in attested.evidence(size, needed, key)? {
        folder.put(&name, &bytes)?;
    }
    folder.put(VKEY, format!("{key}\n").as_bytes())?;
    folder.put(CHECKPOINT, note.as_bytes())?;
    let manifest = Manifest {
        writer: options.writer.clone(),
        origin: key.name().to_owned(),
        size,
        leaves: options.leaves,
        contents: options.contents,
        selection: options.selection.clone(),
        records,
    };
    folder.put(MANIFEST, manifest.to_string().as_bytes())?;
    Ok(Evidence {
        origin: manifest.origin,
        size,
        key: key.to_string(),
        exchanges: selector.exchanges(),
        open: selector.open(),
        records: manifest.records.len(),
        files: folder.files,
        bytes: folder.bytes,
    })
}

/// Writes the tiles of the whole tree, and finds the entries that are selected.
fn tiles(
    book: &Transaction<'_>,
    size: u64,
    leaves: bool,
    selector: &mut Selector<'_>,
    folder: &mut Folder,
) -> Result<(Frontier, Indexes), Error> {
    let (mut tree, mut records) = (Frontier::new(), Indexes::new());
    let mut tiler = Tiler::new();
    let mut bundle = Vec::with_capacity(usize::from(TILE_WIDTH) * (2 + LEAF_BYTES));
    let mut rows = book.prepare("SELECT seq, leaf FROM entry ORDER BY seq")?;
    let mut rows = rows.query([])?;
    while let Some(row) = rows.next()? {
        let index = tree.size();
        let bytes = row.get_ref(1)?.as_blob().map_err(corrupt)?;
        let leaf = Leaf::from_bytes(bytes).map_err(corrupt)?;
        if row.get::<_, i64>(0)? != signed(index)? || leaf.header.sequence != index {
            return Err(ErrorKind::Corrupt.into());
        }
        if selector.entry(&leaf.header) {
            records.push(index);
        }
        let hash = leaf_hash(bytes);
        tree.append(hash);
        tiler.append(hash, |tile, hashes| put_hashes(folder, tile, hashes))?;
        if leaves {
            let length = u16::try_from(bytes.len()).map_err(corrupt)?;
            bundle.extend(length.to_be_bytes());
            bundle.extend(bytes);
            let full = tree.size().is_multiple_of(u64::from(TILE_WIDTH));
            if full || tree.size() == size {
                let number = index / u64::from(TILE_WIDTH);
                let tile = Tile::of(tree.size(), Level::Entries, number);
                let tile = tile.ok_or(ErrorKind::Corrupt)?;
                folder.put(&tile.to_string(), &bundle)?;
                bundle.clear();
            }
        }
    }
    tiler.finish(|tile, hashes| put_hashes(folder, tile, hashes))?;
    Ok((tree, records))
}

fn put_hashes(folder: &mut Folder, tile: Tile, hashes: &[Hash]) -> Result<(), Error> {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
    folder.put(&tile.to_string(), &bytes)
}

/// Writes what was recorded, as it was committed to, and its proof out of the tiles.
fn record<F>(
    book: &Transaction<'_>,
    index: u64,
    tree: &mut TiledTree<F>,
    note: &str,
    folder: &mut Folder,
) -> Result<Leaf, Error>
where
    F: FnMut(Tile) -> Result<Vec<u8>, Error>,
{
    let mut row = book.prepare_cached("SELECT leaf, salt, envelope FROM entry WHERE seq = ?1")?;
    let mut row = row.query([signed(index)?])?;
    let row = row.next()?.ok_or(ErrorKind::Corrupt)?;
    let blob = |column| row.get_ref(column)?.as_blob().map_err(corrupt);
    let opening = Opening {
        leaf: blob(0)?.try_into().map_err(corrupt)?,
        salt: blob(1)?.try_into().map_err(corrupt)?,
    };
    let proof = LogProof {
        extra: Some(opening.to_bytes()),
        index,
        hashes: tree.inclusion_proof(index)?,
        checkpoint: note.to_owned(),
    };
    folder.put(&record_file(index, "json"), blob(2)?)?;
    folder.put(
        &record_file(index, "tlog-proof"),
        proof.to_text().as_bytes(),
    )?;
    Ok(opening.leaf()?)
}

/// Writes the body that the entry has a digest of, if it has any parts.
fn content(
    book: &Transaction<'_>,
    index: u64,
    leaf: &Leaf,
    folder: &mut Folder,
) -> Result<(), Error> {
    let of_request = leaf.header.kind == Kind::Intent;
    let mut parts = book.prepare_cached(
        "SELECT at, data FROM part WHERE exchange = ?1 AND (kind = ?2) = ?3
         ORDER BY kind, ordinal",
    )?;
    let mut parts = parts.query(params![leaf.header.exchange, REQUEST, of_request])?;
    let mut files = None;
    let (mut bytes, mut lines) = (0, 0);
    while let Some(row) = parts.next()? {
        let (body, list) = match &mut files {
            Some(files) => files,
            None => files.insert((
                folder.begin(&record_file(index, "body"))?,
                folder.begin(&record_file(index, "parts"))?,
            )),
        };
        let data = row.get_ref(1)?.as_blob().map_err(corrupt)?;
        let part = Part {
            at: unsigned(row.get(0)?)?,
            bytes: data.len() as u64,
        };
        let line = format!("{part}\n");
        body.add(data)?;
        list.add(line.as_bytes())?;
        bytes += part.bytes;
        lines += line.len() as u64;
    }
    if let Some((body, list)) = files {
        folder.end(body, bytes)?;
        folder.end(list, lines)?;
    }
    Ok(())
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Corrupt, error)
}
