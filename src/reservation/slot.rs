//! One slot: the cache line in which a hold lives.
//!
//! All fields are atomics, written only by the thread that has the slot to itself (state `Vacant`),
//! and read by anyone, who validates what was read by the id and the state word (Law 3). That costs
//! nothing on the machine and keeps `unsafe` out.
//!
//! A reservation with several lines is a *chain* of slots. The first, its *head*, bears id, owner
//! and status; the others bear a line each, and the head's number and a generation of it, so that a
//! reader who followed a stale link notices. `chain.rs` tells how a head leads to them, and `line.rs`
//! how a line is packed.

use crate::clock::Timestamp;
use crate::reservation::chain::{Chain, NO_SLOT, SlotNumber};
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::line::{Line, NOTE, settled_from};
use crate::reservation::state::{Phase, State, StateCell};
use crate::stock::handle::LevelHandle;
use crate::sync::{AtomicU64, MODELLED, Ordering, fence};

/// What a slot says of a reservation of one line, or of the first line of a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    /// The head's own line: no step has touched it, or the chain is whole and it means nothing.
    pub(crate) line: Line,
    /// What leads to the other lines.
    pub(crate) chain: Chain,
}

/// A cache line of atomics.
#[derive(Debug)]
#[cfg_attr(not(all(loom, feature = "loom")), repr(align(64)))]
pub(crate) struct Slot {
    state: StateCell,
    /// Head: the id. Later slot: the head's number and generation; then the line's steps.
    name: [AtomicU64; 2],
    /// Head: the owner. Note: the id of the reservation that this one is a retake of.
    owner: [AtomicU64; 2],
    /// Level, held.
    line: AtomicU64,
    /// What was shipped or cancelled of what the line sold.
    settled: AtomicU64,
    /// Head: the chain. Later slot: the number of the next one.
    next: AtomicU64,
}

const _: () = assert!(MODELLED || size_of::<Slot>() == 64, "a slot is one cache line");

