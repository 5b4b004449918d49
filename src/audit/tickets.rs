//! The flushes that wait for the writer, and the group of callers that wait together.
//!
//! They are beside the queue, not in it, so a request for a flush never waits for room. Whoever
//! makes the writer's turn takes the tickets *before* it drains the queue, and then drains all
//! items that were in it. So everything that a caller queued before its request is in that batch or
//! in an earlier one.
//!
//! Callers that block until the journal is synced form a group. One of them leads: it makes the
//! writer's turn and syncs, for all that have joined by then. When its sync is over, it hands on to
//! one of those that joined meanwhile. So a caller alone waits for no other thread, and the callers
//! of a group share one write and one sync. That is group commit by leaders, as databases do it
//! with their logs.
//!
//! Callers that were answered together come back together, each a little later than the one before.
//! A leader that went ahead with the first would leave the rest to the next sync, so that each
//! waits for two. So it waits a part of a sync for as many as were answered last; see [`Pace`].

use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::flush::{Flush, FlushTicket, Told};
use crate::base::error::FlushError;
use crate::base::sync::{Condvar, MODELLED, Mutex, MutexGuard, lock};
use crate::base::wake::Wakers;

/// The flushes that wait for the writer.
#[derive(Debug)]
pub(crate) struct Tickets {
    waiting: Mutex<Waiting>,
    /// Tells a leader that as many have joined as it waits for.
    gathered: Condvar,
    wakers: Arc<Wakers>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// Of callers that lead nobody.
    flushes: Vec<Arc<FlushTicket>>,
    /// Of callers that joined the group, the oldest first. Only a leader takes them.
    group: Vec<Arc<FlushTicket>>,
    /// Somebody leads the group, or was told to. If nobody does, the group is empty.
    led: bool,
    /// A leader waits until the group is so large.
    awaited: Option<usize>,
    pace: Pace,
    /// Set when the writer has ended: why all later flushes fail.
    ended: Option<FlushError>,
}

