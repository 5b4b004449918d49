//! The file of a checkpoint: the state that a journal adds up to at one point of its chain, so that
//! a recovery need not replay what comes before.
//!
//! ```text
//!  | header, 136 bytes | up to a mebibyte of the state | its checksum | ... |
//! ```
//!
//! The file gets its name once all its bytes are durable, so a crash leaves a whole file or none.

use std::io;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::format::batch::Hash;
use crate::journal::format::segment::{Point, UNFINISHED};
use crate::journal::layout::{damaged, failed, remove_file};
use crate::journal::ledger::state::NO_CLOCK;
use crate::journal::storage::Storage;

/// The magic bytes at the start of a checkpoint.
const MAGIC: [u8; 8] = *b"STKCHKPT";
/// The format version that this library writes, and the newest that it reads.
const VERSION: u16 = 2;
/// The version whose states know nothing of the journal's clock.
const WITHOUT_CLOCK: u16 = 1;
/// Bytes of the header.
const HEADER: usize = 136;
/// How many bytes of the header the seal covers.
const SEALED: usize = 96;
/// Bytes of the state under one checksum.
const BLOCK: usize = 1 << 20;
const SUM: usize = 8;

const EXTENSION: &str = ".checkpoint";

/// Which journal a checkpoint is of, and at which point of the chain it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckpointHeader {
    pub(crate) journal: u128,
    /// The last batch that the checkpoint covers. It was durable.
    pub(crate) batch: u64,
    /// The last entry that the checkpoint covers.
    pub(crate) sequence: u64,
    /// The chain hash of that batch.
    pub(crate) hash: Hash,
    /// The limit on remembered idempotency keys. If the checkpoint holds fewer, no key was dropped
    /// to make room.
    pub(crate) keys: u64,
}

/// The file name of the checkpoint taken behind batch `batch`.
pub(crate) fn name_of(batch: u64) -> String {
    format!("{batch:010}{EXTENSION}")
}

/// The batch of the finished checkpoint with this file name; `None` for any other file.
pub(crate) fn batch_of(name: &str) -> Option<u64> {
    let batch = name.strip_suffix(EXTENSION)?.parse().ok()?;
    (batch > 0 && name_of(batch) == name).then_some(batch)
}

/// Whether this is the file name of an unfinished checkpoint.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).and_then(|name| name.rsplit_once('.'));
    name.is_some_and(|(name, _)| batch_of(name).is_some())
}

/// The names of all finished checkpoints, newest first.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<String>, JournalError> {
    let mut names = storage.list().map_err(|error| failed("list", "", &error))?;
    names.retain(|name| batch_of(name).is_some());
    names.sort_unstable_by_key(|name| std::cmp::Reverse(batch_of(name)));
    Ok(names)
}

impl CheckpointHeader {
    /// The point of the chain at which it was taken.
    pub(crate) fn point(&self) -> Point {
        let Self { batch, sequence, hash, .. } = *self;
        Point { batch, sequence, hash, ..Point::START }
    }

    fn to_bytes(self, state: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(HEADER as u16).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.journal.to_le_bytes());
        bytes.extend_from_slice(&self.batch.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.keys.to_le_bytes());
        bytes.extend_from_slice(&(state.len() as u64).to_le_bytes());
        let seal = seal(&bytes, state);
        bytes.extend_from_slice(&seal);
        let sum = xxh3_64(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header of a file. Returns it with its version, the length of the state and the
    /// seal.
    fn from_bytes(name: &str, bytes: &[u8]) -> Result<(Self, u16, u64, Hash), JournalError> {
        let read = |from: &mut Cursor<'_>| {
            let magic: [u8; 8] = from.array()?;
            let (version, length, unused) = (from.u16()?, from.u16()?, from.u32()?);
            let header = Self {
                journal: from.u128()?,
                batch: from.u64()?,
                sequence: from.u64()?,
                hash: from.array()?,
                keys: from.u64()?,
            };
            let (state, seal) = (from.u64()?, from.array()?);
            let sound = magic == MAGIC
                && (version > VERSION || (usize::from(length), unused) == (HEADER, 0))
                && xxh3_64(bytes.get(..HEADER - SUM)?) == from.u64()?;
            sound.then_some((version, header, state, seal))
        };
        match read(&mut Cursor::new(bytes)) {
            None => Err(damaged(name, 0, "an unreadable checkpoint header".to_owned())),
            Some((found, ..)) if found != VERSION && found != WITHOUT_CLOCK => {
                Err(JournalError::Version { file: name.to_owned(), found, newest: VERSION })
            }
            Some((_, header, ..)) if batch_of(name) != Some(header.batch) => {
                let what =
                    format!("a file that holds the checkpoint behind batch {}", header.batch);
                Err(damaged(name, 0, what))
            }
            Some((version, header, state, seal)) => Ok((header, version, state, seal)),
        }
    }
}

