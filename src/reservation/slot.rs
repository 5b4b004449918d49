//! One slot: the cache line that holds a reservation, or one line of a basket.
//!
//! ```text
//!             +--------------------------------------------------------------+
//!   state     | the state word: phase, generation, expiry (state.rs)         |
//!             +-------------------------------+------------------------------+
//!   name      | head: id, upper half          | head: id, lower half         |
//!             | later: head slot | generation | later: sold | given back     |
//!             +-------------------------------+------------------------------+
//!   owner     | head: the owner               | note: id of the retaken one  |
//!             +-------------------------------+------------------------------+
//!   line      | level, held (line.rs)         |
//!   settled   | settled, two copies (line.rs) |
//!   next      | head: chain word (chain.rs)   |
//!             | later: number of the next one |
//!             +-------------------------------+
//! ```
//!
//! All fields are atomics. Only the thread that has the slot to itself (state `Vacant`) writes
//! them. Anyone may read them, and validates what it read by the id and the state word (Law 3): a
//! seqlock read. Atomics cost nothing extra on the machine, and they avoid `unsafe`.
//!
//! A reservation with several lines, or with draws on allowances (`slot/draw.rs`), is a *chain* of
//! slots. The first, its *head*, holds id, owner and status. Each later slot holds one line, one
//! draw or a note, and the head's number with a generation of it, so that a reader that followed a
//! stale link notices. `chain.rs` explains how a head leads to them, and `line.rs` how a line is
//! packed.

pub(crate) mod draw;

use self::draw::SlotDraw;
use crate::base::clock::Timestamp;
use crate::base::lines::Line;
use crate::base::sync::{Fenced, Ordering, fence};
use crate::reservation::chain::{Chain, SlotNumber};
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::{DRAW, NOTE, SlotLine, settled_from};
use crate::reservation::state::{Phase, SlotState, StateCell};
use crate::stock::handle::LevelIndex;

/// What the head of a reservation says: its one line, or the first line of a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReservationRecord {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    /// The head's own line. No partial step has touched it; if the chain is whole, it means
    /// nothing.
    pub(crate) line: SlotLine,
    /// The chain to the other lines.
    pub(crate) chain: Chain,
}

/// A slot: one line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<'t>(&'t Line);

// The words of the line. The state word comes first, and with it the rest of the line.
const STATE: usize = 0;
/// Head: the id. Later slot: the head's number and generation, then the line's earlier steps.
const NAME: [usize; 2] = [1, 2];
/// Head: the owner. Note: the id of the reservation that this one retakes.
const OWNER: [usize; 2] = [3, 4];
/// Level and held units.
const LINE: usize = 5;
/// How many units of the line were shipped, or their sale cancelled.
const SETTLED: usize = 6;
/// Head: the chain word. Later slot: the number of the next one. Stored so that zero, with which a
/// line begins, leads nowhere.
const NEXT: usize = 7;
const NOWHERE: u64 = Chain::NONE.bits();

impl<'t> Slot<'t> {
    /// The slot in this line.
    #[inline(always)]
    pub(crate) fn new(line: &'t Line) -> Self {
        Self(line)
    }

