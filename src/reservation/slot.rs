//! One slot: the cache line in which a hold lives.
//!
//! All fields are atomics, written only by the thread that has the slot to itself (state `Vacant`),
//! and read by anyone, who validates what was read by the id and the state word (Law 3). That costs
//! nothing on the machine and keeps `unsafe` out.
//!
//! A reservation with several lines is a *chain* of slots. The first, its *head*, bears id, owner
//! and status; the others bear a line each, and the head's number and generation, so that a reader
//! who followed a stale link notices.

use crate::clock::Timestamp;
use crate::reservation::id::{Owner, ReservationId};
use crate::reservation::state::{Phase, State, StateCell};
use crate::stock::handle::LevelHandle;
use crate::sync::{AtomicU64, Ordering, fence};

/// The number of a slot: what an id carries instead of a key to hash.
pub(crate) type SlotNumber = u32;

/// No slot: the end of a chain.
pub(crate) const NO_SLOT: SlotNumber = SlotNumber::MAX;

/// The level that a line names when it is no line of stock, but a note: see [`Tenant::retaken_from`].
const NOTE: u32 = u32::MAX;

/// What a slot says of a reservation of one line, or of the first line of a basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tenant {
    pub(crate) id: ReservationId,
    pub(crate) owner: Option<Owner>,
    pub(crate) line: Line,
    /// The slot of the next line.
    pub(crate) next: SlotNumber,
}

/// One line of a reservation: units of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) level: LevelHandle,
    /// Units under hold; those that the end of the hold sold or gave back, once it is over.
    pub(crate) held: u32,
    /// Units sold by partial confirms before the end.
    pub(crate) sold: u32,
    /// Units that were sold and have since been shipped or cancelled by reservation.
    pub(crate) settled: u32,
}

impl Line {
    /// A line of a new hold.
    pub(crate) fn new(level: LevelHandle, held: u32) -> Self {
        Self { level, held, sold: 0, settled: 0 }
    }
}

/// A cache line of atomics.
#[derive(Debug)]
#[cfg_attr(not(all(loom, feature = "loom")), repr(align(64)))]
pub(crate) struct Slot {
    state: StateCell,
    /// Head: the id. Later line: the head's number and generation in the first word.
    name: [AtomicU64; 2],
    /// Head: the owner. Note: the id of the reservation that this one is a retake of.
    owner: [AtomicU64; 2],
    /// Level (32 bits), "has an owner" (1), held (31).
    line: AtomicU64,
    /// Sold (32 bits), settled (32).
    sales: AtomicU64,
    /// The slot of the next line.
    next: AtomicU64,
}

#[cfg(not(all(loom, feature = "loom")))]
const _: () = assert!(size_of::<Slot>() == 64, "a slot is one cache line");

const HAS_OWNER: u64 = 1 << 31;
const HELD_MASK: u64 = HAS_OWNER - 1;

