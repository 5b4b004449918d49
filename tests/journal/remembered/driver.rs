//! Lives a life: does its steps on an engine and on the model, and compares.

use std::sync::Arc;
use std::time::Duration;

use stockade::testing::SimulatedDisk;
use stockade::{
    ConfirmError, ConfirmOrRetake, Gone, IdempotencyKey, InventoryManager, JournalOptions,
    KeyError, Limits, ManualClock, NoReservation, Release, ReleaseError, Request as EngineRequest,
    ReservationId, ReservationStatus, RetakeError, Timestamp,
};

use super::disk::{Found, harmed};
use super::model::{Answer, Hold, KEEP, Model, Request, Stand, Stored, Trace};
use super::plan::{End, Ending, Harm, Step};
use crate::state::MINUTE;

const LAPTOPS: (&str, &str) = ("SF", "LAPTOP");
const STOCK: u32 = 1_000_000;
const HOUR: u64 = 60 * 60 * 1_000;
/// So few keys, records and entries that memory has almost nothing.
const FEW: usize = 4;
/// The numbers of the keys of other calls begin here.
const OTHERS: usize = 1_000;

pub(super) struct Driver {
    disk: SimulatedDisk,
    clock: Arc<ManualClock>,
    /// `None` only between two openings.
    manager: Option<InventoryManager>,
    opening: u64,
    /// The clock's and the journal's time of each opening that left entries, and of this one.
    openings: Vec<(u64, u64)>,
    model: Model,
    /// The holds that steps may name, as places in the model.
    named: Vec<usize>,
    /// What happened since the newest opening, each with the model before it.
    history: Vec<(Trace, Model)>,
    /// How many of these were flushed.
    flushed: usize,
    /// How many other calls, calls, and uses of keys without a movement there were.
    others: usize,
    calls: usize,
    uses: usize,
}

/// A refusal that a caller may meet.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    Conflict,
    Gathering,
}

fn refused(error: &dyn std::fmt::Debug, key: Option<KeyError>) -> Refused {
    match key {
        Some(KeyError::Conflict) => Refused::Conflict,
        Some(KeyError::Gathering) => Refused::Gathering,
        _ => panic!("refused: {error:?}"),
    }
}

/// The key's error in any call's.
fn key_error<E: PartialEq + From<KeyError>>(error: &E) -> Option<KeyError> {
    [KeyError::Conflict, KeyError::Gathering].into_iter().find(|key| *error == E::from(*key))
}

/// The opening that a hold is said to be lost by. Where openings saved nothing, it is known but for
/// a multiple of four.
fn lost_by(opening: u64, hold: &Hold) -> u64 {
    if opening % 4 == hold.opening % 4 { hold.opening } else { opening }
}

fn stand_of(gone: Gone, hold: &Hold) -> Answer {
    let units = u64::from(hold.units);
    Answer::Gone(match gone {
        Gone::Sold { units: sold } if sold == units => Stand::Sold,
        Gone::Released { returned } if returned == units => Stand::Released,
        Gone::Expired { returned, .. } if returned == units => Stand::Expired,
        Gone::Lost { opening } => Stand::Lost(lost_by(opening, hold)),
        Gone::Forgotten => return Answer::Forgotten,
        other => panic!("{other:?} of {units} units"),
    })
}

impl Driver {
    pub(super) fn new() -> Self {
        let start = Timestamp::from_millis(1_790_000_000_000);
        let mut driver = Self {
            disk: SimulatedDisk::new(),
            clock: Arc::new(ManualClock::at(start)),
            manager: None,
            opening: 0,
            openings: Vec::new(),
            model: Model::default(),
            named: Vec::new(),
            history: Vec::new(),
            flushed: 0,
            others: 0,
            calls: 0,
            uses: 0,
        };
        driver.openings.push((driver.now(), 0));
        driver.open();
        driver.manager().add_stock(LAPTOPS, STOCK, "SUPPLIER").expect("room");
        driver.flush();
        driver
    }

    fn open(&mut self) {
        let limits = Limits::new()
            .key_retention(MINUTE, FEW)
            .retention(Duration::from_millis(1), FEW)
            .audit_retained(FEW as u64)
            .longest_ttl(Duration::from_millis(1_000 * HOUR));
        let journal = JournalOptions::storage(self.disk.clone())
            .segment_bytes(700)
            .checkpoint_every(2)
            .recovery_grace(Duration::ZERO);
        let builder = InventoryManager::builder().warehouse("SF").clock(Arc::clone(&self.clock));
        let manager = builder.limits(limits).journal(journal).without_threads().build();
        let manager = manager.expect("a sound journal");
        self.opening = manager.recovery_report().expect("a journal").openings + 1;
        self.manager = Some(manager);
    }

