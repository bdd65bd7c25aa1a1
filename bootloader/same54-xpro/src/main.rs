//! Bootloader for the SAM E54 Xplained Pro: the board around `bootloader-core`.
//!
//! It runs at 120 MHz: verifying a 400 KB image is SHA-256 over all of it, which at the 48 MHz after reset would keep
//! every start waiting two and a half times as long. Switching takes microseconds.
#![no_std]
#![no_main]

mod crash;
mod hash;
mod keys;
mod log;
mod recovery;

use core::cell::RefCell;

use bootloader_core::{Config, Decision, NothingToStart, Scratch};
use defmt::{info, intern};
use defmt_rtt as _;
use embedded_hal::delay::DelayNs;
use hash::BootDigest;
use log::RttLog;
use same54::{BOARD_NAME, Board, Nor, Nvm, ResetCause, SysTickDelay, guard, start};
use update_image::Region;
use update_image::layout::{BOOTLOADER, SLOT, STORE};

const RAM: Region = Region { start: 0x2000_0000, len: 0x4_0000 };
/// Time for a debugger to fetch the last log lines: the image's own log takes their place in RAM.
const LOG_GRACE_MS: u32 = 20;

/// SysTick, shared by the drivers of both flashes.
#[derive(Clone, Copy)]
struct SharedDelay<'a>(&'a RefCell<SysTickDelay>);

impl DelayNs for SharedDelay<'_> {
    fn delay_ns(&mut self, ns: u32) {
        self.0.borrow_mut().delay_ns(ns);
    }

    fn delay_us(&mut self, us: u32) {
        self.0.borrow_mut().delay_us(us);
    }

    fn delay_ms(&mut self, ms: u32) {
        self.0.borrow_mut().delay_ms(ms);
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(board) = Board::take() else {
        panic!("the board was taken before main");
    };
    info!("boot: reset by {=str}", board.reset_cause.as_str());
    if !board.brown_out_guarded {
        log::complain(intern!("the brown-out detector does not guard flash"));
    }
    // Until an image is released nothing but this program may run: not the slot, not RAM.
    guard::only_below(board.mpu, BOOTLOADER.end());
    let delay = RefCell::new(board.delay);
    let mut delay = SharedDelay(&delay);
    let mut nvm = Nvm::new(board.nvmctrl, delay);
    let crashed = crash::take();
    let mut digest = BootDigest::new(board.icm, !crashed);
    if !digest.is_hardware() {
        log::complain(intern!("hashing by software"));
    }
    let nor = if crashed {
        log::complain(intern!("the last start crashed, going without external flash"));
        None
    } else {
        Nor::new(board.qspi, delay).ok()
    };
    let config = Config {
        board: BOARD_NAME,
        keys: &keys::KEYS,
        slot: SLOT,
        ram: RAM,
        store: STORE,
        watchdog_reset: board.reset_cause == ResetCause::Watchdog,
    };
    let mut log = RttLog { watchdog: board.watchdog };
    // 8 KB on a stack of more than 200.
    let mut scratch = Scratch::new();
    let decision = bootloader_core::boot(&mut nvm, nor, &config, &mut scratch, &mut digest, &mut log);

    match decision {
        Decision::Start { image, trial } => {
            let released = bootloader_core::release(&mut nvm, &config, &mut scratch, &mut digest, &image);
            if let Ok(vector_table) = released {
                log::say_version(intern!("starting"), image.version, intern!(""));
                if let Some(n) = trial {
                    info!("boot: on trial {=u8}", n);
                    log.watchdog.start_16_s();
                }
                if cortex_m::peripheral::DCB::is_debugger_attached() {
                    delay.delay_ms(LOG_GRACE_MS);
                }
                // SAFETY: the slot's image has just been verified, signature and vectors included, and was linked for
                // this table; the drivers use neither DMA nor interrupts other than SysTick, which `start` stops.
                let _refused = unsafe { start::start(vector_table, &SLOT.range()) };
            }
            // A fault, or cells of flash that read differently each time: the next start decides anew.
            log::complain(intern!("the slot does not verify a second time"));
            same54::system_reset()
        }
        Decision::Recover(nothing) => match nothing {
            NothingToStart::Refused(cause) => {
                log::complain_of(intern!("nothing to start, slot"), cause.as_str());
            }
            NothingToStart::SlotFailed => log::complain(intern!("nothing to start, slot failed")),
            NothingToStart::SourceLost(cause) => {
                log::complain_of(intern!("nothing to start, update lost"), cause.as_str());
            }
        },
    }
    // Help comes over the virtual COM port, from a programmer, or from a reset with external flash back again.
    recovery::run(board.uart, &mut nvm, &config, &mut scratch, &mut digest, &mut log.watchdog, board.led, delay)
}
