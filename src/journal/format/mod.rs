//! The byte format of the journal: varints, batches, records and headers, apart from the files.

pub(crate) mod batch;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod head;
pub(crate) mod notes;
pub(crate) mod position;
pub(crate) mod segment;
pub(crate) mod usual;
