//! Nothing can be started: the virtual COM port takes a signed image (`boot-recovery`), and the LED flashes twice a second.

use boot_recovery::{FlashFailed, Progress, Recovery, Target};
use bootloader_core::{Config, Scratch};
use defmt::{error, info, warn};
use embedded_hal::delay::DelayNs;
use embedded_storage::nor_flash::NorFlash;
use same54::led::Led;
use same54::uart::BAUD_RATE;
use same54::watchdog::Watchdog;
use same54::{Uart, UartPort, system_reset};
use update_image::boot_record::BootRecord;
use update_image::layout::ERASE_SIZE;
use update_image::{Digest, FlashSource, ImageInfo, Policy, VerifyError, verify};

/// Time between two looks at the receiver, which holds two characters of 87 us each.
const POLL_US: u32 = 40;
/// Looks to a step of the LED, an eighth of a second.
const STEP: u32 = 125_000 / POLL_US;
/// Steps in which the LED is lit, of eight: two short flashes.
const PATTERN: u8 = 0b0000_0101;
/// With an image in place the board starts after this many steps of silence, 10 s. Tools ask for a reset; people forget.
const SILENCE: u32 = 80;

/// The slot, under the rules of a start.
struct Slot<'a, F: NorFlash> {
    record: BootRecord<F>,
    config: &'a Config<'a>,
    digest: &'a mut dyn Digest,
    watchdog: &'a mut Watchdog,
}

impl<F: NorFlash> Target for Slot<'_, F> {
    fn erase(&mut self, offset: u32) -> Result<(), FlashFailed> {
        self.watchdog.feed();
        let address = self.config.slot.start + offset;
        self.record.flash().erase(address, address + ERASE_SIZE).map_err(|_| FlashFailed)
    }

    fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), FlashFailed> {
        self.watchdog.feed();
        self.record.flash().write(self.config.slot.start + offset, data).map_err(|_| FlashFailed)
    }

    fn verify(&mut self, scratch: &mut [u8]) -> Result<ImageInfo, VerifyError<FlashFailed>> {
        let policy = Policy {
            slot: self.config.slot,
            ram: self.config.ram,
            board: self.config.board,
            keys: self.config.keys,
            min_counter: self.record.state().counter,
        };
        let mut source = FlashSource { flash: self.record.flash(), base: policy.slot.start };
        verify(&mut source, policy.slot.len, &policy, self.digest, scratch).map_err(|error| match error {
            VerifyError::Refused(cause) => {
                warn!("boot: recovery refused: {=str}", cause.as_str());
                VerifyError::Refused(cause)
            }
            VerifyError::Read(_) => VerifyError::Read(FlashFailed),
        })
    }

    fn accept(&mut self, image: &ImageInfo) {
        let v = image.version;
        info!("boot: recovery took {=u8}.{=u8}.{=u16}", v.major, v.minor, v.revision);
        if self.record.adopt(image).is_err() {
            // The next start finds a good image that no update has put there, and tries again.
            warn!("boot: boot record failed");
        }
    }
}

/// Takes an image and resets the board.
#[allow(clippy::too_many_arguments, reason = "called once, with what the bootloader has")]
pub fn run(
    port: UartPort,
    flash: impl NorFlash,
    config: &Config<'_>,
    scratch: &mut Scratch,
    digest: &mut dyn Digest,
    watchdog: &mut Watchdog,
    mut led: Led,
    mut delay: impl DelayNs,
) -> ! {
    let mut uart: Uart = port.start();
    error!("boot: waiting for an image over the virtual COM port, {=u32} baud", BAUD_RATE);
    let mut slot = Slot { record: BootRecord::open(flash), config, digest, watchdog };
    let mut recovery = Recovery::new(config.slot.len, scratch.bytes_mut());
    let (mut looks, mut steps, mut silence) = (0, 0_u8, 0);
    loop {
        if let Some(byte) = uart.read() {
            silence = 0;
            let progress = recovery.receive(byte, &mut slot, &mut |byte| uart.write(byte));
            if progress == Progress::Reset {
                uart.flush();
                system_reset();
            }
            continue;
        }
        delay.delay_us(POLL_US);
        looks += 1;
        if looks < STEP {
            continue;
        }
        looks = 0;
        slot.watchdog.feed();
        led.set(PATTERN >> (steps % 8) & 1 == 1);
        steps = steps.wrapping_add(1);
        silence += 1;
        if recovery.is_complete() && silence > SILENCE {
            system_reset();
        }
    }
}
