//! How much text one call may put into its record. What the journal's encoder gets is bounded so.

use crate::base::error::InvalidText;

/// The most notes, and the most bytes of text, that
/// [`Limits::notes`](crate::Limits::notes) can set. With the 65,535 lines that a record may have,
/// they keep a batch far below the 2^32 bytes that its header can count.
pub(crate) const MOST_NOTES: u32 = 65_535;
pub(crate) const MOST_TEXT: u32 = 1 << 24;

/// How much text one call may put into its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TextLimits {
    pub(crate) notes: u32,
    pub(crate) bytes: u32,
}

impl TextLimits {
    /// Refuses so many notes, or so many bytes of text, if they are too many.
    pub(crate) fn admit(self, notes: usize, bytes: usize) -> Result<(), InvalidText> {
        let count = |count| u32::try_from(count).unwrap_or(u32::MAX);
        let (notes, bytes) = (count(notes), count(bytes));
        if notes > self.notes {
            return Err(InvalidText::TooManyNotes { notes, most: self.notes });
        }
        if bytes > self.bytes {
            return Err(InvalidText::TooLong { bytes, most: self.bytes });
        }
        Ok(())
    }
}
