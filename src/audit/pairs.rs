//! Pairs of text: the metadata of a record on its way.

use std::sync::Arc;

use crate::base::bytes::{Cursor, put_varint};

/// The metadata pairs of a record, as all its entries share them.
pub(crate) type Metadata = Arc<[(String, String)]>;

/// So many pairs lie inline; nearly no call has more.
pub(super) const FEW: usize = 4;

/// Names with their values, in the order in which they were added. All text lies in one piece of
/// memory, which is kept when the pairs are cleared: so a record that comes from the pool allocates
/// nothing for its notes.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Pairs {
    /// All names and values, one after the other.
    text: String,
    /// Where the name and the value of each of the first pairs end.
    few: [[u32; 2]; FEW],
    /// The same for those that come after.
    more: Vec<[u32; 2]>,
    len: usize,
}

impl Pairs {
    /// No pairs.
    pub(crate) const fn new() -> Self {
        Self { text: String::new(), few: [[0; 2]; FEW], more: Vec::new(), len: 0 }
    }

    /// Adds a pair.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.text.reserve(name.len() + value.len());
        self.text.push_str(name);
        let name_end = self.text.len();
        self.text.push_str(value);
        // Texts of a call take 2^24 bytes at most, and who decodes a record bounds them by 2^32.
        let ends = [name_end as u32, self.text.len() as u32];
        match self.few.get_mut(self.len) {
            Some(place) => *place = ends,
            None => self.more.push(ends),
        }
        self.len += 1;
    }

    /// Adds all pairs of `other`, in their order.
    pub(crate) fn extend(&mut self, other: &Self) {
        if !self.is_empty() {
            return other.iter().for_each(|(name, value)| self.push(name, value));
        }
        self.text.push_str(&other.text);
        (self.few, self.len) = (other.few, other.len);
        self.more.extend_from_slice(&other.more);
    }

    /// Adds pairs that [`put_pairs`] encoded. `None` if they are none; some may have been added by
    /// then.
    pub(crate) fn read(&mut self, bytes: &mut Cursor<'_>) -> Option<()> {
        for _ in 0..bytes.varint()? {
            let mut text = || std::str::from_utf8(bytes.counted()?).ok();
            let (name, value) = (text()?, text()?);
            self.push(name, value);
        }
        Some(())
    }

    /// The first name.
    #[inline]
    pub(crate) fn first_name(&self) -> Option<&str> {
        let end = self.few.first().filter(|_| self.len > 0)?[0];
        self.text.get(..end as usize)
    }

    /// Each name with its value.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let few = &self.few[..self.len.min(FEW)];
        let mut start = 0;
        few.iter().chain(&self.more).map(move |&[name_end, end]| {
            let pair =
                (&self.text[start..name_end as usize], &self.text[name_end as usize..end as usize]);
            start = end as usize;
            pair
        })
    }

    /// Where names and values end in the text, and the text; `None` if there are more than a few.
    #[inline]
    pub(super) fn few(&self) -> Option<(&[[u32; 2]], &str)> {
        Some((self.few.get(..self.len)?, &self.text))
    }

    /// Fills empty pairs with so many of which [`few`](Self::few) told.
    pub(super) fn set_few(&mut self, text: &str, ends: &[[u32; 2]], len: usize) {
        debug_assert!(self.is_empty() && len <= FEW, "they are empty, and get a few");
        self.text.push_str(text);
        self.few.iter_mut().zip(ends).take(len).for_each(|(own, ends)| *own = *ends);
        self.len = len.min(FEW);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many pairs there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of all names and values.
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Empties it. It keeps the memory of so many bytes and pairs.
    pub(crate) fn clear(&mut self, bytes: usize, pairs: usize) {
        self.text.clear();
        self.text.shrink_to(bytes);
        self.few = [[0; 2]; FEW];
        self.more.clear();
        self.more.shrink_to(pairs);
        self.len = 0;
    }

    /// The pairs as entries show them.
    pub(crate) fn to_metadata(&self) -> Metadata {
        self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// Appends encoded pairs: their count, then each text with its length.
pub(crate) fn put_pairs<'a>(
    out: &mut Vec<u8>,
    count: usize,
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) {
    put_varint(out, count as u64);
    for text in pairs.flat_map(|(name, value)| [name, value]) {
        put_varint(out, text.len() as u64);
        out.extend_from_slice(text.as_bytes());
    }
}

impl std::fmt::Debug for Pairs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_back_few_or_many_and_after_they_were_cleared() {
        let mut pairs = Pairs::new();
        for count in 0..3 * FEW {
            let all: Vec<_> = (0..count).map(|it| (format!("name {it}"), "é".repeat(it))).collect();
            all.iter().for_each(|(name, value)| pairs.push(name, value));
            assert_eq!(pairs.to_metadata()[..], all[..]);
            assert_eq!((pairs.len(), pairs.is_empty()), (count, count == 0));
            assert_eq!(
                pairs.bytes(),
                all.iter().map(|(name, value)| name.len() + value.len()).sum()
            );
            let other = pairs.clone();
            let (mut copy, mut twice) = (Pairs::new(), pairs.clone());
            copy.extend(&pairs);
            twice.extend(&pairs);
            assert_eq!(copy, pairs);
            assert_eq!(twice.to_metadata()[..], [&all[..], &all[..]].concat());
            pairs.clear(0, 0);
            assert!(pairs.is_empty() && pairs.iter().next().is_none());
            assert_eq!(pairs == other, count == 0);
        }
    }
}