    #[inline(always)]
    fn state_cell(self) -> StateCell<'t> {
        StateCell::new(&self.0[STATE])
    }

    /// Loads a word of the slot, which says nothing by itself: so that the line comes into the
    /// cache.
    #[inline(always)]
    pub(crate) fn load(self) -> u64 {
        self.0[STATE].load(Ordering::Relaxed)
    }

    pub(crate) fn state(self) -> SlotState {
        self.state_cell().load()
    }

    /// One step of the state machine. Its one winner decides every race (Law 3).
    pub(crate) fn swap(self, from: SlotState, to: SlotState) -> Result<(), SlotState> {
        self.state_cell().swap(from, to)
    }

    /// Ends what [`swap`](Self::swap) to `Ending` began: stores the final phase, or `Pending` again
    /// under the next generation. Only the winner of that swap may call it.
    pub(crate) fn finish(self, state: SlotState) {
        self.state_cell().publish(state);
    }

    /// The state of a slot that this thread has off the free list, and since when its last
    /// reservation has had it: what the reservation's id says. It is `MAX` if that is unknown, in a
    /// later line and in a slot that was put back unused. `Err` holds the state if another thread
    /// is changing the record.
    #[inline]
    pub(crate) fn former(self) -> Result<(SlotState, Timestamp), SlotState> {
        let former = self.state_cell().load();
        if !former.phase().is_at_rest() {
            return Err(former);
        }
        let since = match former.phase() {
            Phase::Vacant if former == SlotState::UNUSED => Timestamp::default(),
            Phase::Vacant | Phase::Line => Timestamp::MAX,
            _ => self.named_since(),
        };
        Ok((former, since))
    }

    /// The state of such a slot, if its last reservation is over and began no later than `now`,
    /// which is the most common case.
    #[inline(always)]
    pub(crate) fn former_hold(self, now: Timestamp) -> Option<SlotState> {
        let former = self.state_cell().load();
        (former.phase().is_final() && self.named_since() <= now).then_some(former)
    }

    /// When the reservation began whose head this slot is, or was last. Only who has the slot off
    /// the free list writes a name, so for that thread it belongs to the state that it found.
    #[inline(always)]
    fn named_since(self) -> Timestamp {
        ReservationId::created_at_of(self.0[NAME[0]].load(Ordering::Relaxed))
    }

    /// Claims a slot from the free list, which was found in state `former`: swaps its state to
    /// `Vacant`, next generation. Returns that state, and the proof that a scan of what is due sees
    /// it, or is seen. `Err` holds the current state if another thread is changing the record.
    #[inline(always)]
    pub(crate) fn vacate(self, former: SlotState) -> Result<(SlotState, Fenced), SlotState> {
        let vacant = former.in_phase(Phase::Vacant).next_generation().taken();
        let taken = self.state_cell().swap_to_vacant(former, vacant)?;
        // Release pairs with the Acquire fence in `load_again`: whoever reads a field of the next
        // reservation sees at least this vacant word, and so notices. (In models the fence of
        // `sequenced` does the same, so the bug planted here leaves out both.)
        fence(Ordering::Release);
        Ok((vacant, taken))
    }

    /// Gives up a claim: the slot has no reservation, and is at rest. It stays `Vacant`, because
    /// its fields may be half another's: nobody takes it for the line or the head that it was.
    pub(crate) fn abandon(self, vacant: SlotState) {
        self.state_cell().publish(vacant.put_back());
    }

    /// Writes a reservation into this vacant slot. Its id finds it from here on.
    #[inline(always)]
    pub(crate) fn admit(
        self,
        vacant: SlotState,
        record: &ReservationRecord,
        phase: Phase,
        expires_at: Timestamp,
    ) {
        debug_assert_eq!(vacant.phase(), Phase::Vacant);
        self.write_name(record.id.to_halves());
        self.write_owner(record.owner.map_or([0; 2], Owner::to_halves));
        self.write_line(record.line, record.owner.is_some());
        self.write_next(record.chain.bits());
        self.state_cell().publish(vacant.in_phase(phase).expiring_at(expires_at));
    }

    /// Notes which slot comes after this vacant one, before either is published.
    #[inline]
    pub(crate) fn lead_to(self, next: SlotNumber) {
        self.write_next(next.into());
    }

    /// Makes this vacant slot a later one of the chain `name`, with this in it.
    #[inline(always)]
    pub(crate) fn join(
        self,
        vacant: SlotState,
        name: ChainName,
        content: LinkContent,
        next: SlotNumber,
    ) {
        match content {
            LinkContent::Line(line) => {
                self.write_name([name.word(), line.steps_word()]);
                self.write_line(line, false);
            }
            LinkContent::Draw(draw) => {
                self.0[NAME[0]].store(name.word(), Ordering::Relaxed);
                self.write_draw(&draw);
            }
            LinkContent::RetakenFrom(of) => {
                self.write_name([name.word(), 0]);
                self.write_owner(of.to_halves());
                self.write_line(SlotLine::new(LevelIndex(NOTE), 0), false);
            }
        }
        self.write_next(next.into());
        self.state_cell().publish(vacant.in_phase(Phase::Line));
    }

    /// The reservation of id `id`, if this slot is its head, and the state under which it was read.
    pub(crate) fn read(self, id: ReservationId) -> Read {
        let state = self.state_cell().load();
        let [high, low] = self.read_name();
        if [high, low] != id.to_halves() {
            // Validate this answer too: the caller uses whose slot it is, and since when.
            let certain = self.state_cell().load_again() == state;
            let other = ReservationId::from_halves([high, low]);
            return if certain { Read::OtherReservation(other, state) } else { Read::Changed };
        }
        let record = self.read_record(state);
        if self.state_cell().load_again() != state {
            return Read::Changed;
        }
        match state.phase() {
            Phase::Vacant | Phase::Line => Read::OtherReservation(id, state),
            _ => Read::Record(record, state),
        }
    }

    /// The state of the slot, if it is the head of `id`, pending. That needs no validation: the
    /// caller will swap the whole state word, and a state word does not recur.
    #[inline(always)]
    pub(crate) fn pending_state_of(self, id: ReservationId) -> Option<SlotState> {
        let state = self.state_cell().load();
        let ours = state.phase() == Phase::Pending && self.read_name() == id.to_halves();
        ours.then_some(state)
    }

    /// The state of the slot, if it is the head of `id` and the first look makes that certain.
    ///
    /// A pending state needs no validation, as above. Any other state is an answer by itself, so it
    /// is read again.
    #[inline]
    pub(crate) fn state_of(self, id: ReservationId) -> Option<SlotState> {
        let state = self.state_cell().load();
        let ours = self.read_name() == id.to_halves();
        let certain = match state.phase() {
            Phase::Pending => true,
            Phase::Vacant | Phase::Line => false,
            _ => self.state_cell().load_again() == state,
        };
        (ours && certain).then_some(state)
    }

    /// The fields, unvalidated: for the winner of a swap to `Ending`, which has them to itself.
    #[inline]
    pub(crate) fn read_record(self, state: SlotState) -> ReservationRecord {
        let (line, has_owner) = self.read_line(0, state.generation());
        ReservationRecord {
            id: ReservationId::from_halves(self.read_name()),
            owner: has_owner.then(|| Owner::from_halves(self.read_owner())),
            line,
            chain: self.chain(),
        }
    }

    /// The chain from this head to its other lines. Unvalidated, as the fields are.
    pub(crate) fn chain(self) -> Chain {
        // Relaxed: a reader reads the state again before it follows the word. The Acquire fence of
        // that read pairs with the Release in `switch_chain`. So the reader finds the slots that
        // the word leads to, and sees at least the `Ending` under which the word was stored.
        Chain::from_bits(self.0[NEXT].load(Ordering::Relaxed) ^ NOWHERE)
    }

    /// Replaces all lines of this head at one instant. Only the winner of a swap to `Ending` may
    /// call it, with a chain whose slots it has joined.
    pub(crate) fn switch_chain(self, chain: Chain) {
        // Release pairs with the Acquire fence in `load_again`: see `chain`.
        self.0[NEXT].store(chain.bits() ^ NOWHERE, Ordering::Release);
    }

    /// How the reservation in this head ended, found over in `state`. A confirmed one may have
    /// given its last units back. `None` if its record has changed since.
    pub(crate) fn end(self, state: SlotState) -> Option<Phase> {
        let end = self.chain().end(state.phase());
        (self.state_cell().load_again() == state).then_some(end)
    }

    /// The slot after this one in a chain. Unvalidated: for the thread that has the chain to
    /// itself.
    pub(crate) fn following(self) -> SlotNumber {
        self.chain().first()
    }

    /// Reads a later slot of the chain `name`, while its head is in state `seen`.
    pub(crate) fn read_link(self, name: ChainName, seen: SlotState) -> ReadLink {
        let state = self.state_cell().load();
        let ours = self.is_link(state, name);
        let (line, _) = self.read_line(self.0[NAME[1]].load(Ordering::Relaxed), seen.generation());
        let next = self.following();
        let content = match line.level.0 {
            NOTE => LinkContent::RetakenFrom(ReservationId::from_halves(self.read_owner())),
            DRAW => self.read_draw().map_or(LinkContent::Line(line), LinkContent::Draw),
            _ => LinkContent::Line(line),
        };
        if self.state_cell().load_again() != state {
            return ReadLink::Changed;
        }
        if ours { ReadLink::Found { content, next } } else { ReadLink::Gone }
    }

    fn is_link(self, state: SlotState, name: ChainName) -> bool {
        matches!(state.phase(), Phase::Line | Phase::Shipping)
            && self.0[NAME[0]].load(Ordering::Relaxed) == name.word()
    }

    /// Keeps a later slot of the chain from being reused until
    /// [`release_link`](Self::release_link).
    pub(crate) fn keep_link(self, name: ChainName) -> KeepLink {
        let state = self.state_cell().load();
        if !self.is_link(state, name) {
            return KeepLink::Gone;
        }
        if state.phase() == Phase::Shipping {
            return KeepLink::Busy;
        }
        // The name was not validated. The swap of the whole state word does it: after a reuse, that
        // word differs.
        match self.state_cell().swap(state, state.in_phase(Phase::Shipping)) {
            Ok(()) => KeepLink::Kept,
            Err(now) if now.phase() == Phase::Shipping => KeepLink::Busy,
            Err(_) => KeepLink::Gone,
        }
    }

    /// Lets go of a slot that [`keep_link`](Self::keep_link) kept.
    pub(crate) fn release_link(self) {
        self.state_cell().publish(self.state_cell().load().in_phase(Phase::Line));
    }

    /// Writes how many sold units of this slot's line are shipped or cancelled. The number counts
    /// from the head's `generation` on. Only the winner of a swap of the head to `Shipping` may
    /// call it.
    pub(crate) fn write_settled(self, generation: u32, units: u32) {
        // Release pairs with the Acquire fence in `load_again`: whoever reads the new number sees
        // at least the `Shipping` before it, and so notices. The swap alone would not order the
        // two.
        fence(Ordering::Release);
        let word = self.0[SETTLED].load(Ordering::Relaxed);
        self.0[SETTLED].store(settled_from(word, generation, units), Ordering::Relaxed);
    }

    // The fields. All Relaxed: the Release store of the state word publishes writes. Reads follow
    // its Acquire load, and `load_again` validates them.

    fn write_name(self, [first, second]: [u64; 2]) {
        self.0[NAME[0]].store(first, Ordering::Relaxed);
        self.0[NAME[1]].store(second, Ordering::Relaxed);
    }

    fn read_name(self) -> [u64; 2] {
        [self.0[NAME[0]].load(Ordering::Relaxed), self.0[NAME[1]].load(Ordering::Relaxed)]
    }

    fn write_owner(self, [first, second]: [u64; 2]) {
        self.0[OWNER[0]].store(first, Ordering::Relaxed);
        self.0[OWNER[1]].store(second, Ordering::Relaxed);
    }

    fn read_owner(self) -> [u64; 2] {
        [self.0[OWNER[0]].load(Ordering::Relaxed), self.0[OWNER[1]].load(Ordering::Relaxed)]
    }

    fn write_line(self, line: SlotLine, has_owner: bool) {
        self.0[LINE].store(line.word(has_owner), Ordering::Relaxed);
        self.0[SETTLED].store(line.settled_word(), Ordering::Relaxed);
    }

    fn read_line(self, steps: u64, generation: u32) -> (SlotLine, bool) {
        let line = self.0[LINE].load(Ordering::Relaxed);
        SlotLine::from_words(line, steps, self.0[SETTLED].load(Ordering::Relaxed), generation)
    }

    fn write_next(self, next: u64) {
        self.0[NEXT].store(next ^ NOWHERE, Ordering::Relaxed);
    }
}

