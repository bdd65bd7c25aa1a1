//! The LED and the wait on SysTick, as a defmt-test suite: shows that such programs run under the same runner.
#![no_std]
#![no_main]

use cortex_m::interrupt;
use defmt_rtt as _;
use panic_probe as _;

/// A failed assertion ends the run as a fault does, without its message being printed twice.
#[defmt::panic_handler]
fn panic() -> ! {
    interrupt::disable();
    panic_probe::hard_fault()
}

#[defmt_test::tests]
mod tests {
    use defmt::assert;
    use embedded_hal::delay::DelayNs;
    use same54::Board;

    #[init]
    fn init() -> Board {
        defmt::unwrap!(Board::take())
    }

    #[test]
    fn led_can_be_switched(board: &mut Board) {
        board.led.set(true);
        board.led.toggle();
        board.led.set(false);
    }

    #[test]
    fn systick_wait_ends(board: &mut Board) {
        board.delay.delay_ms(500);
        assert!(!cortex_m::peripheral::SCB::is_pendst_pending());
    }
}