/// The seal: a hash that binds the state to its point of the chain.
fn seal(header: &[u8], state: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header);
    hasher.update(state);
    *hasher.finalize().as_bytes()
}

/// Writes a checkpoint. It is durable once this returns. The unfinished file bears the number of
/// the opening, so it never collides with one that another process writes after it has taken over.
pub(crate) fn write(
    storage: &dyn Storage,
    opening: u64,
    header: CheckpointHeader,
    state: &[u8],
) -> io::Result<()> {
    let name = name_of(header.batch);
    let unfinished = format!("{name}.{opening}{UNFINISHED}");
    let written = write_file(storage, &unfinished, header, state)
        .and_then(|()| storage.rename(&unfinished, &name))
        .and_then(|()| storage.sync_directory());
    if written.is_err() {
        // The unfinished file takes up space on a full disk. If it can't be removed now, the next
        // opening removes it.
        let _ = storage.remove(&unfinished);
    }
    written
}

fn write_file(
    storage: &dyn Storage,
    name: &str,
    header: CheckpointHeader,
    state: &[u8],
) -> io::Result<()> {
    let file = storage.create(name)?;
    file.append(&header.to_bytes(state))?;
    for (index, block) in state.chunks(BLOCK).enumerate() {
        file.append(block)?;
        file.append(&xxh3_64_with_seed(block, index as u64).to_le_bytes())?;
    }
    file.sync()
}

/// Reads the header of a finished checkpoint.
pub(crate) fn read_header(
    storage: &dyn Storage,
    name: &str,
) -> Result<CheckpointHeader, JournalError> {
    let bytes = storage.read(name, 0, HEADER as u64);
    let bytes = bytes.map_err(|error| failed("read", name, &error))?;
    CheckpointHeader::from_bytes(name, &bytes).map(|(header, ..)| header)
}

/// Reads a finished checkpoint and checks all of it. Returns the header and the state, as this
/// version writes it.
pub(crate) fn read(
    storage: &dyn Storage,
    name: &str,
) -> Result<(CheckpointHeader, Vec<u8>), JournalError> {
    /// Blocks that are read at once.
    const AT_ONCE: usize = 8;
    let read = |offset: usize, length: usize| {
        let bytes = storage.read(name, offset as u64, length as u64);
        bytes.map_err(|error| failed("read", name, &error))
    };
    let bytes = read(0, HEADER)?;
    let (header, version, length, seal_of_all) = CheckpointHeader::from_bytes(name, &bytes)?;
    // The state grows with the blocks that are sound. What the header or the file says about its
    // length is only a claim.
    let mut state = Vec::new();
    let mut index = 0;
    while state.len() as u64 <= length {
        let piece = read(HEADER + index * (BLOCK + SUM), AT_ONCE * (BLOCK + SUM))?;
        for block in piece.chunks(BLOCK + SUM) {
            let offset = (HEADER + index * (BLOCK + SUM)) as u64;
            let wrong = |what: &str| damaged(name, offset, what.to_owned());
            let (block, sum) =
                block.split_last_chunk::<SUM>().ok_or_else(|| wrong("an incomplete block"))?;
            if xxh3_64_with_seed(block, index as u64).to_le_bytes() != *sum {
                return Err(wrong("a block of a checkpoint whose checksum is wrong"));
            }
            state.extend_from_slice(block);
            index += 1;
        }
        if piece.len() < AT_ONCE * (BLOCK + SUM) {
            break;
        }
    }
    if state.len() as u64 != length || seal(&bytes[..SEALED], &state) != seal_of_all {
        return Err(damaged(name, HEADER as u64, "a checkpoint that is not what it says".into()));
    }
    if version == WITHOUT_CLOCK {
        state.push(NO_CLOCK);
    }
    Ok((header, state))
}

