//! The newest row first. A journal is read from its oldest entry on, and it may be longer than the
//! memory: so rows are kept in blocks, all but the last one in a temporary file.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::mem;

/// How many bytes of rows are in memory.
const BLOCK_BYTES: usize = 8 << 20;

/// Rows that are given back in the opposite order.
#[derive(Debug, Default)]
pub(super) struct Spool {
    /// The rows that came last, one behind the other.
    block: Vec<u8>,
    /// Where each row of `block` ends.
    ends: Vec<usize>,
    /// The blocks before, and for each of them its rows' ends.
    file: Option<File>,
    earlier: Vec<Vec<u32>>,
}

impl Spool {
    /// Adds a row.
    pub(super) fn push(&mut self, row: &[u8]) -> io::Result<()> {
        self.block.extend_from_slice(row);
        self.ends.push(self.block.len());
        if self.block.len() >= BLOCK_BYTES { self.store() } else { Ok(()) }
    }

    fn store(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all(&self.block)?;
        self.block.clear();
        let ends = mem::take(&mut self.ends).into_iter().map(u32::try_from);
        self.earlier.push(ends.collect::<Result<_, _>>().map_err(io::Error::other)?);
        Ok(())
    }

    /// Gives each row to `put`, the last one first.
    pub(super) fn reversed(
        mut self,
        mut put: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        give_back(&self.block, &self.ends, &mut put)?;
        let Some(mut file) = self.file else { return Ok(()) };
        let mut at = file.stream_position()?;
        while let Some(ends) = self.earlier.pop() {
            let ends: Vec<usize> = ends.into_iter().map(|end| end as usize).collect();
            let bytes = ends.last().copied().unwrap_or(0);
            at -= bytes as u64;
            file.seek(SeekFrom::Start(at))?;
            self.block.resize(bytes, 0);
            file.read_exact(&mut self.block)?;
            give_back(&self.block, &ends, &mut put)?;
        }
        Ok(())
    }
}

fn give_back(
    block: &[u8],
    ends: &[usize],
    put: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let begins = [0].iter().chain(ends);
    let rows: Vec<_> = begins.zip(ends).collect();
    let rows = rows.into_iter().rev();
    rows.filter_map(|(begin, end)| block.get(*begin..*end)).try_for_each(put)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reversed(rows: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut spool = Spool::default();
        rows.iter().for_each(|row| spool.push(row).expect("space"));
        let mut given = Vec::new();
        let given_back = spool.reversed(|row| {
            given.push(row.to_vec());
            Ok(())
        });
        given_back.expect("readable");
        given
    }

    #[test]
    fn rows_come_back_in_the_opposite_order_also_from_the_disk() {
        for (rows, bytes) in [(0, 0), (1, 5), (3, 0), (100, 500_000), (3, BLOCK_BYTES)] {
            let row = |number: usize| [number.to_string().into_bytes(), vec![b'.'; bytes]].concat();
            let mut rows: Vec<Vec<u8>> = (0..rows).map(row).collect();
            let given = reversed(&rows);
            rows.reverse();
            assert!(given == rows, "{} rows of {bytes} bytes", rows.len());
        }
    }
}
