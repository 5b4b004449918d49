//! One call of any kind, and what it may be answered.

use std::fmt::Display;
use std::time::Duration;

use stockade::{
    AddError, ApproveError, BasketError, BasketLine, CallError, ConfirmError, ConfirmOrRetake,
    ExtendError, FulfillError, Gone, HoldRequest, IdempotencyKey, InvalidInput, KeyError,
    NoReservation, NotOpen, NotStarted, PartialError, RejectError, Release, ReleaseError,
    RemoveError, RequestTransferError, ReservationId, ReserveError, RetakeError, ShipError,
    SoldLinesError, TransferError, TransferFailure,
};

use crate::rng::Rng;
use crate::stage::{CAPACITY, CLOSED, Hold, Level, PRODUCTS, Stage, WAREHOUSES};

const SUSPENDED: &str = "NYC";

impl Stage {
    /// Makes one call.
    pub(crate) fn call(&self, rng: &mut Rng) {
        match rng.below(20) {
            0..4 => self.hold(rng),
            4..9 => self.step_on(rng),
            9..11 => self.step_on_part(rng),
            11..13 => self.move_goods(rng),
            13..16 => self.transfer(rng),
            16 => self.ask_for_a_transfer(rng),
            17 => self.decide(rng),
            18 => self.run_the_house(rng),
            _ => self.watch(1),
        }
    }

    /// Makes a hold of one kind or another.
    pub(crate) fn hold(&self, rng: &mut Rng) {
        let (manager, level) = (&self.manager, any_level(rng));
        let (units, ttl) = (rng.units(3), Duration::from_millis(rng.below(20) + 1));
        match rng.below(6) {
            0 | 1 => self.made(manager.reserve(level, units, ttl), vec![(level, units)], refused),
            2 => self.made(manager.sell(level, units), vec![(level, units)], refused),
            3 | 4 => {
                let mut lines: Vec<(Level, u32)> = vec![(any_level(rng), units)];
                for _ in 0..1 + rng.below(3) {
                    lines.push((any_level(rng), 1));
                }
                let request = HoldRequest::from(manager.request());
                let request =
                    if rng.below(2) == 0 { request.keep_until_shipped() } else { request };
                let refused = |error| match error {
                    BasketError::Insufficient { lines, .. } => {
                        assert!(lines.iter().all(|line| line.available < line.needed));
                    }
                    BasketError::Full { .. } | BasketError::Suspended { .. } => {}
                    BasketError::Call(busy) => busy_only(busy),
                    error => unexpected(error),
                };
                self.made(request.reserve_basket(&basket(&lines), ttl), merged(lines), refused);
            }
            _ if rng.below(2) == 0 => {
                let number = rng.below(2) as usize;
                self.hold_under_a_key(number);
            }
            _ => {
                let warehouses = WAREHOUSES.map(Into::into);
                let made = manager.fulfill_across_warehouses(CLOSED, units, &warehouses, ttl);
                match made {
                    Ok(id) => {
                        // It may be over by now, and its slot used again.
                        let Ok(found) = manager.reservation(id) else { return };
                        let lines = found.lines.iter().map(|line| {
                            let known = WAREHOUSES.iter().find(|name| **name == &*line.warehouse);
                            ((*known.expect("one of two"), CLOSED), line.quantity)
                        });
                        self.known().holds.push(Hold { id, lines: lines.collect() });
                    }
                    Err(FulfillError::Insufficient { needed, available }) => {
                        assert!(available < u64::from(needed));
                    }
                    Err(FulfillError::Full { .. }) => {}
                    Err(FulfillError::Call(busy)) => busy_only(busy),
                    Err(error) => unexpected(error),
                }
            }
        }
    }

    fn made<E>(
        &self,
        made: Result<ReservationId, E>,
        lines: Vec<(Level, u32)>,
        refused: impl FnOnce(E),
    ) {
        match made {
            Ok(id) => self.known().holds.push(Hold { id, lines }),
            Err(error) => refused(error),
        }
    }

    /// The same request under the same key is one hold, whoever makes it.
    fn hold_under_a_key(&self, number: usize) {
        let key = IdempotencyKey::try_from(["order 1", "order 2"][number]).expect("a legal key");
        let level = ("SF", PRODUCTS[number]);
        let made = self.manager.request().key(key).reserve(level, 1, Duration::from_millis(7));
        match made {
            Ok(id) => {
                let first = *self.known().keyed[number].get_or_insert(id);
                assert_eq!(first, id, "a key was answered twice");
                self.known().holds.push(Hold { id, lines: vec![(level, 1)] });
            }
            Err(ReserveError::Call(CallError::Key(KeyError::InProgress))) => {}
            Err(error) => refused(error),
        }
    }

