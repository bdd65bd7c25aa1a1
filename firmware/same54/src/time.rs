//! embassy-time on the RTC: mode 0, 32 bits at 32.768 kHz (SAM D5x/E5x datasheet, chapter 21).
//!
//! The counter is extended to 64 bits by counting half periods: one interrupt when COUNT passes 0x8000_0000, one when it
//! wraps. COUNT is read through a synchroniser and lags by up to 12 ticks, compare values take as long to
//! arrive; both show below wherever a margin is kept.

use core::cell::{Cell, RefCell};
use core::future::Future;
use core::pin::pin;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use atsamd_hal::pac::{self, interrupt};
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;
use pac::Interrupt;
use pac::NVIC;

use crate::clock::RtcSource;
use crate::delay::{SleepDelay, SysTickDelay};
use crate::priority;
use crate::xpro::RtcPort;

/// Two synchronisations of at most six cycles each (datasheet 13.3): how far a read of COUNT can lag, and how far ahead
/// a compare value must lie to be met, ticks.
const SYNC_SLACK: u64 = 12;

/// Alarms further out than this are reached in several steps, ticks.
const MAX_STEP: u64 = 0x4000_0000;

/// No alarm.
const NEVER: u64 = u64::MAX;

const HALF_PERIOD: u32 = 0x8000_0000;

struct RtcDriver {
    /// Half periods of COUNT since the start.
    half_periods: AtomicU32,
    /// What COMP0 was last set to, as a 64-bit tick, or [`NEVER`].
    alarm: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static DRIVER: RtcDriver = RtcDriver {
    half_periods: AtomicU32::new(0),
    alarm: Mutex::new(Cell::new(NEVER)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

fn rtc() -> &'static pac::rtc::Mode0 {
    // SAFETY: `start` consumes the RTC's owner, so this module is the registers' only user; each register access is
    // atomic, and the sequences that belong together run in critical sections.
    unsafe { (*pac::Rtc::ptr()).mode0() }
}

/// Starts embassy-time. Before this call time stands still at 0.
///
/// SysTick goes over to the second value, which waits with interrupts served.
pub fn start(mut port: RtcPort, mut delay: SysTickDelay, nvic: &mut NVIC) -> (RtcSource, SleepDelay) {
    let source = port.start_clock(&mut delay);
    let rtc = port.rtc.mode0();
    rtc.ctrla().write(|w| w.swrst().set_bit());
    while rtc.ctrla().read().swrst().bit_is_set() || rtc.syncbusy().read().bits() != 0 {}
    rtc.ctrla().write(|w| {
        w.mode().count32();
        w.prescaler().div1();
        w.countsync().set_bit()
    });
    while rtc.syncbusy().read().bits() != 0 {}
    // SAFETY: COMP takes any value.
    rtc.comp(1).write(|w| unsafe { w.comp().bits(HALF_PERIOD) });
    while rtc.syncbusy().read().bits() != 0 {}
    rtc.ctrla().modify(|_, w| w.enable().set_bit());
    while rtc.syncbusy().read().bits() != 0 {}
    rtc.intflag().write(|w| w.ovf().set_bit().cmp1().set_bit());
    rtc.intenset().write(|w| w.ovf().set_bit().cmp1().set_bit());
    priority::enable(nvic, Interrupt::RTC, priority::TIME);
    (source, SleepDelay::new(delay))
}

impl RtcDriver {
    /// Sets COMP0 so that it interrupts at `at` or a little later. False if `at` has passed.
    fn arm(&self, cs: CriticalSection, at: u64) -> bool {
        let alarm = self.alarm.borrow(cs);
        if at == NEVER {
            return true;
        }
        let now = self.now();
        if at <= now {
            return false;
        }
        let target = at.max(now + SYNC_SLACK).min(now + MAX_STEP);
        if alarm.get() <= target {
            // An earlier alarm comes first and arms anew. Writing COMP less often matters: each write blocks the
            // next one for up to 180 microseconds.
            return true;
        }
        let rtc = rtc();
        while rtc.syncbusy().read().comp0().bit_is_set() {}
        // SAFETY: COMP takes any value; the low half of a 64-bit tick is what COUNT will show.
        rtc.comp(0).write(|w| unsafe { w.comp().bits(target as u32) });
        rtc.intflag().write(|w| w.cmp0().set_bit());
        rtc.intenset().write(|w| w.cmp0().set_bit());
        alarm.set(target);
        true
    }

    fn process(&self, cs: CriticalSection) {
        let mut queue = self.queue.borrow_ref_mut(cs);
        loop {
            let next = queue.next_expiration(self.now());
            if self.arm(cs, next) {
                return;
            }
        }
    }

    fn on_interrupt(&self) {
        let rtc = rtc();
        let flags = rtc.intflag().read();
        if flags.cmp1().bit_is_set() || flags.ovf().bit_is_set() {
            rtc.intflag().write(|w| w.ovf().set_bit().cmp1().set_bit());
            let passed = self.half_periods.load(Ordering::Relaxed) + 1;
            // COUNT's reading may still be in the old half; time would leap by 18 hours until it follows.
            let upper_half = passed & 1 == 1;
            while (rtc.count().read().bits() & HALF_PERIOD != 0) != upper_half {}
            self.half_periods.store(passed, Ordering::Release);
        }
        critical_section::with(|cs| {
            if flags.cmp0().bit_is_set() {
                rtc.intflag().write(|w| w.cmp0().set_bit());
                rtc.intenclr().write(|w| w.cmp0().set_bit());
                self.alarm.borrow(cs).set(NEVER);
            }
            self.process(cs);
        });
    }
}

impl Driver for RtcDriver {
    fn now(&self) -> u64 {
        let half_periods = self.half_periods.load(Ordering::Acquire);
        let count = rtc().count().read().bits();
        // An odd number of half periods means that COUNT should be in its upper half; if the interrupt that counts the
        // next one is still due, the exclusive or yields exactly the half period that is missing.
        (u64::from(half_periods) << 31) + u64::from(count ^ ((half_periods & 1) << 31))
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            if self.queue.borrow_ref_mut(cs).schedule_wake(at, waker) {
                self.process(cs);
            }
        });
    }
}

#[interrupt]
fn RTC() {
    DRIVER.on_interrupt();
}

/// Runs one future to its end in thread mode, asleep between its wake-ups. For tests and other single-purpose programs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        // Any interrupt may have made progress possible, so the future is polled after each.
        let polled = cortex_m::interrupt::free(|_| {
            let polled = future.as_mut().poll(&mut context);
            if polled.is_pending() {
                cortex_m::asm::dsb();
                cortex_m::asm::wfi();
            }
            polled
        });
        if let Poll::Ready(output) = polled {
            return output;
        }
    }
}
