//! The steps of writing evidence.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{OptionalExtension, Transaction};
use tollbook_exchange::ExchangeId;
use tollbook_ledger::{
    Checkpoint, Frontier, Hash, Kind, LEAF_BYTES, Leaf, Level, LogProof, TILE_WIDTH, Tile,
    TiledTree, Tiler, VerifierKey,
    evidence::{
        CHECKPOINT, Indexes, MANIFEST, Manifest, Opening, Part, Selector, VKEY, record_file,
    },
    leaf_hash,
};

use super::{
    Evidence, EvidenceOptions,
    folder::{Folder, Growing},
};
use crate::{
    Attestations, Error, ErrorKind,
    body::Recipe,
    database::{signed, unsigned},
    erased::Tombstones,
    keys::{Class, KeyId},
    opener::{Content, Opener, answer_key, brings},
    recording::MAX_PART,
};

/// Writes evidence out of one snapshot of the book.
///
/// It goes through the leaves once, for the tiles and to select, and then through the selected
/// entries. It holds a tile of each level, one entry and one part of a body at a time, and of a
/// selection the ids of its exchanges. The manifest comes last: without it, a folder is none.
pub(crate) fn write(
    book: &Transaction<'_>,
    mut opener: Opener<'_>,
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
    let mut tombstones = Tombstones::default();
    tombstones.read(book)?;
    let selected = records;
    let (mut erased, mut emptied) = (Indexes::new(), Indexes::new());
    let mut stones = BTreeSet::new();
    for index in selected.iter() {
        let (leaf, recipe) = record(
            book,
            (&mut opener, &tombstones),
            index,
            &mut tree,
            &note,
            &mut folder,
        )?;
        let is_exchange = matches!(leaf.header.kind, Kind::Intent | Kind::Outcome);
        let gone = match recipe {
            None => Some((&mut erased, Class::Metadata, KeyId(leaf.header.seal.key))),
            Some(recipe) if options.contents && is_exchange => {
                let key = KeyId(leaf.header.seal.key);
                let class = match leaf.header.kind {
                    Kind::Intent => Class::Request,
                    _ => match answer_key(book, &leaf.header)? {
                        (of, class) if of == key => class,
                        // Who closed it could not open the answer, and has no digest of it.
                        _ => continue,
                    },
                };
                let is_there = match tombstones.of(key, class) {
                    Some(_) => false,
                    None => content(book, &mut opener, &leaf, &recipe, &mut folder)?,
                };
                (!is_there).then_some((&mut emptied, class, key))
            }
            Some(_) => None,
        };
        if let Some((gone, class, key)) = gone {
            gone.push(index);
            // What is gone and nobody says why is a fault of the book.
            stones.insert(tombstones.of(key, class).ok_or(ErrorKind::Corrupt)?);
        }
    }
    // What explains them goes with them, whether or not it was asked for.
    stones.retain(|index| !selected.contains(*index));
    for index in &stones {
        record(
            book,
            (&mut opener, &tombstones),
            *index,
            &mut tree,
            &note,
            &mut folder,
        )?;
    }
    let records = selected.with(&stones);
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
        erased,
        emptied,
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

/// Writes what was recorded, as it was committed to, and its proof out of the tiles. No recipe of what
/// was erased, also where its key is still there.
fn record<F>(
    book: &Transaction<'_>,
    (opener, tombstones): (&mut Opener<'_>, &Tombstones),
    index: u64,
    tree: &mut TiledTree<F>,
    note: &str,
    folder: &mut Folder,
) -> Result<(Leaf, Option<Recipe>), Error>
where
    F: FnMut(Tile) -> Result<Vec<u8>, Error>,
{
    let mut row = book.prepare_cached("SELECT leaf, salt, envelope FROM entry WHERE seq = ?1")?;
    let mut row = row.query([signed(index)?])?;
    let row = row.next()?.ok_or(ErrorKind::Corrupt)?;
    let blob = |column| row.get_ref(column)?.as_blob().map_err(corrupt);
    let salt = row.get_ref(1)?.as_blob_or_null().map_err(corrupt)?;
    let leaf = Leaf::from_bytes(blob(0)?)?;
    opener.heed(tombstones, KeyId(leaf.header.seal.key));
    let opened = open(opener.envelope(&leaf.header, salt, blob(2)?)?)?;
    let opening = Opening {
        leaf: blob(0)?.try_into().map_err(corrupt)?,
        salt: opened.as_ref().map(|opened| opened.salt),
    };
    let proof = LogProof {
        extra: Some(opening.to_bytes()),
        index,
        hashes: tree.inclusion_proof(index)?,
        checkpoint: note.to_owned(),
    };
    if let Some(opened) = &opened {
        folder.put(&record_file(index, "json"), &opened.envelope)?;
    }
    folder.put(
        &record_file(index, "tlog-proof"),
        proof.to_text().as_bytes(),
    )?;
    Ok((leaf, opened.map(|opened| opened.recipe)))
}

/// Writes the body that the entry has a digest of, if it has any parts. Whether it was not erased.
fn content(
    book: &Transaction<'_>,
    opener: &mut Opener<'_>,
    leaf: &Leaf,
    recipe: &Recipe,
    folder: &mut Folder,
) -> Result<bool, Error> {
    let header = &leaf.header;
    let mut files = Files {
        index: header.sequence,
        folder,
        files: None,
        bytes: 0,
        lines: 0,
    };
    if header.kind == Kind::Intent {
        let brings = brings(book, header.sequence)?.ok_or(ErrorKind::Corrupt)?;
        let mut written = Ok(());
        let mut length = 0_u64;
        let read = opener.request(KeyId(header.seal.key), brings, recipe, &mut |piece| {
            length += piece.len() as u64;
            if written.is_ok() {
                written = files.add(piece);
            }
        })?;
        if open(read)?.is_none() {
            return Ok(false);
        }
        written?;
        while length > 0 {
            let bytes = length.min(MAX_PART as u64);
            files.line(Part { at: 0, bytes })?;
            length -= bytes;
        }
    } else {
        let (key, exchange) = (
            answer_key(book, header)?,
            ExchangeId::from_bytes(header.exchange),
        );
        let read = opener.answer(exchange, key, &mut |_, parts| {
            for (at, data) in parts {
                files.add(data)?;
                let bytes = data.len() as u64;
                files.line(Part { at: *at, bytes })?;
            }
            Ok(())
        })?;
        if open(read)?.is_none() {
            return Ok(false);
        }
    }
    files.end()?;
    Ok(true)
}

/// The two files of a body, which are made when there is something to write.
struct Files<'a> {
    index: u64,
    folder: &'a mut Folder,
    files: Option<(Growing, Growing)>,
    bytes: u64,
    lines: u64,
}

impl Files<'_> {
    fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        self.files()?.0.add(bytes)
    }

    fn line(&mut self, part: Part) -> Result<(), Error> {
        let line = format!("{part}\n");
        self.lines += line.len() as u64;
        self.files()?.1.add(line.as_bytes())
    }

    fn end(self) -> Result<(), Error> {
        if let Some((body, list)) = self.files {
            self.folder.end(body, self.bytes)?;
            self.folder.end(list, self.lines)?;
        }
        Ok(())
    }

    fn files(&mut self) -> Result<&mut (Growing, Growing), Error> {
        if self.files.is_none() {
            self.files = Some((
                self.folder.begin(&record_file(self.index, "body"))?,
                self.folder.begin(&record_file(self.index, "parts"))?,
            ));
        }
        self.files
            .as_mut()
            .ok_or_else(|| ErrorKind::Evidence.into())
    }
}

/// What is open, unless it was erased: what cannot be opened here cannot be shown to others.
fn open<T>(content: Content<T>) -> Result<Option<T>, Error> {
    match content {
        Content::Open(opened) => Ok(Some(opened)),
        Content::Erased => Ok(None),
        Content::Closed(why) => Err(why.into()),
    }
}

fn corrupt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::because(ErrorKind::Corrupt, error)
}