    /// Ends a hold, or prolongs it.
    fn step_on(&self, rng: &mut Rng) {
        let Some(hold) = self.any_hold(rng) else { return };
        let (manager, id) = (&self.manager, hold.id);
        let chosen = rng.below(6);
        match chosen {
            0 | 1 => {
                let keep = || manager.request().keep_until_shipped();
                match if chosen == 0 { manager.confirm(id) } else { keep().confirm(id) } {
                    Err(ConfirmError::NotSold { needed, sold }) => assert!(sold < needed),
                    Err(ConfirmError::Call(busy)) => busy_only(busy),
                    Err(error @ ConfirmError::Gone(Gone::Unknown)) => unexpected(error),
                    _ => {}
                }
            }
            2 | 3 => match manager.release(id) {
                Ok(Release::Unknown) => unexpected("a hold that was made"),
                Ok(_) | Err(ReleaseError::Sold { .. } | ReleaseError::Changing) => {}
                Err(ReleaseError::Call(busy)) => busy_only(busy),
                Err(error) => unexpected(error),
            },
            4 => match manager.extend(id, Duration::from_millis(rng.below(20) + 1)) {
                Err(ExtendError::Call(busy)) => busy_only(busy),
                Err(error @ ExtendError::Gone(Gone::Unknown)) => unexpected(error),
                _ => {}
            },
            _ => match manager.confirm_or_retake_lines(id, &basket(&hold.lines)) {
                Ok(ConfirmOrRetake::Retaken(new) | ConfirmOrRetake::AlreadyRetaken(new)) => {
                    assert_ne!(new, id);
                }
                Ok(_)
                | Err(
                    RetakeError::Changing
                    | RetakeError::NoReservation(NoReservation::Forgotten)
                    | RetakeError::OtherLines,
                )
                | Err(
                    RetakeError::Call(CallError::Key(KeyError::InProgress))
                    | RetakeError::Insufficient { .. }
                    | RetakeError::Full { .. }
                    | RetakeError::Suspended { .. },
                ) => {}
                Err(RetakeError::Call(busy)) => busy_only(busy),
                Err(error) => unexpected(error),
            },
        }
    }

    /// Sells, gives back, ships or cancels some units of one line.
    fn step_on_part(&self, rng: &mut Rng) {
        let Some(hold) = self.any_hold(rng) else { return };
        let (level, units) = *rng.pick_ref(&hold.lines);
        let line = [BasketLine::new(level, rng.units(units))];
        let (manager, id) = (&self.manager, hold.id);
        let answer = match rng.below(5) {
            0 => manager.confirm_lines(id, &line).map(drop),
            1 => manager.release_lines(id, &line).map(drop),
            2 => manager.confirm_lines_and_release_rest(id, &line).map(drop),
            settling => {
                let settled = match settling {
                    3 if level.1 != CLOSED => manager.ship_lines(id, &line),
                    _ => manager.cancel_sale_lines(id, &line, "declined"),
                };
                match settled {
                    Err(SoldLinesError::Call(busy)) => busy_only(busy),
                    Err(error @ SoldLinesError::NoReservation(NoReservation::Unknown)) => {
                        unexpected(error)
                    }
                    _ => {}
                }
                return;
            }
        };
        match answer {
            Err(PartialError::Call(busy)) => busy_only(busy),
            Err(
                error @ (PartialError::Gone(Gone::Unknown)
                | PartialError::Input(InvalidInput::Empty)),
            ) => unexpected(error),
            _ => {}
        }
    }

    fn move_goods(&self, rng: &mut Rng) {
        let (manager, units) = (&self.manager, rng.units(3));
        let level = (rng.pick(&WAREHOUSES), rng.pick(&PRODUCTS));
        match rng.below(4) {
            0 => match manager.add_stock(level, units, "SUPPLIER") {
                Ok(()) | Err(AddError::Suspended { .. }) => {}
                Err(AddError::OverCapacity { needed, room }) => assert!(room < needed),
                Err(AddError::Call(busy)) => busy_only(busy),
                Err(error) => unexpected(error),
            },
            1 => match manager.remove_stock(level, units, "dropped") {
                Ok(()) | Err(RemoveError::Suspended { .. }) => {}
                Err(RemoveError::Insufficient { needed, available }) => assert!(available < needed),
                Err(RemoveError::Call(busy)) => busy_only(busy),
                Err(error) => unexpected(error),
            },
            which => {
                let settled = match which {
                    2 => manager.ship(level, units),
                    _ => manager.cancel_sale(level, units, "declined"),
                };
                match settled {
                    Ok(()) => {}
                    Err(ShipError::NotSold { needed, sold, .. }) => assert!(sold < needed),
                    Err(ShipError::Call(busy)) => busy_only(busy),
                    Err(error) => unexpected(error),
                }
            }
        }
    }

