//! The draws of a reservation, in the later slots of its chain.

use crate::reservation::chain::Chain;
use crate::reservation::slot::draw::SlotDraw;
use crate::reservation::slots::{ChainWalk, HeldSlot, Slots};
use crate::stock::allowance::key::AllowanceKey;

impl Slots {
    /// The draws of a reservation that this thread has to itself.
    pub(crate) fn draws_of(&self, chain: Chain, mut each: impl FnMut(SlotDraw)) {
        if chain.draws() {
            self.each_link(chain, |_, slot| {
                slot.read_draw().into_iter().for_each(&mut each);
                true
            });
        }
    }

    /// The draws of a reservation of one line, in its head, that this thread has to itself. False
    /// if there is more behind the head than draws.
    #[inline]
    pub(crate) fn draws_of_one_line(&self, chain: Chain, mut each: impl FnMut(SlotDraw)) -> bool {
        let mut draws_only = !chain.is_whole();
        if draws_only {
            self.each_link(chain, |_, slot| {
                let draw = slot.read_draw();
                draws_only = draw.is_some();
                draw.into_iter().for_each(&mut each);
                draws_only
            });
        }
        draws_only
    }

    /// The allowances on which a reservation has drawn, which was found in `state`: also of one
    /// that is over. `None` if its record has changed since.
    pub(crate) fn allowances_of(
        &self,
        head: HeldSlot<'_>,
        chain: Chain,
    ) -> Option<Vec<AllowanceKey>> {
        let mut keys = Vec::new();
        let walked = self.walk_links(head.number, head.state, chain, |content| {
            keys.extend(content.draw().map(|draw| draw.key));
        });
        let whole = matches!(walked, ChainWalk::Whole { .. }) && head.slot.state() == head.state;
        whole.then_some(keys)
    }

    /// Writes what each draw of such a reservation comes to, in the order of
    /// [`draws_of`](Self::draws_of).
    pub(crate) fn write_draws(&self, chain: Chain, draws: &[SlotDraw]) {
        let mut draws = draws.iter();
        self.each_link(chain, |_, slot| {
            if slot.read_draw().is_some()
                && let Some(draw) = draws.next()
            {
                slot.write_drawn(draw);
            }
            true
        });
    }
}
