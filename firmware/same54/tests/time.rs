//! Time: the RTC against the core's cycle counter.
#![no_std]
#![no_main]

use defmt_rtt as _;

#[embedded_test::tests]
mod tests {
    use core::sync::atomic::{AtomicBool, Ordering};
    use core::task::{RawWaker, RawWakerVTable, Waker};

    use cortex_m::peripheral::DWT;
    use embassy_time::{Duration, Instant, Timer};
    use embedded_hal::delay::DelayNs;
    use same54::clock::CORE_HZ;
    use same54::delay::SleepDelay;
    use same54::time::block_on;
    use same54::{Board, time};

    #[init]
    fn init() -> SleepDelay {
        let mut board = Board::take().expect("first call");
        let (_, delay) = time::start(board.rtc, board.delay, &mut board.nvic);
        board.dcb.enable_trace();
        board.dwt.enable_cycle_counter();
        delay
    }

    /// A waker that remembers that it was woken.
    struct Flag(AtomicBool);

    impl Flag {
        fn new() -> &'static Self {
            static FLAG: Flag = Flag(AtomicBool::new(false));
            &FLAG
        }

        fn is_set(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn waker(&'static self) -> Waker {
            const TABLE: RawWakerVTable = RawWakerVTable::new(|data| RawWaker::new(data, &TABLE), set, set, |_| ());
            fn set(data: *const ()) {
                // SAFETY: `data` is the static flag below, the only one that a waker is made of.
                unsafe { &*data.cast::<Flag>() }.0.store(true, Ordering::Relaxed);
            }
            // SAFETY: the table's functions only touch a static, from any context.
            unsafe { Waker::from_raw(RawWaker::new((&raw const *self).cast(), &TABLE)) }
        }
    }

    fn assert_about(value: u64, expected: u64, tolerance: u64) {
        assert!(value.abs_diff(expected) <= tolerance, "{} is not {} +- {}", value, expected, tolerance);
    }

    #[test]
    fn rtc_advances_as_the_cycle_counter_does() {
        let cycles = CORE_HZ / 20;
        let (start, first) = (Instant::now(), DWT::cycle_count());
        while DWT::cycle_count().wrapping_sub(first) < cycles {}
        // 3 % for the open-loop DFLL, two readings with their lag.
        assert_about(start.elapsed().as_micros(), 50_000, 1_500 + 800);
    }

    #[test]
    fn time_never_goes_back() {
        let mut last = Instant::now();
        for _ in 0..20_000 {
            let now = Instant::now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn delay_sleeps_as_long_as_asked(mut delay: SleepDelay) {
        for ms in [1, 2, 10, 250, 3_000] {
            let start = Instant::now();
            delay.delay_ms(ms);
            // 3 % for the open-loop DFLL that SysTick counts, two readings of the RTC with their lag.
            assert_about(start.elapsed().as_micros(), u64::from(ms) * 1_000, u64::from(ms) * 30 + 800);
        }
    }

    #[test]
    fn short_delays_are_not_too_short(mut delay: SleepDelay) {
        for us in [1, 20, 39, 40, 41, 100, 400] {
            let first = DWT::cycle_count();
            let start = Instant::now();
            delay.delay_us(us);
            let cycles = DWT::cycle_count().wrapping_sub(first);
            // The cycle counter may stop while the core sleeps; the RTC does not, but only knows 31 us.
            let slept = start.elapsed().as_micros() + 31;
            assert!(cycles >= us * (CORE_HZ / 1_000_000) * 95 / 100 || slept >= u64::from(us));
        }
    }

    #[test]
    fn interrupts_are_served_during_a_delay(mut delay: SleepDelay) {
        // The alarm's interrupt falls into the delay and takes the timer from the queue.
        let start = Instant::now();
        let mut timer = core::pin::pin!(Timer::after_millis(20));
        let flag = Flag::new();
        let waker = flag.waker();
        let mut context = core::task::Context::from_waker(&waker);
        assert!(core::future::Future::poll(timer.as_mut(), &mut context).is_pending());
        delay.delay_ms(40);
        assert!(flag.is_set());
        assert_about(start.elapsed().as_millis(), 40, 3);
    }

    #[test]
    fn timers_fire_in_order_of_their_deadlines() {
        let mut order = [0_u8; 3];
        let mut next = 0;
        let cell = core::cell::RefCell::new((&mut order, &mut next));
        let note = |id: u8| {
            let (order, next) = &mut *cell.borrow_mut();
            order[**next] = id;
            **next += 1;
        };
        let start = Instant::now();
        block_on(async {
            embassy_futures::join::join3(
                async {
                    Timer::after(Duration::from_millis(30)).await;
                    note(3);
                },
                async {
                    Timer::after(Duration::from_millis(10)).await;
                    note(1);
                },
                async {
                    Timer::after(Duration::from_millis(20)).await;
                    note(2);
                },
            )
            .await
        });
        assert_about(start.elapsed().as_millis(), 30, 1);
        assert_eq!(order, [1, 2, 3]);
    }

    #[test]
    fn long_waits_cost_no_spinning() {
        let first = DWT::cycle_count();
        let start = Instant::now();
        block_on(Timer::after_secs(20));
        assert_about(start.elapsed().as_millis(), 20_000, 1);
        // Whether the counter stands still in sleep is up to the chip; this only shows that both clocks live.
        let _ = DWT::cycle_count().wrapping_sub(first);
    }
}