    fn transfer(&self, rng: &mut Rng) {
        let (from, to) = any_way(rng);
        match self.manager.transfer(from, to, any_product(rng), rng.units(4)) {
            Ok(()) | Err(TransferError::Suspended { .. }) => {}
            Err(TransferError::Insufficient { needed, available }) => assert!(available < needed),
            Err(TransferError::OverCapacity { needed, room }) => assert!(room < needed),
            Err(TransferError::Call(busy)) => busy_only(busy),
            Err(error) => unexpected(error),
        }
    }

    fn ask_for_a_transfer(&self, rng: &mut Rng) {
        let ((from, to), product, units) = (any_way(rng), any_product(rng), rng.units(3));
        let request = self.manager.request();
        let asked = match rng.below(2) {
            0 => request.hold_units().request_transfer(from, to, product, units),
            _ => request.request_transfer(from, to, product, units),
        };
        match asked {
            Ok(id) => self.known().requests.push(id),
            Err(RequestTransferError::Insufficient { needed, available, .. }) => {
                assert!(available < needed);
            }
            Err(RequestTransferError::Suspended { .. }) => {}
            Err(RequestTransferError::Call(busy)) => busy_only(busy),
            Err(error) => unexpected(error),
        }
    }

    fn decide(&self, rng: &mut Rng) {
        let Some(id) = self.known().requests.last().copied() else { return };
        if rng.below(2) == 1 {
            match self.manager.reject_transfer(id, "Grace", "no need") {
                Ok(()) => self.known().decided.push(id),
                Err(RejectError::Call(busy)) => busy_only(busy),
                Err(error @ RejectError::NotOpen(NotOpen::Unknown)) => unexpected(error),
                Err(_) => {}
            }
            return;
        }
        match self.manager.approve_transfer(id, "Ada") {
            Ok(()) => self.known().decided.push(id),
            Err(ApproveError::Failed(failure)) => {
                self.known().decided.push(id);
                match failure {
                    TransferFailure::Insufficient { needed, available } => {
                        assert!(available < needed);
                    }
                    TransferFailure::OverCapacity { needed, room } => assert!(room < needed),
                    other => unexpected(other),
                }
            }
            Err(ApproveError::Call(busy)) => busy_only(busy),
            Err(error @ ApproveError::NotOpen(NotOpen::Unknown)) => unexpected(error),
            Err(_) => {}
        }
    }

    /// Time goes by, the background work is done, a warehouse closes for a while, or shrinks below
    /// what lies in it.
    fn run_the_house(&self, rng: &mut Rng) {
        match rng.below(8) {
            0 | 1 => self.clock.advance(Duration::from_millis(rng.below(15) + 1)),
            2 | 3 => self.manager.run_until_idle(),
            4 => self.manager.suspend(SUSPENDED).unwrap_or(()),
            5 => self.manager.set_capacity(rng.pick(&WAREHOUSES), CAPACITY).unwrap_or(()),
            6 => {
                let units = 1 + rng.below(u64::from(CAPACITY)) as u32;
                self.manager.set_capacity(rng.pick(&WAREHOUSES), units).unwrap_or(());
            }
            _ => self.manager.resume(SUSPENDED).unwrap_or(()),
        }
    }
}

fn refused(error: ReserveError) {
    match error {
        ReserveError::Insufficient { needed, available, .. } => assert!(available < needed),
        ReserveError::Full { .. } | ReserveError::Suspended { .. } => {}
        ReserveError::Call(busy) => busy_only(busy),
        error => unexpected(error),
    }
}

fn busy_only(refusal: CallError) {
    assert_eq!(refusal, NotStarted::Busy.into());
}

fn unexpected(answer: impl Display) {
    panic!("{answer}: that was not to be expected");
}

fn any_product(rng: &mut Rng) -> &'static str {
    rng.pick(&[PRODUCTS[0], PRODUCTS[1], CLOSED, CLOSED])
}

fn any_level(rng: &mut Rng) -> Level {
    (rng.pick(&WAREHOUSES), any_product(rng))
}

fn any_way(rng: &mut Rng) -> (&'static str, &'static str) {
    rng.pick(&[("SF", "NYC"), ("NYC", "SF")])
}

fn basket(lines: &[(Level, u32)]) -> Vec<BasketLine<'static>> {
    lines.iter().map(|(level, units)| BasketLine::new(*level, *units)).collect()
}

/// Equal levels in one line, as the engine sees them.
fn merged(lines: Vec<(Level, u32)>) -> Vec<(Level, u32)> {
    let mut merged: Vec<(Level, u32)> = Vec::new();
    for (level, units) in lines {
        match merged.iter_mut().find(|line| line.0 == level) {
            Some(line) => line.1 += units,
            None => merged.push((level, units)),
        }
    }
    merged
}