/// What a slot holds, seen from one id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The reservation, and the state under which it was read.
    Record(ReservationRecord, SlotState),
    /// Another reservation, or none. Holds the id that the slot bears now, or bore last.
    OtherReservation(ReservationId, SlotState),
    /// The slot changed during the read: read again.
    Changed,
}

/// What a read of a later slot of a chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadLink {
    Found {
        content: LinkContent,
        next: SlotNumber,
    },
    /// The slot left the chain: it was reused, or the chain was replaced.
    Gone,
    /// The slot changed during the read: read again.
    Changed,
}

/// Whether a later slot of a chain could be kept from being reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeepLink {
    Kept,
    /// Another thread keeps it.
    Busy,
    /// It has been reused.
    Gone,
}

/// What a later slot of a chain holds: first the lines, then the draws, then a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkContent {
    Line(SlotLine),
    /// What one of the lines has drawn on an allowance.
    Draw(SlotDraw),
    /// The reservation is a retake of this one.
    RetakenFrom(ReservationId),
}

impl LinkContent {
    /// The draw, if it is one.
    pub(crate) fn draw(&self) -> Option<&SlotDraw> {
        if let Self::Draw(draw) = self { Some(draw) } else { None }
    }
}

/// The name of a chain, which its later slots bear: the slot of the head, and the head's
/// generation in which the chain was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainName {
    pub(crate) head: SlotNumber,
    pub(crate) generation: u32,
}

