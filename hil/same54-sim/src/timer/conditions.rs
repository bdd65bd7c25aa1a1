//! What TC and TCC have in common beside the [counter](super::counter): flags that rise as it goes on.

use sim_base::Instant;

use crate::peripheral::Context;

/// Flags of one timer at most: overflow, count, and six matches.
const MOST: usize = 8;

/// A timer whose flags (bits of INTFLAG) rise at instants that its registers decide.
pub(super) trait Conditions {
    /// The flags that it has.
    fn flags(&self) -> impl Iterator<Item = u32> + use<Self>;

    /// When `flag` next rises after `after`.
    fn flag_after(&self, flag: u32, after: Instant) -> Instant;

    /// Flags that matter each time they rise, whether they are up or not.
    fn repeated(&self) -> u32;

    /// INTFLAG and INTEN.
    fn interrupts(&self) -> (u32, u32);

    /// Sets flags in INTFLAG, which nothing else depends on.
    fn raise(&mut self, flags: u32);

    /// `flag` rises at `at`, with all that follows.
    fn happen(&mut self, flag: u32, at: Instant, cx: &mut Context<'_>);

    /// Until when everything has happened.
    fn seen(&mut self) -> &mut Instant;

    /// Lets everything happen that is due by now.
    fn catch_up(&mut self, cx: &mut Context<'_>) {
        loop {
            let seen = *self.seen();
            if seen >= cx.now {
                return;
            }
            let mut rises = [(Instant::NEVER, 0); MOST];
            for (rise, flag) in rises.iter_mut().zip(self.flags()) {
                *rise = (self.flag_after(flag, seen), flag);
            }
            let Some(at) = rises.iter().map(|(at, _)| *at).min().filter(|at| *at <= cx.now) else { break };
            if self.repeated() == 0 {
                // Nothing depends on the order or on how often.
                let due = rises.iter().filter(|(at, _)| *at <= cx.now);
                self.raise(due.fold(0, |flags, (_, flag)| flags | flag));
                break;
            }
            *self.seen() = at;
            for (_, flag) in rises.iter().filter(|(when, _)| *when == at) {
                self.happen(*flag, at, cx);
            }
        }
        let seen = self.seen();
        *seen = cx.now.max(*seen);
    }

    /// What comes next after `seen`, as its registers are: when something must happen, and when something that others would
    /// notice.
    fn outlook(&self, seen: Instant) -> (Instant, Instant) {
        let next = |wanted: u32| {
            let flags = self.flags().filter(|flag| wanted & flag != 0);
            flags.map(|flag| self.flag_after(flag, seen)).min().unwrap_or(Instant::NEVER)
        };
        let ((intflag, inten), repeated) = (self.interrupts(), self.repeated());
        (next(!intflag | repeated), next(inten & !intflag | repeated))
    }
}