impl Tickets {
    /// No flush waits yet. `wakers` wake those that are futures.
    pub(crate) fn new(wakers: &Arc<Wakers>) -> Self {
        Self { waiting: Mutex::default(), gathered: Condvar::new(), wakers: Arc::clone(wakers) }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Registers a new flush. The caller must wake the writer afterwards.
    pub(crate) fn issue(&self) -> Flush {
        let ticket = FlushTicket::new(&self.wakers);
        let mut waiting = self.lock();
        match &waiting.ended {
            Some(reason) => ticket.complete(Err(reason.clone())),
            None => waiting.flushes.push(Arc::clone(&ticket)),
        }
        Flush { ticket }
    }

    /// A flush that has already failed for `reason`.
    pub(crate) fn refuse(reason: FlushError) -> Flush {
        let ticket = Arc::new(FlushTicket::default());
        ticket.complete(Err(reason));
        Flush { ticket }
    }

    /// Takes the tickets of flushes. Only the writer's own turn calls this, before it drains the
    /// queue. It leaves the group to its leader, who would else find a part of it gone to the
    /// journal's sync thread.
    pub(super) fn take(&self) -> Vec<Arc<FlushTicket>> {
        mem::take(&mut self.lock().flushes)
    }

    /// Takes all tickets. For a leader's turn, before it drains the queue, and for the writer's
    /// end.
    pub(super) fn take_group(&self) -> Vec<Arc<FlushTicket>> {
        let mut waiting = self.lock();
        let group = mem::take(&mut waiting.group);
        waiting.pace.went(group.len());
        let mut tickets = mem::take(&mut waiting.flushes);
        tickets.extend(group);
        tickets
    }

    /// Whether any flush waits for the writer's own turn.
    pub(crate) fn any(&self) -> bool {
        !self.lock().flushes.is_empty()
    }

    /// Joins the group. The caller leads it if nobody does.
    pub(super) fn join(&self) -> Joined {
        let ticket = FlushTicket::new(&self.wakers);
        let mut waiting = self.lock();
        if let Some(reason) = &waiting.ended {
            ticket.complete(Err(reason.clone()));
            return Joined { ticket, leads: false };
        }
        waiting.group.push(Arc::clone(&ticket));
        if waiting.awaited.is_some_and(|awaited| waiting.group.len() >= awaited) {
            waiting.awaited = None;
            self.gathered.notify_all();
        }
        Joined { ticket, leads: !mem::replace(&mut waiting.led, true) }
    }

    /// Waits a moment for the callers that the last leader answered, if they are likely to come
    /// back. For a leader, before its turn.
    pub(super) fn gather(&self) {
        let mut waiting = self.lock();
        let Some((awaited, at_most)) = waiting.pace.to_gather(waiting.group.len()) else { return };
        let (there, began) = (waiting.group.len(), Instant::now());
        waiting.awaited = Some(awaited);
        while waiting.awaited.is_some() && waiting.ended.is_none() {
            let left = at_most.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            let waited = self.gathered.wait_timeout(waiting, left);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.awaited = None;
        let came = waiting.group.len() - there;
        waiting.pace.gathered(came, awaited - there);
    }

    /// Hands the lead to one of those that joined meanwhile. For a leader, once the next sync may
    /// begin; its own took `sync`.
    pub(super) fn hand_on(&self, sync: Duration) {
        let mut waiting = self.lock();
        let gathered = waiting.group.len();
        waiting.pace.answered(gathered, sync);
        match waiting.group.first() {
            Some(next) => next.lead(),
            None => waiting.led = false,
        }
    }

    /// The writer has ended: fails all waiting flushes, and all later ones.
    pub(crate) fn end(&self, reason: FlushError) {
        let mut waiting = self.lock();
        let mut last = mem::take(&mut waiting.flushes);
        last.append(&mut waiting.group);
        waiting.ended.get_or_insert_with(|| reason.clone());
        self.gathered.notify_all();
        drop(waiting);
        last.iter().for_each(|ticket| ticket.complete(Err(reason.clone())));
    }
}

/// A caller's place in the group.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) ticket: Arc<FlushTicket>,
    /// Nobody led the group, so the caller does.
    pub(super) leads: bool,
}

impl Joined {
    /// Blocks until the ticket is done, or the caller leads.
    pub(super) fn wait_for_turn(&self) -> Told {
        if self.leads { Told::Lead } else { self.ticket.wait_for_turn() }
    }
}

/// How long a leader waits for others.
///
/// It expects those that the last leader answered, beside those that have joined already. If they
/// come within half a sync, all share the next one; if they had been left behind, each would have
/// waited for that sync and for its own. A caller alone expects nobody else and never waits. Where
/// callers do not come back at once, the wait is halved each time that it was in vain, and tried
/// again now and then.
#[derive(Debug)]
struct Pace {
    /// Tickets of the group that was taken last.
    taken: usize,
    /// How many the next leader expects, itself among them.
    expected: usize,
    sync: Duration,
    /// How often in a row waiting was in vain.
    in_vain: u32,
    groups: u32,
}

/// The longest wait for others, however long a sync takes.
const LONGEST_GATHERING: Duration = Duration::from_millis(1);
/// After so many groups, waiting is tried again.
const TRY_AGAIN: u32 = 64;

impl Default for Pace {
    fn default() -> Self {
        Self { taken: 0, expected: 1, sync: Duration::ZERO, in_vain: 0, groups: 0 }
    }
}

impl Pace {
    /// A group of so many was taken.
    fn went(&mut self, group: usize) {
        self.taken = group;
    }

    /// A sync that took so long has answered the group, and so many have joined meanwhile.
    fn answered(&mut self, joined: usize, sync: Duration) {
        self.expected = self.taken + joined;
        self.sync = sync;
        self.groups += 1;
        if self.groups.is_multiple_of(TRY_AGAIN) {
            self.in_vain = 0;
        }
    }

    /// For how many to wait, and how long, where so many are there.
    fn to_gather(&self, there: usize) -> Option<(usize, Duration)> {
        let at_most = self.sync.min(2 * LONGEST_GATHERING) / 2;
        let at_most = at_most.checked_div(1 << self.in_vain.min(16))?;
        // Models have no time.
        (there < self.expected && !at_most.is_zero() && !MODELLED)
            .then_some((self.expected, at_most))
    }

    /// Of so many that were missing, so many came.
    fn gathered(&mut self, came: usize, missing: usize) {
        self.in_vain = if 2 * came < missing { self.in_vain + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::sync::{AtomicUsize, Ordering};
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake, Waker};

    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_flush_wakes_its_future_once_it_is_done() {
        let tickets = Tickets::new(&Wakers::new(false));
        let mut flush = tickets.issue();
        let counter = Arc::new(Counter(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&counter));
        let mut context = Context::from_waker(&waker);
        assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Pending);
        tickets.take().iter().for_each(|ticket| ticket.complete(Ok(())));
        assert_eq!(counter.0.load(Ordering::Relaxed), 1);
        assert_eq!(Pin::new(&mut flush).poll(&mut context), Poll::Ready(Ok(())));
    }

    #[test]
    fn a_dropped_flush_harms_nobody() {
        let tickets = Tickets::new(&Wakers::new(false));
        drop(tickets.issue());
        tickets.take().iter().for_each(|ticket| ticket.complete(Ok(())));
    }