/// The header of the newest checkpoint that is readable.
pub(crate) fn newest(storage: &dyn Storage) -> Result<Option<CheckpointHeader>, JournalError> {
    let names = list(storage)?;
    // An unreadable checkpoint is skipped: an older one, or the journal itself, replaces it.
    Ok(names.iter().find_map(|name| read_header(storage, name).ok()))
}

/// Removes unfinished checkpoints.
pub(crate) fn remove_unfinished(storage: &dyn Storage) -> Result<(), JournalError> {
    let names = storage.list().map_err(|error| failed("list", "", &error))?;
    for name in names.iter().filter(|name| is_unfinished(name)) {
        remove_file(storage, name)?;
    }
    storage.sync_directory().map_err(|error| failed("sync", "", &error))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    fn header() -> CheckpointHeader {
        CheckpointHeader { journal: 7, batch: 3, sequence: 9, hash: [5; 32], keys: 10 }
    }

    #[test]
    fn a_checkpoint_is_read_back_and_nothing_that_was_altered_goes_unseen() {
        let disk = SimulatedDisk::new();
        let state: Vec<u8> = (0..300_u32).map(|number| number as u8).collect();
        write(&disk, 1, header(), &state).expect("room");
        let names = list(&disk).expect("a directory");
        assert_eq!(names, [name_of(3)]);
        assert_eq!(read(&disk, &names[0]), Ok((header(), state)));
        let (name, bytes) = disk.files().remove(0);
        for place in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            let cut = bytes[..place].to_vec();
            for bytes in [flipped, cut] {
                let disk = SimulatedDisk::with_files([(name.clone(), bytes)]);
                assert!(read(&disk, &name).is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn a_checkpoint_of_version_1_is_read_as_one_without_a_clock_and_no_newer_one_is() {
        let disk = SimulatedDisk::new();
        write(&disk, 1, header(), &[7; 20]).expect("room");
        let (name, bytes) = disk.files().remove(0);
        let of_version = |version: u8| {
            let mut bytes = bytes.clone();
            bytes[MAGIC.len()] = version;
            let seal = seal(&bytes[..SEALED], &[7; 20]);
            bytes[SEALED..HEADER - SUM].copy_from_slice(&seal);
            let sum = xxh3_64(&bytes[..HEADER - SUM]);
            bytes[HEADER - SUM..HEADER].copy_from_slice(&sum.to_le_bytes());
            read(&SimulatedDisk::with_files([(name.clone(), bytes)]), &name)
        };
        assert_eq!(of_version(2), Ok((header(), vec![7; 20])));
        let old = [vec![7; 20], vec![NO_CLOCK]].concat();
        assert_eq!(of_version(1), Ok((header(), old)));
        for unknown in [0, 3] {
            assert!(matches!(of_version(unknown), Err(JournalError::Version { .. })), "{unknown}");
        }
    }

    #[test]
    fn a_state_of_several_blocks_names_the_one_that_is_damaged() {
        let disk = SimulatedDisk::new();
        let state = vec![1; 2 * BLOCK + 5];
        write(&disk, 1, header(), &state).expect("room");
        let (name, mut bytes) = disk.files().remove(0);
        assert_eq!(read(&disk, &name).map(|(_, read)| read == state), Ok(true));
        bytes[HEADER + BLOCK + SUM + 17] ^= 1;
        let disk = SimulatedDisk::with_files([(name.clone(), bytes)]);
        let found = read(&disk, &name).expect_err("a flipped bit");
        let JournalError::Damaged { offset, .. } = found else { panic!("{found:?}") };
        assert_eq!(offset, (HEADER + BLOCK + SUM) as u64);
    }

    #[test]
    fn a_file_has_one_name() {
        assert_eq!(batch_of(&name_of(17)), Some(17));
        assert_eq!(batch_of("17.checkpoint"), None);
        assert!(is_unfinished("0000000017.checkpoint.2.new"));
        assert!(!is_unfinished("0000000017.checkpoint"));
        assert!(!is_unfinished("0000000017.journal.new"));
    }
}
