//! A call: one operation under way, with its options, its idempotency key and its time.

use std::collections::HashMap;

use crate::base::clock::Timestamp;
use crate::base::error::{InvalidText, KeyError, MutationError};
use crate::engine::Engine;
use crate::engine::answer::{Answer, StoredAnswer};
use crate::engine::durability::OperationKind;
use crate::engine::request_options::{RequestOptions, SafetyStock};
use crate::engine::request_shape::RequestShape;
use crate::idempotency::{IdempotencyKey, KeyClaim, KeyName};
use crate::reservation::id::Owner;

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

    /// What it does with the safety stock.
    pub(super) fn safety_stock(self) -> SafetyStock {
        self.options.safety_stock
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
        let notes = &self.options.notes;
        match notes.first_name() {
            None => Ok(()),
            // No name comes twice.
            Some(only) if notes.len() == 1 && !own.contains(&only) => Ok(()),
            Some(_) => self.check_each_name(own),
        }
    }

    #[cold]
    fn check_each_name(self, own: &[&str]) -> Result<(), InvalidText> {
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
