//! The I2C host (SAM D5x/E5x datasheet, 36).

use std::time::Duration;

use sim_base::Instant;

use super::device::I2cDevice;
use super::pads::Pin;
use super::regs::{Regs, SYNC_SYSOP};
use crate::peripheral::{Context, Write};

const MB: u32 = 1 << 0;
const SB: u32 = 1 << 1;
const ERROR: u32 = 1 << 7;
const SMEN: u32 = 1 << 8;
const QCEN: u32 = 1 << 9;
const ACKACT: u32 = 1 << 18;
const LENEN: u32 = 1 << 13;
const HS: u32 = 1 << 14;
const TENBITEN: u32 = 1 << 15;
const BUSERR: u32 = 1 << 0;
const ARBLOST: u32 = 1 << 1;
const RXNACK: u32 = 1 << 2;
const LOWTOUT: u32 = 1 << 6;
const CLKHOLD: u32 = 1 << 7;
const LENERR: u32 = 1 << 10;
/// What writing ADDR clears of STATUS (36.10.7).
const CLEARED_BY_ADDR: u32 = BUSERR | ARBLOST | RXNACK | LOWTOUT | 1 << 8 | 1 << 9 | LENERR;
/// SCL's rise time, nanoseconds (assumed: the board's pull-ups).
const RISE: u64 = 100;

/// STATUS.BUSSTATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bus {
    Unknown,
    Idle,
    Owner,
}

/// What is on the wires until an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Address,
    Write(u8),
    Read,
    Stop,
    /// INACTOUT: nothing for so long that the bus must be idle.
    Inactive,
}

/// Devices that share SDA and SCL at a pair of pins.
#[derive(Clone)]
struct Wires {
    sda: Pin,
    scl: Pin,
    devices: Vec<Box<dyn I2cDevice>>,
}

/// The host's state machine.
#[derive(Clone)]
pub(super) struct I2cHost {
    bus: Bus,
    step: Option<(Step, Instant)>,
    data: u32,
    /// Bytes that are in `data`, of a 32-bit transfer.
    filled: u32,
    /// Bytes of a 32-bit write that are still to go out.
    outgoing: Vec<u8>,
    /// Bytes left of ADDR.LEN.
    left: u32,
    /// A byte has come in whose acknowledge is still to be sent: SCL is held low.
    unanswered: bool,
    /// The device that has acknowledged its address, in `wires`.
    target: Option<(usize, usize)>,
    wires: Vec<Wires>,
}

impl std::fmt::Debug for I2cHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("I2cHost").field("bus", &self.bus).field("step", &self.step).finish()
    }
}

impl I2cHost {
    pub(super) fn new() -> Self {
        Self {
            bus: Bus::Unknown,
            step: None,
            data: 0,
            filled: 0,
            outgoing: Vec::new(),
            left: 0,
            unanswered: false,
            target: None,
            wires: Vec::new(),
        }
    }

    /// Wires a device to the bus at pins `sda` and `scl`.
    pub(super) fn plug(&mut self, sda: Pin, scl: Pin, device: Box<dyn I2cDevice>) {
        match self.wires.iter_mut().find(|wires| wires.sda == sda) {
            Some(wires) => wires.devices.push(device),
            None => self.wires.push(Wires { sda, scl, devices: vec![device] }),
        }
    }

    pub(super) fn power_on(&mut self) {
        for device in self.wires.iter_mut().flat_map(|wires| &mut wires.devices) {
            device.power_on();
        }
    }

    /// Disabled, or reset: the bus is let go, which the devices do not see as a STOP.
    pub(super) fn stop(&mut self) {
        let wires = std::mem::take(&mut self.wires);
        *self = Self { wires, ..Self::new() };
    }