    fn manager(&self) -> &InventoryManager {
        self.manager.as_ref().expect("it is open")
    }

    fn now(&self) -> u64 {
        stockade::Clock::now(&*self.clock).as_millis()
    }

    /// The journal time of a moment.
    fn time_of(&self, moment: u64) -> u64 {
        let opening = self.openings.iter().rev().find(|(at, _)| *at <= moment);
        let (at, time) = opening.expect("an opening before it");
        time + (moment - at)
    }

    fn time(&self) -> u64 {
        self.time_of(self.now())
    }

    fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    pub(super) fn step(&mut self, number: usize, step: &Step) {
        match *step {
            Step::Reserve { key, units, hours } => {
                self.named.push(self.model.holds.len());
                self.call(Request::Reserve { units, hours }, key);
                // A repeat has made none.
                self.named.retain(|place| *place < self.model.holds.len());
            }
            Step::End { what, hold, key } => {
                if !self.named.is_empty() {
                    let hold = self.named[hold % self.named.len()];
                    self.call(Request::End { what, hold }, key);
                }
            }
            Step::Again(key) => {
                if let Some(stored) = self.model.keys.get(&key) {
                    self.call(stored.request, Some(key));
                }
            }
            Step::Others(count) => (0..count).for_each(|_| self.other()),
            Step::Hours(hours) => self.advance(hours * HOUR),
            Step::Idle => self.idle(),
            Step::Flush => self.flush(),
            Step::Audit => assert!(self.manager().verify().expect("sound").is_sound()),
            Step::Reopen { end, hours, harm } => self.reopen(end, hours, harm),
        }
        assert_eq!(self.manager().sold(LAPTOPS), Ok(self.model.sold()), "step {number}: {step:?}");
    }

    pub(super) fn finish(mut self) {
        for end in [None, Some(End::Closed), Some(End::Killed)] {
            if let Some(end) = end {
                self.reopen(end, 1, Harm::Nothing);
            }
            for (key, stored) in self.model.keys.clone() {
                if self.time() <= stored.at + KEEP {
                    self.call(stored.request, Some(key));
                }
            }
            self.idle();
            let counts = self.manager().counts(LAPTOPS).expect("stocked");
            assert_eq!((counts.held(), counts.sold), (self.model.held(), self.model.sold()));
            (0..self.model.holds.len()).for_each(|hold| self.look_at(hold));
        }
    }

    /// One of the calls that let memory and segments fill.
    fn other(&mut self) {
        let key = Some(OTHERS + self.others);
        self.others += 1;
        let hold = self.model.holds.len();
        self.call(Request::Reserve { units: 1, hours: 1 }, key);
        self.call(Request::End { what: Ending::Release, hold }, None);
    }

    fn flush(&mut self) {
        self.manager().flush().wait().expect("a healthy disk");
        self.flushed = self.history.len();
    }

    /// Sweeps, and writes.
    fn idle(&mut self) {
        self.advance(1);
        for hold in 0..self.model.holds.len() {
            self.expire(hold);
        }
        self.manager().run_until_idle();
        let counts = self.manager().counts(LAPTOPS).expect("stocked");
        assert_eq!(counts.held(), self.model.held());
    }

    /// Ends the hold if it is overdue. The engine does, too, at a sweep or a call for the hold.
    fn expire(&mut self, hold: usize) {
        let (now, time) = (self.now(), self.time());
        let Hold { stand, expires, id, .. } = self.model.holds[hold];
        if stand == Stand::Pending && now > expires {
            self.change(Trace::Returned(id), |model| model.end(hold, Stand::Expired, time));
        }
    }

    fn change(&mut self, trace: Trace, change: impl FnOnce(&mut Model)) {
        self.history.push((trace, self.model.clone()));
        change(&mut self.model);
    }