impl Slot {
    pub(crate) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            state: StateCell::new(),
            name: [zero(), zero()],
            owner: [zero(), zero()],
            line: zero(),
            sales: zero(),
            next: AtomicU64::new(u64::from(NO_SLOT)),
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
    pub(crate) fn vacate(&self) -> Result<(State, Timestamp), State> {
        let former = self.state.load();
        if !matches!(former.phase(), Phase::Vacant | Phase::Line) && !former.phase().is_final() {
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
    pub(crate) fn admit(
        &self,
        vacant: State,
        tenant: &Tenant,
        phase: Phase,
        expires_at: Timestamp,
    ) {
        debug_assert_eq!(vacant.phase(), Phase::Vacant);
        self.write_name(tenant.id.to_halves());
        self.write_owner(tenant.owner.map_or([0; 2], owner_to_halves));
        self.write_line(tenant.line, tenant.owner.is_some());
        self.write_next(tenant.next);
        self.state.publish(vacant.in_phase(phase).expiring_at(expires_at));
    }

    /// Makes this vacated slot a later line of the chain whose head is slot `head` in `generation`.
    pub(crate) fn join(
        &self,
        vacant: State,
        head: SlotNumber,
        generation: u32,
        line: Line,
        next: SlotNumber,
    ) {
        self.write_name(link(head, generation));
        self.write_line(line, false);
        self.write_next(next);
        self.state.publish(vacant.in_phase(Phase::Line));
    }

    /// Makes this vacated slot the note at the end of a chain that says which reservation it retakes.
    pub(crate) fn join_as_note(
        &self,
        vacant: State,
        head: SlotNumber,
        generation: u32,
        of: ReservationId,
    ) {
        self.write_name(link(head, generation));
        self.write_owner(of.to_halves());
        self.write_line(Line::new(LevelHandle(NOTE), 0), false);
        self.write_next(NO_SLOT);
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
        let tenant = self.read_tenant();
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
    pub(crate) fn read_tenant(&self) -> Tenant {
        let (line, has_owner) = self.read_line();
        Tenant {
            id: ReservationId::from_halves(self.read_name()),
            owner: has_owner.then(|| owner_from_halves(self.read_owner())),
            line,
            next: self.read_next(),
        }
    }

    /// The line of a later slot of the chain of `head` in `generation`; `None` if it is no such.
    pub(crate) fn read_link(&self, head: SlotNumber, generation: u32) -> Option<Link> {
        let state = self.state.load();
        let ours = state.phase() == Phase::Line && self.read_name() == link(head, generation);
        let (line, _) = self.read_line();
        let next = self.read_next();
        let content = if line.level.0 == NOTE {
            LinkContent::RetakenFrom(ReservationId::from_halves(self.read_owner()))
        } else {
            LinkContent::Line(line)
        };
        let certain = cfg!(planted = "unvalidated_link") || self.state.load_again() == state;
        (ours && certain).then_some(Link { content, next })
    }

    /// Notes units of a finished record that were shipped or cancelled by reservation. Only the
    /// winner of a swap to `Ending` may call it.
    #[allow(dead_code, reason = "partial steps, which are built next, note sales")]
    pub(crate) fn write_sales(&self, sold: u32, settled: u32) {
        // Release pairs with the Acquire fence in `load_again`: whoever reads the new sales sees at
        // least the `Ending` before them, and so knows. The swap alone would not order them.
        #[cfg(not(planted = "sales_without_fence"))]
        fence(Ordering::Release);
        self.store_sales(sold, settled);
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
        let owner = if has_owner { HAS_OWNER } else { 0 };
        let packed = u64::from(line.level.0) << 32 | owner | u64::from(line.held);
        self.line.store(packed, Ordering::Relaxed);
        self.store_sales(line.sold, line.settled);
    }

    fn store_sales(&self, sold: u32, settled: u32) {
        self.sales.store(u64::from(sold) << 32 | u64::from(settled), Ordering::Relaxed);
    }

    fn read_line(&self) -> (Line, bool) {
        let packed = self.line.load(Ordering::Relaxed);
        let sales = self.sales.load(Ordering::Relaxed);
        let line = Line {
            level: LevelHandle((packed >> 32) as u32),
            held: (packed & HELD_MASK) as u32,
            sold: (sales >> 32) as u32,
            settled: sales as u32,
        };
        (line, packed & HAS_OWNER != 0)
    }

    fn write_next(&self, next: SlotNumber) {
        self.next.store(u64::from(next), Ordering::Relaxed);
    }

    fn read_next(&self) -> SlotNumber {
        self.next.load(Ordering::Relaxed) as SlotNumber
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

/// A later slot of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) content: LinkContent,
    pub(crate) next: SlotNumber,
}

/// What a later slot of a chain says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkContent {
    Line(Line),
    /// The reservation is a retake of this one.
    RetakenFrom(ReservationId),
}

/// How a later line names its head.
fn link(head: SlotNumber, generation: u32) -> [u64; 2] {
    [u64::from(head) << 32 | u64::from(generation), 0]
}

fn owner_to_halves(owner: Owner) -> [u64; 2] {
    let whole = u128::from_be_bytes(owner.0);
    [(whole >> 64) as u64, whole as u64]
}

fn owner_from_halves([high, low]: [u64; 2]) -> Owner {
    Owner((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
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
        let tenant = Tenant { id, owner: None, line, next: NO_SLOT };
        slot.admit(vacant, &tenant, Phase::Released, moment(60));
        let (vacant, birth) = birth_of_former();
        assert_eq!(birth, moment(50));

        slot.join(vacant, 7, 1, line, NO_SLOT);
        assert_eq!(birth_of_former().1, Timestamp::MAX, "a later line bears no birth");
        // Put back without a tenant, the slot still bears that line's name.
        assert_eq!(birth_of_former().1, Timestamp::MAX);
    }
}
