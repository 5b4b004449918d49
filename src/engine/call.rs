//! A call: one operation under way, with its options, its idempotency key and its time.

use std::collections::HashMap;
#[cfg(feature = "journal")]
use std::sync::Arc;
use std::time::Duration;

use crate::audit::pairs::Pairs;
use crate::base::clock::Timestamp;
use crate::base::error::{InvalidText, KeyError, MutationError};
use crate::base::quantity::Quantity;
use crate::engine::Engine;
use crate::engine::answer::{Answer, StoredAnswer};
use crate::engine::durability::{Durability, OperationKind};
use crate::engine::place::{OwnLevel, OwnProduct, OwnWarehouse};
#[cfg(feature = "journal")]
use crate::engine::prefetched::Prefetched;
use crate::idempotency::{Fingerprint, IdempotencyKey, KeyClaim, KeyName};
use crate::reservation::id::{Owner, ReservationId};

/// Request options: what a caller adds to an operation.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestOptions {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) notes: Pairs,
    /// `None`: the engine's setting for this kind of operation.
    pub(crate) durability: Option<Durability>,
    /// The buyer of a new reservation.
    pub(crate) owner: Option<Owner>,
    /// Whether a new reservation keeps its slots until all units that it sold are shipped, or their
    /// sale is cancelled.
    pub(crate) keep_until_shipped: bool,
    /// Whether look-ups of the key, and of the reservation that the call names, may read the disk.
    pub(crate) lookup: KeyLookup,
    /// What was read for the request's calls before.
    #[cfg(feature = "journal")]
    pub(crate) prefetched: Option<Arc<Prefetched>>,
}

/// Whether the look-up of an idempotency key, and of a reservation whose record is gone, may read
/// the disk; see [`Request::key_lookup`](crate::Request::key_lookup).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KeyLookup {
    /// It reads a page, and waits for it, where memory does not know the answer: for a key whose
    /// answer has left memory, and for about one new key in ten thousand. For a reservation whose
    /// record is gone it reads, too, and may wait until the newest entries are on the disk and
    /// audited.
    #[default]
    ReadDisk,
    /// It never reads. Where neither memory nor a prefetch knows the answer, the call is refused
    /// ([`KeyError::Undecided`](crate::KeyError::Undecided)).
    MemoryOnly,
}

/// The target of [`RequestOptions::DEFAULT`]. A static, because a reference to a constant would
/// refer to a copy, which every call would make and drop.
static NO_OPTIONS: RequestOptions = RequestOptions {
    key: None,
    notes: Pairs::new(),
    durability: None,
    owner: None,
    keep_until_shipped: false,
    lookup: KeyLookup::ReadDisk,
    #[cfg(feature = "journal")]
    prefetched: None,
};

impl RequestOptions {
    /// No options: what most callers add.
    pub(super) const DEFAULT: &'static Self = &NO_OPTIONS;
}

/// The idempotency key of a call under way, and the fingerprint of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyedCall {
    pub(super) key: IdempotencyKey,
    pub(super) fingerprint: u128,
}

/// One operation under way. Every operation that moves units or ends holds is a method of it.
///
/// It is passed by value, so that on the hot path its fields stay in registers. A reference to it
/// would force it into memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) engine: &'a Engine,
    options: &'a RequestOptions,
    /// The key that this call has claimed. `None` if the caller gave no key, or before the claim.
    pub(super) key: Option<&'a KeyedCall>,
    /// See [`now`](Self::now).
    now: Timestamp,
}

/// So many names of notes are compared with each other.
const COMPARED: usize = 8;

/// Marks an unread clock. A clock at the end of time shows it too, so no decision rests on it.
pub(super) const NOT_READ: Timestamp = Timestamp::MAX;

impl<'a> Call<'a> {
    /// A call without options.
    #[inline(always)]
    pub(super) fn plain(engine: &'a Engine) -> Self {
        Self { engine, options: RequestOptions::DEFAULT, key: None, now: NOT_READ }
    }

    /// A call with these options.
    pub(super) fn new(engine: &'a Engine, options: &'a RequestOptions) -> Self {
        Self { options, ..Self::plain(engine) }
    }

    /// A step that the engine takes by itself at `now`, for no caller.
    #[inline]
    pub(super) fn of_engine(engine: &'a Engine, now: Timestamp) -> Self {
        Self::plain(engine).at(now)
    }