    pub(super) fn enabled(&mut self, regs: &Regs, cx: &Context<'_>) {
        // 36.10.1, INACTOUT: 5-6, 10-11, 20-21 SCL cycles of 10 us.
        let micros = [0, 55, 105, 205][(regs.ctrla >> 28 & 3) as usize];
        if micros != 0 {
            self.step = Some((Step::Inactive, cx.now + Duration::from_micros(micros)));
        }
    }

    fn is_read(regs: &Regs) -> bool {
        regs.addr & 1 != 0
    }

    fn is_wide(regs: &Regs) -> bool {
        regs.ctrlc >> 24 & 1 != 0
    }

    fn is_smart(regs: &Regs) -> bool {
        regs.ctrlb & SMEN != 0
    }

    /// Time of `bits` SCL periods (36.6.2.4.1); `fast` in high-speed mode.
    fn bits(bits: u64, fast: bool, regs: &Regs, cx: &Context<'_>) -> Duration {
        let Some(_) = regs.periods(1, cx) else { return Duration::from_secs(3_600) };
        let byte = |n: u32| u64::from(regs.baud >> (8 * n) & 0xFF);
        let (high, low, fixed) = if fast { (byte(2), byte(3), 2) } else { (byte(0), byte(1), 10) };
        let periods = fixed + high + if low == 0 { high } else { low };
        let clocks = regs.periods(bits * periods, cx).unwrap_or_default();
        clocks + Duration::from_nanos(if fast { 0 } else { bits * RISE })
    }

    fn is_fast(regs: &Regs) -> bool {
        regs.addr & HS != 0 && regs.ctrla >> 24 & 3 == 2
    }

    fn plan(&mut self, step: Step, bits: u64, regs: &Regs, cx: &Context<'_>) {
        self.step = Some((step, cx.now + Self::bits(bits, Self::is_fast(regs), regs, cx)));
    }

    /// STATUS.
    pub(super) fn status(&self, regs: &Regs) -> u32 {
        let bus = match self.bus {
            Bus::Unknown => 0,
            Bus::Idle => 1,
            Bus::Owner => 2,
        };
        let held = self.bus == Bus::Owner && self.step.is_none();
        regs.status & !0xB0 | bus << 4 | if held { CLKHOLD } else { 0 }
    }

    pub(super) fn write_status(&mut self, value: u32, regs: &mut Regs, cx: &mut Context<'_>) {
        regs.status &= !(value & CLEARED_BY_ADDR & !RXNACK);
        if value >> 4 & 3 == 1 {
            // 36.10.7: only an unknown bus can be forced to idle.
            if self.bus == Bus::Unknown {
                self.bus = Bus::Idle;
                self.step = None;
            }
            regs.synchronise(SYNC_SYSOP, cx);
        }
    }

    pub(super) fn clear_flags(value: u32, regs: &mut Regs) {
        regs.intflag &= !value;
    }

    /// A write of ADDR begins a transaction (36.6.2.4.2).
    pub(super) fn write_addr(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        regs.addr = w.onto_masked(regs.addr, regs.masks().addr);
        if !regs.is_enabled() {
            return;
        }
        regs.status &= !CLEARED_BY_ADDR;
        regs.intflag &= !(MB | SB);
        regs.synchronise(SYNC_SYSOP, cx);
        self.start(regs, cx);
    }

    fn start(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        if self.bus == Bus::Unknown {
            cx.violation(format!("SERCOM{}.ADDR written while the bus state is unknown: it waits for ever", regs.n));
            return;
        }
        // A STOP that is on its way is completed first (assumed: no document tells of an address during it).
        let mut wait = Duration::ZERO;
        if let Some((Step::Stop, at)) = self.step {
            self.stopped(at);
            wait = at.since(cx.now);
        }
        self.bus = Bus::Owner;
        self.unanswered = false;
        self.left = regs.addr >> 16 & 0xFF;
        self.filled = 0;
        self.outgoing.clear();
        let address = if regs.addr & TENBITEN != 0 { 18 } else { 9 };
        // The master code goes out slowly, then a repeated START.
        let code = if Self::is_fast(regs) { Self::bits(10, false, regs, cx) } else { Duration::ZERO };
        self.plan(Step::Address, 1 + address, regs, cx);
        if let Some((_, at)) = &mut self.step {
            *at = *at + code + wait;
        }
    }