impl Slot {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            state: StateCell::new(),
            name: [zero(), zero()],
            owner: [zero(), zero()],
            line: zero(),
            settled: zero(),
            next: AtomicU64::new(Chain::NONE.bits()),
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.load()
    }

    /// One step of the state machine: the single winner of every race (Law 3).
    pub(crate) fn swap(&self, from: State, to: State) -> Result<(), State> {
        self.state.swap(from, to)
    }

    /// Ends what [`swap`](Self::swap) to `Ending` began: the tenant's final phase, or back to
    /// `Pending` under a next generation. Only the winner of that swap may call it.
    pub(crate) fn finish(&self, state: State) {
        self.state.publish(state);
    }

    /// Takes a slot that came off the free ones away from its former tenant. Returns the vacant
    /// state and the former tenant's birth (of a later line, and where a slot was put back unused:
    /// unknown, and so as late as can be), or what stands there if somebody is just changing the
    /// former tenant's record.
    #[inline]
    pub(crate) fn vacate(&self) -> Result<(State, Timestamp), State> {
        let former = self.state.load();
        if !former.phase().is_at_rest() {
            return Err(former);
        }
        let vacant = former.in_phase(Phase::Vacant).next_generation();
        self.state.swap(former, vacant)?;
        // Release pairs with the Acquire fence in `load_again`: whoever reads a field of the next
        // tenant sees at least this vacant word, and so knows.
        #[cfg(not(planted = "reuse_without_fence"))]
        fence(Ordering::Release);
        let birth = match former.phase() {
            Phase::Vacant if former == State::UNUSED => Timestamp::default(),
            Phase::Vacant | Phase::Line => Timestamp::MAX,
            _ => ReservationId::from_halves(self.read_name()).created_at(),
        };
        Ok((vacant, birth))
    }

    /// Moves a hold into this vacated slot; visible by id from here on.
    #[inline]
    pub(crate) fn admit(
        &self,
        vacant: State,
        tenant: &Tenant,
        phase: Phase,
        expires_at: Timestamp,
    ) {
        debug_assert_eq!(vacant.phase(), Phase::Vacant);
        self.write_name(tenant.id.to_halves());
        self.write_owner(tenant.owner.map_or([0; 2], Owner::to_halves));
        self.write_line(tenant.line, tenant.owner.is_some());
        self.write_next(tenant.chain.bits());
        self.state.publish(vacant.in_phase(phase).expiring_at(expires_at));
    }

    /// Makes this vacated slot a later line of the chain `name`.
    pub(crate) fn join(&self, vacant: State, name: ChainName, line: Line, next: SlotNumber) {
        self.write_name([name.word(), line.steps_word()]);
        self.write_line(line, false);
        self.write_next(next.into());
        self.state.publish(vacant.in_phase(Phase::Line));
    }

    /// Makes this vacated slot the note at the end of the chain `name` that says which reservation it retakes.
    pub(crate) fn join_as_note(&self, vacant: State, name: ChainName, of: ReservationId) {
        self.write_name([name.word(), 0]);
        self.write_owner(of.to_halves());
        self.write_line(Line::new(LevelHandle(NOTE), 0), false);
        self.write_next(NO_SLOT.into());
        self.state.publish(vacant.in_phase(Phase::Line));
    }

    /// The tenant of a head that bears `id`, with the state that it was read under.
    pub(crate) fn read(&self, id: ReservationId) -> Read {
        let state = self.state.load();
        let [high, low] = self.read_name();
        if [high, low] != id.to_halves() {
            // Validated too: who lived here, and when, is an answer.
            let certain =
                cfg!(planted = "unvalidated_stranger") || self.state.load_again() == state;
            let other = ReservationId::from_halves([high, low]);
            return if certain { Read::Stranger(other, state) } else { Read::Changed };
        }
        let tenant = self.read_tenant(state);
        if cfg!(not(planted = "unvalidated_read")) && self.state.load_again() != state {
            return Read::Changed;
        }
        match state.phase() {
            Phase::Vacant | Phase::Line => Read::Stranger(id, state),
            _ => Read::Tenant(tenant, state),
        }
    }

    /// The state of the slot if it is the head of `id`, and if that is certain at the first look.
    ///
    /// A pending state is not validated further: a caller will swap the whole word, and a state
    /// word does not recur. Any other state is an answer by itself, and so is looked at again.
    #[inline]
    pub(crate) fn state_of(&self, id: ReservationId) -> Option<State> {
        let state = self.state.load();
        let ours = self.read_name() == id.to_halves();
        let certain = match state.phase() {
            Phase::Pending => true,
            Phase::Vacant | Phase::Line => false,
            _ => cfg!(planted = "unvalidated_state") || self.state.load_again() == state,
        };
        (ours && certain).then_some(state)
    }

    /// The fields, unvalidated: for the winner of a swap to `Ending`, who has them to itself.
    #[inline]
    pub(crate) fn read_tenant(&self, state: State) -> Tenant {
        let (line, has_owner) = self.read_line(0, state.generation());
        Tenant {
            id: ReservationId::from_halves(self.read_name()),
            owner: has_owner.then(|| Owner::from_halves(self.read_owner())),
            line,
            chain: self.chain(),
        }
    }

    /// What leads from this head to its other lines. Unvalidated, as the fields are.
    pub(crate) fn chain(&self) -> Chain {
        // Relaxed: before a reader follows the word, it looks at the state again. The Acquire fence there
        // pairs with the Release in `switch_chain`: it finds the slots that the word leads to, and sees at
        // least the `Ending` in which it was stored.
        Chain::from_bits(self.next.load(Ordering::Relaxed))
    }

    /// Replaces all lines of this head at one instant. Only the winner of a swap to `Ending` may call
    /// it, with a chain whose slots it has joined.
    pub(crate) fn switch_chain(&self, chain: Chain) {
        // Release pairs with the Acquire fence in `load_again`: see `chain`.
        let relaxed = cfg!(planted = "chain_switched_relaxed");
        self.next.store(chain.bits(), if relaxed { Ordering::Relaxed } else { Ordering::Release });
    }

    /// How the reservation in this head ended, found over in `state`: one that is confirmed may have
    /// given its last units back. `None` if its record has changed since.
    pub(crate) fn end(&self, state: State) -> Option<Phase> {
        let end = self.chain().end(state.phase());
        (self.state.load_again() == state).then_some(end)
    }

    /// The slot after this one in a chain, unvalidated: for whoever has the chain to itself.
    pub(crate) fn following(&self) -> SlotNumber {
        self.chain().first()
    }

    /// A later slot of the chain `name`, while its head is in the state `seen`.
    pub(crate) fn read_link(&self, name: ChainName, seen: State) -> ReadLink {
        let state = self.state.load();
        let ours = self.is_link(state, name);
        let (line, _) = self.read_line(self.name[1].load(Ordering::Relaxed), seen.generation());
        let next = self.following();
        let content = if line.level.0 == NOTE {
            LinkContent::RetakenFrom(ReservationId::from_halves(self.read_owner()))
        } else {
            LinkContent::Line(line)
        };
        if cfg!(not(planted = "unvalidated_link")) && self.state.load_again() != state {
            return ReadLink::Changed;
        }
        if ours { ReadLink::Found { content, next } } else { ReadLink::Gone }
    }

    fn is_link(&self, state: State, name: ChainName) -> bool {
        matches!(state.phase(), Phase::Line | Phase::Settling)
            && self.name[0].load(Ordering::Relaxed) == name.word()
    }

    /// Keeps a later slot of the chain from being reused until [`release_link`](Self::release_link).
    pub(crate) fn keep_link(&self, name: ChainName) -> KeepLink {
        let state = self.state.load();
        if !self.is_link(state, name) {
            return KeepLink::Gone;
        }
        if state.phase() == Phase::Settling {
            return KeepLink::Busy;
        }
        if cfg!(planted = "link_not_kept") {
            return KeepLink::Kept;
        }
        // The name was not validated, but the swap is of the whole word, and that is another one if
        // the slot has been reused since.
        match self.state.swap(state, state.in_phase(Phase::Settling)) {
            Ok(()) => KeepLink::Kept,
            Err(now) if now.phase() == Phase::Settling => KeepLink::Busy,
            Err(_) => KeepLink::Gone,
        }
    }

    /// Lets go of a slot that [`keep_link`](Self::keep_link) kept.
    pub(crate) fn release_link(&self) {
        if cfg!(planted = "link_not_kept") {
            return;
        }
        self.state.publish(self.state.load().in_phase(Phase::Line));
    }

    /// Writes down how many sold units of this slot's line are shipped or cancelled; it counts from
    /// the head's `generation` on. Only the winner of a swap of the head to `Settling` may call it.
    pub(crate) fn write_settled(&self, generation: u32, units: u32) {
        // Release pairs with the Acquire fence in `load_again`: whoever reads the new number sees at
        // least the `Settling` before it, and so knows. The swap alone would not order them.
        #[cfg(not(planted = "sales_without_fence"))]
        fence(Ordering::Release);
        let word = self.settled.load(Ordering::Relaxed);
        self.settled.store(settled_from(word, generation, units), Ordering::Relaxed);
    }

    // The fields. All Relaxed: writes are published by the Release store of the state word, reads
    // follow its Acquire load and are validated by `load_again`.

    fn write_name(&self, [first, second]: [u64; 2]) {
        self.name[0].store(first, Ordering::Relaxed);
        self.name[1].store(second, Ordering::Relaxed);
    }

    fn read_name(&self) -> [u64; 2] {
        [self.name[0].load(Ordering::Relaxed), self.name[1].load(Ordering::Relaxed)]
    }

    fn write_owner(&self, [first, second]: [u64; 2]) {
        self.owner[0].store(first, Ordering::Relaxed);
        self.owner[1].store(second, Ordering::Relaxed);
    }

    fn read_owner(&self) -> [u64; 2] {
        [self.owner[0].load(Ordering::Relaxed), self.owner[1].load(Ordering::Relaxed)]
    }

    fn write_line(&self, line: Line, has_owner: bool) {
        self.line.store(line.word(has_owner), Ordering::Relaxed);
        self.settled.store(line.settled_word(), Ordering::Relaxed);
    }

    fn read_line(&self, steps: u64, generation: u32) -> (Line, bool) {
        let line = self.line.load(Ordering::Relaxed);
        Line::from_words(line, steps, self.settled.load(Ordering::Relaxed), generation)
    }

    fn write_next(&self, next: u64) {
        self.next.store(next, Ordering::Relaxed);
    }
}

