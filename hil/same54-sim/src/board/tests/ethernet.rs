//! The PHY's pins on the board (SAM E54 Xplained Pro user guide, 5.3.7).

use super::*;
use sim_base::EthernetLink;

const MCLK_APBCMASK: u32 = 0x4000_081C;
const GMAC_NCR: u32 = 0x4200_0800;
const GMAC_MAN: u32 = 0x4200_0834;
const EIC_CTRLA: u32 = 0x4000_2800;
const EIC_INTFLAG: u32 = 0x4000_2814;
const EIC_CONFIG0: u32 = 0x4000_281C;
const PORT_D: u32 = 0x4100_8180;

/// `loop: wfi; b loop`
const SLEEP: [u16; 2] = [0xBF30, 0xE7FD];

/// A far end that is there and silent.
struct Silent;

impl EthernetLink for Silent {
    fn transmit(&mut self, _: Instant, _: &[u8]) {}
    fn receive(&mut self, _: Instant) -> Option<Vec<u8>> {
        None
    }
    fn poll_at(&self) -> Instant {
        Instant::NEVER
    }
    fn is_up(&self) -> bool {
        true
    }
}

/// A sleeping board with management on and PD12 as EXTINT7, falling edge.
fn board() -> Board {
    let mut board = with_code(&SLEEP, &[], true);
    set(&mut board, MCLK_APBCMASK, 0x2004);
    set(&mut board, GMAC_NCR, 1 << 4);
    board.debug_write(PORT_D + 0x4C, Size::Byte, 0b11).unwrap();
    // Asynchronous: the EIC has no clock.
    set(&mut board, EIC_CONFIG0 - 4, 1 << 7);
    set(&mut board, EIC_CONFIG0, 2 << 28);
    set(&mut board, EIC_CTRLA, 2);
    board
}

fn write_phy(board: &mut Board, register: u32, value: u16) {
    set(board, GMAC_MAN, 0x5002_0000 | register << 18 | u32::from(value));
    let soon = board.now() + Duration::from_millis(1);
    board.run_until(soon);
}

#[test]
fn phy_interrupts_reach_extint_7_as_the_cable_comes_and_goes() {
    let mut board = board();
    write_phy(&mut board, 0x1B, 0x0500);
    board.plug_ethernet(Box::new(Silent));
    let plugged = board.now();
    board.run_until(plugged + Duration::from_millis(1_499));
    assert_eq!(word(&mut board, EIC_INTFLAG), 0);
    board.run_until(plugged + Duration::from_millis(1_501));
    assert_eq!(word(&mut board, EIC_INTFLAG), 1 << 7);

    // Reading 1Bh lets go of the pin; pulling the cable asserts it again.
    set(&mut board, EIC_INTFLAG, 1 << 7);
    set(&mut board, GMAC_MAN, 0x6002_0000 | 0x1B << 18);
    let soon = board.now() + Duration::from_millis(1);
    board.run_until(soon);
    assert_eq!(word(&mut board, EIC_INTFLAG), 0);
    board.unplug_ethernet();
    let soon = board.now() + Duration::from_millis(1);
    board.run_until(soon);
    assert_eq!(word(&mut board, EIC_INTFLAG), 1 << 7);
}