    pub(super) fn read_data(&mut self, regs: &mut Regs, cx: &mut Context<'_>) -> u32 {
        let data = self.data;
        // 36.10.2, SMEN: reading answers the byte, and ACK fetches the next. With ADDR.LEN it goes on alike. SB does not
        // matter: software may have cleared it, which leaves the transaction where it is (36.10.6).
        let counted = regs.addr & LENEN != 0;
        if self.unanswered && (Self::is_smart(regs) || counted) {
            self.unanswered = false;
            regs.intflag &= !SB;
            self.filled = 0;
            self.data = 0;
            if counted && self.left == 0 {
                return data;
            }
            self.answer(regs, cx);
        }
        data
    }

    /// The acknowledge action after a received byte; with ACK, the next byte is read.
    fn answer(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        if regs.ctrlb & ACKACT == 0 {
            self.plan(Step::Read, 9, regs, cx);
        } else {
            // A NACK ends the read: the host stops of itself in smart mode only when told (CMD).
            self.step = None;
        }
    }

    pub(super) fn write_data(&mut self, w: Write, regs: &mut Regs, cx: &mut Context<'_>) {
        self.data = w.value;
        if !regs.is_enabled() || self.bus != Bus::Owner || Self::is_read(regs) || self.step.is_some() {
            return;
        }
        regs.intflag &= !MB;
        let mut bytes = w.value.to_le_bytes().to_vec();
        bytes.truncate(if Self::is_wide(regs) { 4 } else { 1 });
        if regs.addr & LENEN != 0 {
            bytes.truncate(self.left.max(1) as usize);
        }
        self.outgoing = bytes;
        self.next_outgoing(regs, cx);
        regs.synchronise(SYNC_SYSOP, cx);
    }

    fn next_outgoing(&mut self, regs: &Regs, cx: &Context<'_>) {
        let byte = self.outgoing.remove(0);
        self.plan(Step::Write(byte), 9, regs, cx);
    }

    /// CTRLB.CMD, which reads back as 0.
    pub(super) fn command(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        let command = regs.ctrlb >> 16 & 3;
        regs.ctrlb &= !(3 << 16);
        if command == 0 || !regs.is_enabled() || self.bus != Bus::Owner {
            return;
        }
        regs.intflag &= !(MB | SB);
        self.unanswered = false;
        regs.synchronise(SYNC_SYSOP, cx);
        match command {
            1 => self.start(regs, cx),
            2 if Self::is_read(regs) => {
                self.filled = 0;
                self.data = 0;
                self.plan(Step::Read, 9, regs, cx);
            }
            2 => {}
            _ => self.plan(Step::Stop, 2, regs, cx),
        }
    }

    pub(super) fn next_event(&self) -> Instant {
        self.step.map_or(Instant::NEVER, |(_, at)| at)
    }

    /// DMA requests: receive, transmit (36.6.4.1).
    pub(super) fn requests(&self, regs: &Regs) -> (bool, bool) {
        let counted = regs.addr & LENEN != 0;
        let waits = self.bus == Bus::Owner && self.step.is_none() && regs.is_enabled();
        let transmit = waits && !Self::is_read(regs) && regs.status & (RXNACK | LENERR) == 0;
        (regs.intflag & SB != 0 && Self::is_read(regs), transmit && (!counted || self.left != 0))
    }

    pub(super) fn advance(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        while let Some((step, _)) = self.step.filter(|(_, at)| *at <= cx.now) {
            self.step = None;
            match step {
                Step::Inactive => self.bus = Bus::Idle,
                Step::Stop => self.stopped(cx.now),
                Step::Address => self.addressed(regs, cx),
                Step::Write(byte) => self.written(byte, regs, cx),
                Step::Read => self.received(regs, cx),
            }
        }
    }

