//! Files of named consumers: how far each one has come, so that retention waits for it.
//!
//! A file is replaced atomically at each acknowledgement. It is no part of the journal: an engine
//! opens without it, and readers ignore it.

use std::io;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::bytes::Cursor;
use crate::base::error::JournalError;
use crate::journal::format::position::JournalPosition;
use crate::journal::format::segment::UNFINISHED;
use crate::journal::layout::begin_mark::replace;
use crate::journal::layout::{damaged, failed, remove_file};
use crate::journal::storage::Storage;

const EXTENSION: &str = ".consumer";
const MAGIC: [u8; 8] = *b"STKCONS\n";
/// The format version that this library writes, and the newest that it reads.
const VERSION: u16 = 1;
/// Bytes of the file.
const LENGTH: usize = 48;
/// A file says its own length in two bytes, so no version of it is longer.
const BYTES_MAX: u64 = u16::MAX as u64 + 1;
/// The longest name, in bytes.
const LONGEST_NAME: usize = 64;

/// A named consumer: its name, and the position that it has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredConsumer {
    pub(crate) name: String,
    pub(crate) position: JournalPosition,
}

/// The file of the consumer `name`; `None` if that is not a name. Capital letters are none, because
/// some file systems do not tell them apart. Storages take no other signs.
pub(crate) fn file_of(name: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let sound = name.bytes().all(|byte| plain(byte) || byte == b'.')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain)
        && name.len() <= LONGEST_NAME;
    sound.then(|| format!("{name}{EXTENSION}"))
}

/// The name of the consumer whose file this is; `None` for any other file.
fn name_of(file: &str) -> Option<&str> {
    file.strip_suffix(EXTENSION).filter(|name| file_of(name).is_some())
}

fn to_bytes(position: JournalPosition) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(LENGTH as u16).to_le_bytes());
    bytes.extend_from_slice(&u32::from(position.lineage.is_some()).to_le_bytes());
    bytes.extend_from_slice(&position.sequence.to_le_bytes());
    bytes.extend_from_slice(&position.opening.to_le_bytes());
    bytes.extend_from_slice(&position.lineage.unwrap_or(0).to_le_bytes());
    let sum = xxh3_64(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

fn from_bytes(bytes: &[u8]) -> Option<(u16, JournalPosition)> {
    let from = &mut Cursor::new(bytes);
    let magic: [u8; 8] = from.array()?;
    let (version, length, flags) = (from.u16()?, usize::from(from.u16()?), from.u32()?);
    let position = JournalPosition::new(from.u64()?, from.u64()?);
    let lineage = from.u64()?;
    let known = version > VERSION || (length == LENGTH && flags <= 1);
    let (rest, sum) = bytes.split_last_chunk::<8>()?;
    let sound = length == bytes.len() && xxh3_64(rest).to_le_bytes() == *sum;
    let position = if flags == 1 { position.with_lineage(lineage) } else { position };
    (magic == MAGIC && known && sound).then_some((version, position))
}

/// Reads the position of a consumer; `None` if there is no such consumer.
///
/// # Errors
/// [`JournalError::Damaged`], [`JournalError::Version`], or the storage's error.
pub(crate) fn read(
    storage: &dyn Storage,
    file: &str,
) -> Result<Option<JournalPosition>, JournalError> {
    let bytes = match storage.read(file, 0, BYTES_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|error| failed("read", file, &error))?,
    };
    match from_bytes(&bytes) {
        Some((VERSION, position)) => Ok(Some(position)),
        Some((found, _)) => {
            Err(JournalError::Version { file: file.to_owned(), found, newest: VERSION })
        }
        None => Err(damaged(file, 0, "an unreadable position of a consumer".to_owned())),
    }
}

/// All consumers, in the order of their names.
///
/// # Errors
/// As [`read`].
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<StoredConsumer>, JournalError> {
    let mut files = storage.list().map_err(|error| failed("list", "", &error))?;
    files.sort_unstable();
    let mut consumers = Vec::new();
    for file in &files {
        if let Some(name) = name_of(file)
            && let Some(position) = read(storage, file)?
        {
            consumers.push(StoredConsumer { name: name.to_owned(), position });
        }
    }
    Ok(consumers)
}

/// Stores the position of a consumer. It is durable once this returns. A crash before leaves the
/// position that was stored last.
///
/// # Errors
/// The storage's error.
pub(crate) fn write(
    storage: &dyn Storage,
    file: &str,
    position: JournalPosition,
) -> Result<(), JournalError> {
    replace(storage, file, &to_bytes(position))
}

/// Removes a consumer. It stays removed once this returns.
///
/// # Errors
/// The storage's error.
pub(crate) fn remove(storage: &dyn Storage, file: &str) -> Result<(), JournalError> {
    remove_file(storage, &format!("{file}{UNFINISHED}"))?;
    remove_file(storage, file)?;
    storage.sync_directory().map_err(|error| failed("sync", "", &error))
}

/// Copies the files of all consumers to another storage, whatever they hold.
///
/// # Errors
/// The storages' errors.
pub(crate) fn copy_all(from: &dyn Storage, to: &dyn Storage) -> Result<(), JournalError> {
    let files = from.list().map_err(|error| failed("list", "", &error))?;
    for file in files.iter().filter(|file| name_of(file).is_some()) {
        match from.read(file, 0, BYTES_MAX) {
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            bytes => replace(to, file, &bytes.map_err(|error| failed("read", file, &error))?)?,
        }
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::journal::storage::simulated::SimulatedDisk;

    #[test]
    fn a_position_is_read_back_and_no_flipped_bit_goes_unseen() {
        let disk = SimulatedDisk::new();
        let file = file_of("billing.eu").expect("a name");
        assert_eq!(read(&disk, &file), Ok(None));
        for position in [JournalPosition::default(), JournalPosition::new(9, 2).with_lineage(0)] {
            write(&disk, &file, position).expect("room");
            assert_eq!(read(&disk, &file), Ok(Some(position)));
            let listed = StoredConsumer { name: "billing.eu".to_owned(), position };
            assert_eq!(list(&disk), Ok(vec![listed]));
        }
        let (name, bytes) = disk.files().remove(0);
        assert_eq!(bytes.len(), LENGTH);
        for place in 0..LENGTH {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1;
            for bytes in [flipped, bytes[..place].to_vec()] {
                let disk = SimulatedDisk::with_files([(name.clone(), bytes)]);
                assert!(read(&disk, &name).is_err(), "byte {place}");
            }
        }
    }

    #[test]
    fn a_name_is_one_on_every_file_system() {
        for name in ["a", "billing", "billing.eu.2", "0000000001", &"x".repeat(64)] {
            assert!(file_of(name).is_some(), "{name:?}");
        }
        for name in ["", ".", "a.", ".a", "A", "a b", "a/b", "a-b", "é", &"x".repeat(65)] {
            assert_eq!(file_of(name), None, "{name:?}");
        }
        assert_eq!(name_of("a.consumer"), Some("a"));
        assert_eq!(name_of("a.consumer.new"), None);
    }
}
