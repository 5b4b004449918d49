//! The bytes of a journal, without the files that they lie in: numbers, batches, records, headers.

pub(crate) mod batch;
pub(crate) mod bytes;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod head;
pub(crate) mod notes;
pub(crate) mod segment;