impl ChainName {
    /// As a slot stores it. Followed by the line's steps, it is never mistaken for an id, because
    /// it lacks an id's variant bits.
    ///
    /// ```text
    ///   63 ............. 32   31 ............. 0
    /// +---------------------+--------------------+
    /// |   slot of the head  |    generation      |
    /// +---------------------+--------------------+
    /// ```
    fn word(self) -> u64 {
        u64::from(self.head) << 32 | u64::from(self.generation)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::base::sync::AtomicU64;
    use crate::reservation::chain::NO_SLOT;

    #[test]
    fn a_slot_tells_since_when_its_last_reservation_had_it() {
        let moment = Timestamp::from_millis;
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        let slot = Slot::new(&words);
        let line = SlotLine::new(LevelIndex(0), 1);
        let take_again = || {
            let (former, since) = slot.former().expect("over");
            (slot.vacate(former).expect("over").0, since)
        };
        let (vacant, since) = take_again();
        assert_eq!(since, Timestamp::default(), "nobody lived here");

        let id = ReservationId::new(moment(50), 0, 1);
        let record = ReservationRecord { id, owner: None, line, chain: Chain::NONE };
        slot.admit(vacant, &record, Phase::Released, moment(60));
        let (vacant, since) = take_again();
        assert_eq!(since, moment(50));

        let content = LinkContent::Line(line);
        slot.join(vacant, ChainName { head: 7, generation: 1 }, content, NO_SLOT);
        assert_eq!(take_again().1, Timestamp::MAX, "a later line bears no creation time");
        // The slot was put back unused, so it still bears that line's name.
        assert_eq!(take_again().1, Timestamp::MAX);
    }
}