    /// The same call, with other options. Its key, if it has claimed one, stays the caller's.
    pub(super) fn with_options<'b>(self, options: &'b RequestOptions) -> Call<'b>
    where
        'a: 'b,
    {
        Call { options, ..self }
    }

    /// What the caller added to it.
    pub(super) fn options(self) -> &'a RequestOptions {
        self.options
    }

    /// The buyer of a new hold.
    pub(super) fn owner(self) -> Option<Owner> {
        self.options.owner
    }

    /// Whether a new hold is kept until it is shipped.
    pub(super) fn keeps_until_shipped(self) -> bool {
        self.options.keep_until_shipped
    }

    /// The same call, which takes effect at `now`.
    #[inline]
    pub(super) fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }

    /// The same call, with its one reading of the clock: all that it stamps, and every time that it
    /// counts from, is that. A call with a key has read it when it claimed the key, so that the key
    /// is as old as its record. Any other reads it here, once it is admitted, which may have
    /// waited.
    #[inline]
    pub(super) fn timed(self) -> Self {
        if self.now == NOT_READ { self.at(self.engine.now()) } else { self }
    }

    /// When the call takes effect: the one reading of the clock that goes into its record and its
    /// holds.
    #[inline]
    pub(super) fn now(self) -> Timestamp {
        debug_assert!(
            self.now != NOT_READ || self.engine.now() == NOT_READ,
            "the clock is read before anything is dated"
        );
        self.now
    }

    /// Whether the record of a movement needs more than one plain entry: it has notes or a key.
    #[inline]
    pub(super) fn needs_record_buffer(self) -> bool {
        !self.options.notes.is_empty() || self.key.is_some()
    }

    /// Whether the record of a new hold needs more than one plain entry.
    #[inline]
    pub(super) fn hold_needs_record_buffer(self) -> bool {
        self.needs_record_buffer() || self.keeps_until_shipped()
    }

    /// Runs an operation under the caller's idempotency key, if there is one. The first call under
    /// a key runs; every later one gets its answer. A refusal is not stored, so a retry runs again.
    ///
    /// Returns once the answer is as durable as the options ask for. May wait for another call
    /// under the same key, and for the disk.
    #[inline]
    pub(super) fn keyed<T: StoredAnswer, E: MutationError + From<KeyError> + From<InvalidText>>(
        self,
        kind: OperationKind,
        shape: impl FnOnce(&mut RequestShape),
        run: impl FnOnce(Call<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        if !self.options.notes.is_empty() {
            self.check_text("")?;
            self.check_note_names(kind.own_names())?;
        }
        let answer = match self.options.key {
            None => run(self),
            Some(key) => self.under_key(key, shape, run),
        };
        self.engine.once_durable(kind, self.options.durability, answer)
    }

    /// Refuses a call whose record would have too much text: its notes, and `own`, the source or
    /// the reason that it takes. What the journal's encoder gets is bounded here.
    pub(super) fn check_text(self, own: &str) -> Result<(), InvalidText> {
        let notes = &self.options.notes;
        self.engine.text_limits.admit(notes.len(), notes.bytes() + own.len())
    }

    /// Refuses notes of the same name, and notes of a name under which the call itself can write
    /// something. So each name stands once in an entry, and a redaction that looks for a value
    /// finds it.
    pub(super) fn check_note_names(self, own: &[&str]) -> Result<(), InvalidText> {
        match self.options.notes.first_name() {
            // No name comes twice.
            Some(name) if self.options.notes.len() == 1 && own.contains(&name) => {
                Err(InvalidText::NameTaken { note: 0 })
            }
            Some(_) if self.options.notes.len() > 1 => self.check_many_names(own),
            _ => Ok(()),
        }
    }

    #[cold]
    fn check_many_names(self, own: &[&str]) -> Result<(), InvalidText> {
        let place = |note: usize| u32::try_from(note).unwrap_or(u32::MAX);
        let names = || self.options.notes.iter().map(|(name, _)| name);
        let taken = names().position(|name| own.contains(&name));
        // Few names are sooner compared than hashed.
        let twice = if self.options.notes.len() <= COMPARED {
            names().enumerate().find_map(|(note, name)| {
                let first = names().take(note).position(|known| known == name)?;
                Some((first, note))
            })
        } else {
            let mut seen = HashMap::with_capacity(self.options.notes.len());
            names().enumerate().find_map(|(note, name)| Some((seen.insert(name, note)?, note)))
        };
        // The first note that is wrong.
        match (taken, twice) {
            (taken, Some((first, second))) if taken.is_none_or(|taken| second < taken) => {
                Err(InvalidText::NameTwice { first: place(first), second: place(second) })
            }
            (Some(note), _) => Err(InvalidText::NameTaken { note: place(note) }),
            (None, _) => Ok(()),
        }
    }

    #[inline(never)]
    fn under_key<T: StoredAnswer, E: From<KeyError>>(
        self,
        key: IdempotencyKey,
        shape: impl FnOnce(&mut RequestShape),
        run: impl FnOnce(Call<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut print = RequestShape::new();
        shape(&mut print);
        let fingerprint = print.of_hold(self.options()).finish();
        self.engine.claimed(KeyName::Caller(key), fingerprint, self.options(), |now| {
            run(Call { key: Some(&KeyedCall { key, fingerprint }), ..self.at(now) })
        })
    }
}

impl Engine {
    /// Runs an operation under a name that one call at a time can claim, and tells it the moment
    /// from which the name's lifetime counts. A repeat gets the stored answer.
    pub(super) fn claimed<T: StoredAnswer, E: From<KeyError>>(
        &self,
        name: KeyName,
        fingerprint: u128,
        options: &RequestOptions,
        run: impl FnOnce(Timestamp) -> Result<T, E>,
    ) -> Result<T, E> {
        let again = |answer| T::again(answer).ok_or(KeyError::Conflict.into());
        match self.keys.claim(&name, fingerprint, self.now(), self.on_duplicate) {
            // Cannot fail in practice: an answer of another kind has another fingerprint.
            KeyClaim::Repeat(answer) => {
                Answer::from_bytes(&answer).map_or(Err(KeyError::Conflict.into()), again)
            }
            KeyClaim::Conflict => Err(KeyError::Conflict.into()),
            KeyClaim::Busy => Err(KeyError::InProgress.into()),
            KeyClaim::Behind => {
                // A new segment is begun by the writer, in a turn.
                drop(self.flush());
                self.journal.iter().for_each(|journal| journal.hurry_keys());
                Err(KeyError::Behind.into())
            }
            KeyClaim::Full => Err(KeyError::Full { keys: self.keys.most() }.into()),
            KeyClaim::First(claim) => {
                // If `run` is refused or panics, dropping the unpublished claim withdraws the
                // claim.
                let now = self.now();
                if let Some(journal) = &self.journal {
                    // The marker is in place, so nobody else runs this key. Whatever left memory
                    // was on the disk before: a claim that finds nothing in memory finds it there.
                    match journal.kept_answer(&name, now, options)? {
                        Some((known, _)) if known != fingerprint => {
                            return Err(KeyError::Conflict.into());
                        }
                        Some((_, answer)) => {
                            return again(answer);
                        }
                        None => {}
                    }
                }
                let answer = run(now)?;
                claim.publish(answer.into().to_bytes(), now);
                Ok(answer)
            }
        }
    }
}

impl Engine {
    /// The answer that is stored under a caller's key, in memory or in the outcome files. May read
    /// the disk.
    ///
    /// # Errors
    /// [`KeyError::Gathering`] if nobody knows now.
    pub(super) fn stored_answer(&self, key: &IdempotencyKey) -> Result<Option<Answer>, KeyError> {
        let (name, now) = (KeyName::Caller(*key), self.now());
        // First memory, then the files: what left memory in between is in them.
        let known = self.keys.get(&name, now).and_then(|known| Answer::from_bytes(&known));
        let Some(journal) = self.journal.as_ref().filter(|_| known.is_none()) else {
            return Ok(known);
        };
        let kept = journal.kept_answer(&name, now, RequestOptions::DEFAULT)?;
        Ok(kept.map(|(_, answer)| answer))
    }
}

/// Builds the fingerprint of a request from everything that the caller passed.
///
/// Fingerprints are stored in journals. The operation's word, and the order and kind of the fields,
/// must never change: a retry over an upgrade would become a conflict.
///
/// It is filled in place: it is large.
pub(super) struct RequestShape(Fingerprint);

impl RequestShape {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self(Fingerprint::new())
    }

    /// Begins with the operation's word.
    #[inline(always)]
    pub(super) fn named(&mut self, operation: &str) -> &mut Self {
        self.0.named(operation);
        self
    }

    /// Adds a level as the caller named it: by names and by handle are different requests.
    #[inline(always)]
    pub(super) fn level(&mut self, level: OwnLevel<'_>) -> &mut Self {
        match level {
            OwnLevel::Names(warehouse, product) => self.0.text(warehouse).text(product),
            OwnLevel::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn warehouse(&mut self, warehouse: OwnWarehouse<'_>) -> &mut Self {
        match warehouse {
            OwnWarehouse::Name(name) => self.0.text(name),
            OwnWarehouse::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn product(&mut self, product: OwnProduct<'_>) -> &mut Self {
        match product {
            OwnProduct::Name(name) => self.0.text(name),
            OwnProduct::Index(index) => self.0.number(u64::from(index.0)),
        };
        self
    }

    #[inline(always)]
    pub(super) fn units(&mut self, qty: Quantity) -> &mut Self {
        self.0.number(u64::from(qty.get()));
        self
    }

    /// Adds the number of lines that follow, or the units that a line asks for.
    #[inline(always)]
    pub(super) fn count(&mut self, count: usize) -> &mut Self {
        self.0.number(count as u64);
        self
    }

    #[inline(always)]
    pub(super) fn span(&mut self, span: Duration) -> &mut Self {
        self.0.number(span.as_secs()).number(u64::from(span.subsec_nanos()));
        self
    }

    #[inline(always)]
    pub(super) fn reservation(&mut self, id: ReservationId) -> &mut Self {
        self.0.id(id);
        self
    }

    #[inline(always)]
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        self.0.text(text);
        self
    }

    /// Adds the options of a new hold. They are part of every request's fingerprint, even if it
    /// makes no hold.
    #[inline(always)]
    fn of_hold(&mut self, options: &RequestOptions) -> &mut Self {
        match options.owner {
            Some(owner) => self.0.bytes(&owner.0),
            None => self.0.absent(),
        };
        if options.keep_until_shipped {
            self.text("keep-until-shipped");
        }
        self
    }

    /// Ends a chain of calls, for closures that return nothing.
    #[inline(always)]
    pub(super) fn end(&mut self) {}

    #[inline(always)]
    fn finish(&self) -> u128 {
        self.0.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Records leave out the fingerprints of these calls.
    #[cfg(feature = "journal")]
    #[test]
    fn usual_fingerprints_are_those_of_the_calls() {
        use crate::audit::entry::AdjustmentType;
        use crate::audit::record::{RecordBuf, Subject};
        use crate::journal::format::usual::usual_fingerprint;
        use crate::stock::handle::LevelIndex;

        let id = ReservationId::from_halves([1, 2]);
        for (millis, owner) in [(90_250, Some(Owner([5; 16]))), (1, None)] {
            let options = RequestOptions { owner, ..RequestOptions::default() };
            let (ttl, at) = (Duration::from_millis(millis), Timestamp::from_millis(77));
            let level = OwnLevel::Index(LevelIndex(9));
            let qty = Quantity::new(3).expect("legal");
            let mut record = RecordBuf::default();
            record.header.at = at;
            (record.header.reservation, record.header.owner) = (Some(id), owner);
            record.header.expires_at = Some(at.saturating_add(ttl));
            record.line(AdjustmentType::Reserved, Subject::Level(LevelIndex(9)), 3, None);
            let mut shape = RequestShape::new();
            shape.named("reserve").level(level).units(qty).span(ttl).of_hold(&options);
            assert_eq!(usual_fingerprint(&record), Some(shape.finish()));
            record.lines[0].entry_type = AdjustmentType::Sold.into();
            let mut shape = RequestShape::new();
            shape.named("confirm").reservation(id).of_hold(RequestOptions::DEFAULT);
            assert_eq!(usual_fingerprint(&record), Some(shape.finish()));
            record.line(AdjustmentType::Sold, Subject::Level(LevelIndex(9)), 3, None);
            assert_eq!(usual_fingerprint(&record), None);
        }
    }

    /// Words that came after the newest golden set. Journals hold their fingerprints.
    #[test]
    fn the_fingerprints_of_later_words_stay_for_ever() {
        let id = ReservationId::from_halves([1, 2]);
        let print = |options: &RequestOptions| {
            let mut shape = RequestShape::new();
            shape.named("confirm-or-retake-whole").reservation(id).of_hold(options).finish()
        };
        let keep = RequestOptions { keep_until_shipped: true, ..RequestOptions::default() };
        assert_eq!(print(RequestOptions::DEFAULT), 0xfcfc2862_ac98041c_f171bed5_78d0c152);
        assert_eq!(print(&keep), 0xc794f64a_c59cd1d0_c52938ca_4ff1ee9b);
        // A `confirm` that asks for nothing more has the fingerprint that it always had.
        let mut confirm = RequestShape::new();
        confirm.named("confirm").reservation(id);
        let plain = Fingerprint::new().named("confirm").id(id).absent().finish();
        assert_eq!(confirm.of_hold(RequestOptions::DEFAULT).finish(), plain);
    }
}