    fn stopped(&mut self, now: Instant) {
        self.bus = Bus::Idle;
        self.target = None;
        for device in self.wires.iter_mut().flat_map(|wires| &mut wires.devices) {
            device.stop(now);
        }
    }

    /// The devices at the pins of PAD[0] (SDA) and PAD[1] (SCL).
    fn wires(&self, regs: &mut Regs, cx: &mut Context<'_>) -> Option<usize> {
        let (sda, scl) = (regs.pin(0, "SDA", cx)?, regs.pin(1, "SCL", cx)?);
        self.wires.iter().position(|wires| wires.sda == sda && wires.scl == scl)
    }

    fn addressed(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        let read = Self::is_read(regs);
        self.target = None;
        if let Some(n) = self.wires(regs, cx)
            && regs.addr & TENBITEN == 0
        {
            let address = (regs.addr >> 1 & 0x7F) as u8;
            let devices = self.wires[n].devices.iter_mut().enumerate();
            // Every device sees the START, so each ends what it was doing.
            let answers: Vec<usize> =
                devices.filter_map(|(d, device)| device.start(address, read, cx.now).then_some(d)).collect();
            self.target = answers.first().map(|d| (n, *d));
        }
        if self.target.is_none() {
            regs.status |= RXNACK;
            regs.intflag |= MB;
            if regs.addr & LENEN != 0 {
                self.fail_length(regs);
            }
            return;
        }
        regs.status &= !RXNACK;
        if regs.ctrlb & QCEN != 0 {
            // 36.6.3.5: a quick command ends here.
            regs.intflag |= if read { SB } else { MB };
        } else if read {
            self.plan(Step::Read, 8, regs, cx);
        } else if regs.addr & LENEN == 0 {
            regs.intflag |= MB;
        }
    }

    /// A NACK before all of ADDR.LEN.
    fn fail_length(&self, regs: &mut Regs) {
        regs.status |= LENERR;
        regs.intflag |= ERROR;
    }

    fn written(&mut self, byte: u8, regs: &mut Regs, cx: &mut Context<'_>) {
        let acknowledged = match self.target {
            Some((n, d)) => self.wires[n].devices[d].write(byte, cx.now),
            None => false,
        };
        let counted = regs.addr & LENEN != 0;
        regs.status = regs.status & !RXNACK | if acknowledged { 0 } else { RXNACK };
        self.left = self.left.saturating_sub(u32::from(counted));
        if !acknowledged {
            self.outgoing.clear();
            regs.intflag |= MB;
            if counted && self.left != 0 {
                self.fail_length(regs);
            }
            return;
        }
        if !self.outgoing.is_empty() {
            self.next_outgoing(regs, cx);
        } else if !counted {
            regs.intflag |= MB;
        } else if self.left == 0 {
            // 36.6.4.1: the transaction of ADDR.LEN bytes ends with a STOP.
            regs.intflag |= MB;
            self.plan(Step::Stop, 2, regs, cx);
        }
    }

    fn received(&mut self, regs: &mut Regs, cx: &mut Context<'_>) {
        let byte = match self.target {
            Some((n, d)) => self.wires[n].devices[d].read(cx.now),
            None => 0xFF,
        };
        let counted = regs.addr & LENEN != 0;
        self.left = self.left.saturating_sub(u32::from(counted));
        if Self::is_wide(regs) {
            self.data |= u32::from(byte) << (8 * self.filled);
        } else {
            self.data = byte.into();
        }
        self.filled += 1;
        let last = counted && self.left == 0;
        if Self::is_wide(regs) && self.filled < 4 && !last {
            self.plan(Step::Read, 9, regs, cx);
            return;
        }
        regs.intflag |= SB;
        self.unanswered = true;
        if last {
            self.plan(Step::Stop, 3, regs, cx);
        }
    }
}