    #[test]
    fn a_flush_with_a_deadline_gives_up_in_time() {
        let tickets = Tickets::new(&Wakers::new(false));
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(tickets.issue().wait_deadline(deadline), Err(FlushError::TimedOut));
    }

    #[test]
    fn no_flush_hangs_once_the_writer_has_ended() {
        let tickets = Tickets::new(&Wakers::new(false));
        let before = tickets.issue();
        tickets.end(FlushError::Closed);
        assert_eq!(before.wait(), Err(FlushError::Closed));
        assert_eq!(tickets.issue().wait(), Err(FlushError::Closed));
    }

    #[test]
    fn one_of_a_group_leads_at_a_time_and_hands_on_to_who_joined_meanwhile() {
        let tickets = Tickets::new(&Wakers::new(false));
        let (first, second, third) = (tickets.join(), tickets.join(), tickets.join());
        assert!(first.leads && !second.leads && !third.leads);
        assert_eq!(first.wait_for_turn(), Told::Lead);
        let group = tickets.take_group();
        assert_eq!(group.len(), 3);
        let fourth = tickets.join();
        assert!(!fourth.leads);
        tickets.hand_on(Duration::ZERO);
        group.iter().for_each(|ticket| ticket.complete(Ok(())));
        for answered in [first, second, third] {
            assert_eq!(answered.ticket.wait(), Ok(()));
        }
        assert_eq!(fourth.wait_for_turn(), Told::Lead, "it was promoted");
        tickets.take_group().iter().for_each(|ticket| ticket.complete(Ok(())));
        tickets.hand_on(Duration::ZERO);
        assert!(tickets.join().leads, "nobody was left to hand on to");
    }

    #[test]
    fn the_writers_turn_leaves_the_group_to_its_leader() {
        let tickets = Tickets::new(&Wakers::new(false));
        let (flush, joined) = (tickets.issue(), tickets.join());
        assert!(tickets.any());
        let taken = tickets.take();
        assert_eq!(taken.len(), 1);
        taken[0].complete(Ok(()));
        assert_eq!(flush.wait(), Ok(()));
        assert!(!tickets.any(), "the writer is not kept awake by a group");
        assert!(Arc::ptr_eq(&tickets.take_group()[0], &joined.ticket));
    }

    #[test]
    fn no_member_of_a_group_hangs_once_the_writer_has_ended() {
        let tickets = Tickets::new(&Wakers::new(false));
        let (leader, follower) = (tickets.join(), tickets.join());
        tickets.end(FlushError::Closed);
        tickets.hand_on(Duration::ZERO);
        let late = tickets.join();
        assert!(!late.leads);
        for joined in [leader, follower, late] {
            assert_eq!(joined.ticket.wait(), Err(FlushError::Closed));
        }
    }

    #[test]
    fn a_leader_waits_for_those_that_were_answered_and_no_longer_if_they_do_not_come() {
        let mut pace = Pace::default();
        let sync = Duration::from_micros(400);
        assert_eq!(pace.to_gather(1), None, "nothing is known of others");
        pace.went(1);
        pace.answered(0, sync);
        assert_eq!(pace.to_gather(1), None, "a caller alone waits for nobody");
        pace.went(7);
        pace.answered(2, sync);
        assert_eq!(pace.to_gather(2), Some((9, sync / 2)));
        assert_eq!(pace.to_gather(9), None, "all are there");
        pace.gathered(3, 7);
        assert_eq!(pace.to_gather(2), Some((9, sync / 4)), "most did not come");
        pace.gathered(4, 7);
        assert_eq!(pace.to_gather(2), Some((9, sync / 2)), "most came");
        for _ in 0..100 {
            pace.gathered(0, 7);
        }
        let (_, at_most) = pace.to_gather(2).unwrap_or_default();
        assert!(at_most < Duration::from_micros(1), "{at_most:?}");
        (0..TRY_AGAIN).for_each(|_| pace.answered(2, 10 * LONGEST_GATHERING));
        assert_eq!(pace.to_gather(2), Some((9, LONGEST_GATHERING)), "it is tried again");
    }

    #[test]
    fn a_leader_that_gathers_goes_as_soon_as_all_are_there() {
        let tickets = Tickets::new(&Wakers::new(false));
        let _first = tickets.join();
        let _second = tickets.join();
        let _ = tickets.take_group();
        // Both were answered, after a sync so long that the test would notice the whole wait.
        tickets.hand_on(Duration::from_secs(3_600));
        let began = Instant::now();
        std::thread::scope(|scope| {
            assert!(tickets.join().leads);
            let leader = scope.spawn(|| tickets.gather());
            assert!(!tickets.join().leads);
            leader.join().expect("no panic");
        });
        assert!(began.elapsed() < Duration::from_secs(1));
        assert_eq!(tickets.take_group().len(), 2);
    }
}
