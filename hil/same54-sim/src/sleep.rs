//! What sleep modes do to the chip (SAM D5x/E5x datasheet, 18.6.3).

use crate::chip::Chip;
use crate::event::ResetCause;
use crate::map::{Id, SLOTS};
use crate::memory::RAM_SIZE;
use crate::pm::Sleep;

/// Blocks of the backup domain.
const BACKUP_DOMAIN: [Id; 5] = [Id::Pm, Id::Rstc, Id::Osc32kctrl, Id::Supc, Id::Rtc];

impl Chip {
    /// The core waits with `mode` selected.
    pub(crate) fn fall_asleep(&mut self, mode: Sleep) {
        let (ram, backup) = self.parts.pm.fall_asleep(mode);
        self.lose_memory(ram, backup);
        if mode == Sleep::Standby {
            self.shared.signals.clocks_dirty = true;
            self.settle(Id::Pm);
        } else {
            self.drive_outputs();
            self.parts.port.retain();
            self.stop_core_domain();
            self.look_for_backup_exit();
        }
    }

    /// An interrupt ends standby.
    pub(crate) fn wake_up(&mut self) {
        self.parts.pm.wake_up();
        self.shared.signals.clocks_dirty = true;
        self.settle(Id::Pm);
        // What came over the cable meanwhile met no controller.
        self.with(Id::Gmac, |_, cx| while cx.receive_frame().is_some() {});
    }

    /// Whether the core's power domain is off.
    pub(crate) fn core_domain_is_off(&self) -> bool {
        self.parts.pm.asleep().is_some_and(|mode| mode != Sleep::Standby)
    }

    /// Nothing but the backup domain has a future.
    fn stop_core_domain(&mut self) {
        for slot in SLOTS.iter().filter(|slot| !BACKUP_DOMAIN.contains(&slot.id)) {
            self.forget_event(slot.id);
        }
    }

    /// An RTC interrupt ends hibernate and backup with a reset.
    pub(crate) fn look_for_backup_exit(&mut self) {
        let hibernated = match self.parts.pm.asleep() {
            Some(Sleep::Hibernate) => true,
            Some(Sleep::Backup) => false,
            _ => return,
        };
        if self.parts.get(Id::Rtc).irqs() != 0 {
            self.parts.rstc.set_sleep_exit(hibernated);
            self.shared.signals.request_reset(ResetCause::Backup);
        }
    }

    fn lose_memory(&mut self, ram: u32, backup: u32) {
        let memory = &mut self.shared.memory;
        self.rng.fill(&mut memory.arrays.ram_mut()[ram as usize..]);
        memory.ram_written(ram..RAM_SIZE);
        self.rng.fill(&mut memory.backup[backup as usize..]);
    }
}