/// What a look at a slot for an id found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The reservation, and the state that it was read under.
    Tenant(Tenant, State),
    /// Somebody else lives here, or nobody; the id that the slot bears now, or bore last.
    Stranger(ReservationId, State),
    /// The slot changed under the look: look again.
    Changed,
}

/// What a look at a later slot of a chain found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadLink {
    Found {
        content: LinkContent,
        next: SlotNumber,
    },
    /// The slot is another's now: it has been reused, or the chain was replaced.
    Gone,
    /// The slot changed under the look: look again.
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

/// What a later slot of a chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkContent {
    Line(Line),
    /// The reservation is a retake of this one.
    RetakenFrom(ReservationId),
}

/// What the later slots of a chain bear: the slot that is its head, and that head's generation in which
/// it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainName {
    pub(crate) head: SlotNumber,
    pub(crate) generation: u32,
}

impl ChainName {
    /// As a slot stores it. With the line's steps behind it, it is never taken for an id: those lack an
    /// id's variant bits.
    fn word(self) -> u64 {
        u64::from(self.head) << 32 | u64::from(self.generation)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_birth_of_whoever_may_have_lived_in_a_slot_is_never_taken_too_early() {
        let moment = Timestamp::from_millis;
        let slot = Slot::new();
        let line = Line::new(LevelHandle(0), 1);
        let birth_of_former = || slot.vacate().expect("over");
        let (vacant, birth) = birth_of_former();
        assert_eq!(birth, Timestamp::default(), "nobody lived here");

        let id = ReservationId::new(moment(50), 0, 1);
        let tenant = Tenant { id, owner: None, line, chain: Chain::NONE };
        slot.admit(vacant, &tenant, Phase::Released, moment(60));
        let (vacant, birth) = birth_of_former();
        assert_eq!(birth, moment(50));

        slot.join(vacant, ChainName { head: 7, generation: 1 }, line, NO_SLOT);
        assert_eq!(birth_of_former().1, Timestamp::MAX, "a later line bears no birth");
        // Put back without a tenant, the slot still bears that line's name.
        assert_eq!(birth_of_former().1, Timestamp::MAX);
    }
}