    fn call(&mut self, request: Request, key: Option<usize>) {
        self.advance(1);
        self.calls += 1;
        let stored = key.and_then(|key| self.model.keys.get(&key).copied());
        let answer = self.patiently(request, key);
        let context = format!("{request:?} under {key:?}: {answer:?}, and stored is {stored:?}");
        if let Some(stored) = stored {
            let repeated = match stored.request == request {
                true => Ok(stored.answer),
                false => Err(Refused::Conflict),
            };
            if answer == repeated {
                return;
            }
            assert!(self.time() > stored.at + KEEP, "{context}");
        }
        let answer = answer.unwrap_or_else(|_| panic!("{context}"));
        match request {
            Request::Reserve { units, hours } => {
                let Answer::Reserved(id) = answer else { panic!("{context}") };
                assert!(self.model.holds.iter().all(|hold| hold.id != id), "{context}");
                self.made((request, key), answer, Trace::Reserved(id), |driver, model| {
                    let expires = driver.0 + hours * HOUR;
                    model.holds.push(driver.hold(id, units, expires, Stand::Pending));
                });
            }
            Request::End { .. } => self.ended((request, key), answer, &context),
        }
    }

    fn ended(&mut self, asked: (Request, Option<usize>), answer: Answer, context: &str) {
        let Request::End { what, hold } = asked.0 else { return };
        self.expire(hold);
        let Hold { id, units, stand, retaken, .. } = self.model.holds[hold];
        if stand == Stand::Pending {
            let (expected, stand, trace) = match what {
                Ending::Confirm => (Answer::Confirmed, Stand::Sold, Trace::Sold(id)),
                Ending::Release => {
                    (Answer::Release(Release::Released), Stand::Released, Trace::Returned(id))
                }
                Ending::Retake => {
                    (Answer::Retake(ConfirmOrRetake::Confirmed), Stand::Sold, Trace::Sold(id))
                }
            };
            assert_eq!(answer, expected, "{context}");
            self.made(asked, answer, trace, |now, model| model.end(hold, stand, now.1));
            return;
        }
        let mut allowed = self.model.told(what, hold, self.time());
        if let Answer::Retake(ConfirmOrRetake::Retaken(by)) = answer
            && retaken.is_none()
            && allowed.contains(&Answer::Retake(ConfirmOrRetake::Retaken(id)))
        {
            assert!(self.model.holds.iter().all(|hold| hold.id != by), "{context}");
            self.made(asked, answer, Trace::Retaken(id), |now, model| {
                model.holds[hold].retaken = Some((by, now.1));
                model.holds.push(now.hold(by, units, u64::MAX, Stand::Sold));
            });
            return;
        }
        allowed.retain(|it| *it != Answer::Retake(ConfirmOrRetake::Retaken(id)));
        assert!(allowed.contains(&answer), "{context}, not in {allowed:?}");
        // An error is not stored.
        if asked.1.is_some() && !matches!(answer, Answer::Gone(_) | Answer::Forgotten) {
            self.uses += 1;
            self.made(asked, answer, Trace::KeyUsed(self.uses), |_, _| {});
        }
    }

    /// Notes a call's answer and what it changed. A keyed call is known by its note.
    fn made(
        &mut self,
        (request, key): (Request, Option<usize>),
        answer: Answer,
        trace: Trace,
        change: impl FnOnce(&Moment, &mut Model),
    ) {
        let moment = Moment(self.now(), self.time(), self.opening);
        let trace = match trace {
            Trace::KeyUsed(_) => trace,
            _ if key.is_some() => Trace::Noted(self.calls),
            _ => trace,
        };
        self.change(trace, |model| {
            change(&moment, model);
            if let Some(key) = key {
                model.keys.insert(key, Stored { request, answer, at: moment.1 });
            }
        });
    }

    /// Calls. Where the outcome files have to be made anew, the first refusal has it done.
    fn patiently(&self, request: Request, key: Option<usize>) -> Result<Answer, Refused> {
        let mut answer = self.ask(request, key);
        for _ in 0..2 {
            if answer == Err(Refused::Gathering) {
                answer = self.ask(request, key);
            }
        }
        answer
    }

    fn ask(&self, request: Request, key: Option<usize>) -> Result<Answer, Refused> {
        let mut by = self.manager().request();
        if let Some(key) = key {
            let name = format!("key-{key}");
            by = by.key(IdempotencyKey::try_from(&*name).expect("short"));
            by = by.note("call", self.calls.to_string());
        }
        match request {
            Request::Reserve { units, hours } => {
                let ttl = Duration::from_millis(hours * HOUR);
                let made = by.reserve(LAPTOPS, units, ttl);
                made.map(Answer::Reserved).map_err(|error| refused(&error, key_error(&error)))
            }
            Request::End { what, hold } => self.ask_for(by, what, &self.model.holds[hold]),
        }
    }

