//! Time: the RTC against the core's cycle counter.
#![no_std]
#![no_main]

use defmt_rtt as _;

#[embedded_test::tests]
mod tests {
    use cortex_m::peripheral::DWT;
    use embassy_time::{Duration, Instant, Timer};
    use embedded_hal::delay::DelayNs;
    use same54::clock::CORE_HZ;
    use same54::time::{AlarmDelay, block_on};
    use same54::{Board, time};

    #[init]
    fn init() {
        let mut board = Board::take().expect("first call");
        time::start(board.rtc, &mut board.delay, &mut board.nvic);
        board.dcb.enable_trace();
        board.dwt.enable_cycle_counter();
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
    fn alarm_delay_sleeps_as_long_as_asked() {
        for ms in [1, 2, 10, 250, 3_000] {
            let start = Instant::now();
            AlarmDelay.delay_ms(ms);
            let took = start.elapsed().as_micros();
            assert!(took >= u64::from(ms) * 1_000);
            assert_about(took, u64::from(ms) * 1_000, 1_000);
        }
    }

    #[test]
    fn short_delays_are_not_too_short() {
        for us in [1, 20, 39, 40, 41, 100, 400] {
            let first = DWT::cycle_count();
            let start = Instant::now();
            AlarmDelay.delay_us(us);
            let cycles = DWT::cycle_count().wrapping_sub(first);
            // The cycle counter may stop while the core sleeps; the RTC does not, but only knows 31 us.
            let slept = start.elapsed().as_micros() + 31;
            assert!(cycles >= us * (CORE_HZ / 1_000_000) * 95 / 100 || slept >= u64::from(us));
        }
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
