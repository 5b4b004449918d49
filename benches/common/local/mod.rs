//! The peers in this process: what a careful user would write instead of using the engine.
//!
//! They do the engine's job: the same checks, ids of the same kind, the same record in a queue of the
//! same kind, and a writer thread that does the same work. Where they do less, it is to their
//! advantage, and their `guarantees` say so: nothing finds what is overdue by itself, a hold that is
//! over is forgotten at once (unless a peer is opened with records kept), and a full queue is only
//! noticed when an operation is under way.

pub(crate) mod dashmap;
pub(crate) mod mutex;
mod shared;
mod trail;
