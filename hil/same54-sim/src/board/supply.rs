//! The board's supply: on, off, sagging, and what keeps the backup domain alive.
//!
//! Fidelity: the supply is a voltage that an observer sets. Below 1.6 V (assumed; POR33 of table 54-15) the chip has none;
//! below BOD33's threshold its action follows: reset until the voltage is above the upper threshold (assumed: with the
//! settings that the detector had), interrupt, or backup. The external flash loses its supply below 2.5 V (Micron's
//! greatest VWI). Edges take no time. VBAT carries the backup domain (RTC, backup RAM, BBPS) over a time without supply
//! if SUPC has it switched over: BBPS.CONF, or BOD33's action; the chip then wakes from backup mode, with
//! BKUPEXIT.BBPS if BBPS.WAKEEN asked for it. RAM contents after a cut are random or, if asked for, decay.

use std::time::Duration;

use sim_base::Instant;

use super::{Board, PlannedCut};
use crate::map::Id;
use crate::memory::FLASH_SIZE;
use crate::supc::Watch;
use crate::tear::Tear;
use crate::{EventKind, ResetCause};

/// The board's regulator gives this, in millivolts.
const NOMINAL: u32 = 3_300;
/// Below this the chip is in power-on reset.
const POWER_ON_RESET: u32 = 1_600;

/// The state of the supply.
#[derive(Clone, Debug)]
pub(super) struct Supply {
    millivolts: u32,
    battery: bool,
    /// The backup domain is on VBAT.
    on_battery: bool,
    off_since: Instant,
    ram_half_life: Option<Duration>,
    tear: Option<Tear>,
}

impl Supply {
    pub(super) fn new() -> Self {
        Self {
            millivolts: 0,
            battery: false,
            on_battery: false,
            off_since: Instant::ZERO,
            ram_half_life: None,
            tear: None,
        }
    }
}

impl Board {
    /// Switches the supply on, 3.3 V; the chip leaves power-on reset.
    pub fn power_on(&mut self) {
        self.set_supply(NOMINAL);
    }

    /// Cuts the supply now. A flash operation in flight is torn; RAM is lost; the backup domain too, unless VBAT is there
    /// ([`set_battery`](Self::set_battery)) and the program had it switched over.
    pub fn power_off(&mut self) {
        self.set_supply(0);
    }

    /// Sets the supply voltage, and does what crossing a threshold does: power-on reset, brown-out detector, external
    /// flash.
    pub fn set_supply(&mut self, millivolts: u32) {
        self.sync();
        let was = std::mem::replace(&mut self.supply.millivolts, millivolts);
        if millivolts < POWER_ON_RESET {
            self.lose_supply();
            return;
        }
        if !self.powered {
            self.chip.with(Id::Qspi, |parts, cx| parts.qspi.supply_nor(millivolts, true, cx));
            self.gain_supply();
        } else if millivolts != was {
            let tear = self.supply.tear;
            self.chip.sag(millivolts, tear);
        }
        let watch = self.chip.with(Id::Supc, |parts, cx| parts.supc.watch(millivolts, cx.now));
        match watch {
            Watch::Sound => {}
            Watch::Reset => self.reset_chip(ResetCause::BrownOut),
            Watch::Release => self.reset(ResetCause::BrownOut),
        }
        self.serve();
    }

    /// Supply voltage, millivolts.
    pub fn supply(&self) -> u32 {
        self.supply.millivolts
    }

    /// Connects a battery (or the board's capacitor, charged) to VBAT, or takes it away. Delivered without.
    pub fn set_battery(&mut self, present: bool) {
        self.supply.battery = present;
        self.supply.on_battery &= present;
    }

    /// What torn flash operations leave behind from now on; `None` lets the seed decide for each.
    pub fn set_tear(&mut self, tear: Option<Tear>) {
        self.supply.tear = tear;
    }

    /// Half of RAM survives a cut of this length; `None`, the default, is none of any cut.
    pub fn set_ram_decay(&mut self, half_life: Option<Duration>) {
        self.supply.ram_half_life = half_life;
    }

    /// Cuts the supply in the middle of a flash operation: the one after `skip` others that begin from now on, when
    /// `share`/256 of its time has passed. Internal and external flash count alike. Flash timing must be on.
    /// [`run_until`](Self::run_until) comes back at the cut; [`is_powered`](Self::is_powered) is false then.
    pub fn cut_power_in_flash_operation(&mut self, skip: u64, share: u8) {
        self.operations_seen = self.operations();
        self.planned_cut = Some(PlannedCut { remaining: skip, share, at: None });
    }

    /// From now on [`run_until`](Self::run_until) comes back with [`RunStop::Operation`](crate::RunStop::Operation)
    /// whenever the program begins a flash operation, or no longer. Flash timing must be on.
    pub fn stop_at_flash_operations(&mut self, on: bool) {
        self.operations_seen = self.operations();
        self.stops_at_operations = on;
        self.operation_begun = false;
    }

    /// Cuts the supply when the core has reached `cycle`, between two instructions.
    /// [`run_until`](Self::run_until) comes back then.
    pub fn cut_power_at_cycle(&mut self, cycle: u64) {
        self.sync();
        let at = self.chip.time.at(cycle.max(self.cpu.cycle()));
        self.planned_cut = Some(PlannedCut { remaining: 0, share: 0, at: Some(at) });
    }

    /// The supply dips for a moment, to just above power-on reset. True if the brown-out detector was on and reset the
    /// chip.
    pub fn brown_out(&mut self) -> bool {
        let before = self.supply.millivolts;
        if !self.powered {
            return false;
        }
        self.set_supply(POWER_ON_RESET);
        let resets = self.chip.parts.supc.holds_reset();
        self.set_supply(before);
        resets
    }

    /// RESETN, the brown-out detector or the DSU keep the core from running.
    pub(super) fn is_held_in_reset(&self) -> bool {
        self.reset_asserted || self.chip.parts.supc.holds_reset() || self.chip.parts.dsu.holds_core()
    }

    fn gain_supply(&mut self) {
        self.powered = true;
        self.event(EventKind::PowerOn);
        let off = self.now() - self.supply.off_since;
        self.chip.ram_lost = self.supply.ram_half_life.map(|half_life| lost(off, half_life));
        let cause = if std::mem::take(&mut self.supply.on_battery) {
            let wakes = self.chip.parts.supc.wakes_from_battery();
            self.chip.parts.rstc.set_backup_exit(wakes);
            ResetCause::Backup
        } else {
            ResetCause::PowerOn
        };
        self.reset(cause);
    }

    fn lose_supply(&mut self) {
        if !self.powered {
            return;
        }
        let kept = self.supply.battery && self.chip.parts.supc.switches_to_battery();
        let torn = self.chip.power_cut(self.supply.tear);
        if torn.is_some() {
            self.cpu.invalidate_code(0..FLASH_SIZE);
        }
        self.powered = false;
        self.supply.on_battery = kept;
        self.supply.off_since = self.now();
        self.planned_cut = None;
        self.operations_seen = [None; 2];
        self.operation_begun = false;
        self.event(EventKind::PowerOff { torn });
    }
}

/// Share of RAM, in 1/65536, that `off` without supply costs.
fn lost(off: Duration, half_life: Duration) -> u16 {
    let halves = off.as_secs_f64() / half_life.as_secs_f64().max(1e-9);
    (65_535.0 * (1.0 - (-halves).exp2())) as u16
}