    fn ask_for(&self, by: EngineRequest<'_>, what: Ending, hold: &Hold) -> Result<Answer, Refused> {
        match what {
            Ending::Confirm => match by.confirm(hold.id) {
                Ok(()) => Ok(Answer::Confirmed),
                Err(ConfirmError::Gone(gone)) => Ok(stand_of(gone, hold)),
                Err(error) => Err(refused(&error, key_error(&error))),
            },
            Ending::Release => match by.release(hold.id) {
                Ok(Release::Lost { opening }) => {
                    Ok(Answer::Release(Release::Lost { opening: lost_by(opening, hold) }))
                }
                Ok(release) => Ok(Answer::Release(release)),
                Err(ReleaseError::Sold { units }) => Ok(stand_of(Gone::Sold { units }, hold)),
                Err(error) => Err(refused(&error, key_error(&error))),
            },
            Ending::Retake => match by.confirm_or_retake(hold.id) {
                Ok(retake) => Ok(Answer::Retake(retake)),
                Err(RetakeError::NoReservation(none)) => Ok(stand_of(none.into(), hold)),
                Err(error) => Err(refused(&error, key_error(&error))),
            },
        }
    }

    /// What the engine shows of a hold.
    fn look_at(&self, hold: usize) {
        let hold = &self.model.holds[hold];
        let shown = self.manager().reservation(hold.id).map(|it| it.status);
        let shown = shown.map_err(|none| match none {
            NoReservation::Lost { opening } => {
                NoReservation::Lost { opening: lost_by(opening, hold) }
            }
            none => none,
        });
        let expected = match hold.stand {
            Stand::Pending => Ok(ReservationStatus::Pending),
            Stand::Sold => Ok(ReservationStatus::Confirmed),
            Stand::Released => Ok(ReservationStatus::Released),
            Stand::Expired => Ok(ReservationStatus::Expired),
            Stand::Lost(opening) => Err(NoReservation::Lost { opening }),
        };
        let is_over = expected.is_ok_and(|status| status != ReservationStatus::Pending)
            && self.time() > hold.ended + KEEP;
        let forgotten = (is_over || hold.at_edge) && shown == Err(NoReservation::Forgotten);
        assert!(shown == expected || forgotten, "{shown:?} is shown of {hold:?}");
    }

    fn reopen(&mut self, end: End, hours: u64, harm: Harm) {
        let before = self.manager.take().expect("it is open");
        let disk = match end {
            End::Closed => {
                drop(before);
                self.flushed = self.history.len();
                self.disk.clone()
            }
            End::Killed => self.disk.killed(),
            End::PowerCut(seed) => self.disk.crash(self.disk.steps(), |piece| {
                ((seed >> (piece % 64)) ^ (piece as u64 / 64)) & 1 == 1
            }),
        };
        self.disk = disk.with_changed(harmed(disk.files(), harm));
        self.advance(hours * HOUR + 1);
        let opened_at = self.now();
        self.open();
        let last = self.roll_back(opened_at);
        self.openings.retain(|(at, _)| *at <= last);
        let between = (opened_at - last).min(24 * HOUR);
        self.openings.push((opened_at, self.time_of(last) + between));
        self.advance(1);
    }

    /// Takes back what the crash took. Returns when the newest entry was made that is left.
    fn roll_back(&mut self, opened_at: u64) -> u64 {
        let found = Found::read(&self.disk, opened_at);
        let left = self.history.iter().position(|(trace, _)| !found.has(*trace));
        if let Some(left) = left {
            assert!(left >= self.flushed, "what was flushed is gone: {:?}", self.history[left].0);
            let gap = self.history[left..].iter().find(|(trace, _)| found.has(*trace));
            assert!(gap.is_none(), "a later change is there: {:?}", gap.map(|(trace, _)| trace));
            let made = std::mem::replace(&mut self.model, self.history[left].1.clone()).holds;
            let lost = made.into_iter().skip(self.model.holds.len());
            let lost = lost.map(|hold| Hold {
                stand: Stand::Lost(hold.opening),
                at_edge: hold.id.created_at().as_millis() == found.last,
                ..hold
            });
            self.model.holds.extend(lost);
        }
        self.history.clear();
        (self.flushed, self.uses) = (0, found.uses);
        found.last
    }
}

/// When a change came: by the clock, in journal time, and in which opening.
struct Moment(u64, u64, u64);

impl Moment {
    fn hold(&self, id: ReservationId, units: u32, expires: u64, stand: Stand) -> Hold {
        let Self(_, ended, opening) = *self;
        Hold { id, units, expires, stand, ended, retaken: None, opening, at_edge: false }
    }
}
