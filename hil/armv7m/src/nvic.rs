//! Exception state: pending, active, enabled, priorities (ARMv7-M ARM B1.5, B3.4).

/// Exception numbers.
pub(crate) mod exception {
    pub(crate) const NMI: u16 = 2;
    pub(crate) const HARD_FAULT: u16 = 3;
    pub(crate) const MEM_MANAGE: u16 = 4;
    pub(crate) const BUS_FAULT: u16 = 5;
    pub(crate) const USAGE_FAULT: u16 = 6;
    pub(crate) const SVCALL: u16 = 11;
    pub(crate) const DEBUG_MONITOR: u16 = 12;
    pub(crate) const PENDSV: u16 = 14;
    pub(crate) const SYSTICK: u16 = 15;
    pub(crate) const IRQ0: u16 = 16;
}
use exception::{DEBUG_MONITOR, HARD_FAULT, IRQ0, NMI, PENDSV, SVCALL, SYSTICK};

/// Priority of the base level: any exception preempts it.
const THREAD: i16 = 256;

/// One bit for each exception.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Set([u64; 4]);

impl Set {
    pub(crate) fn has(&self, number: u16) -> bool {
        self.0[usize::from(number >> 6) & 3] >> (number & 63) & 1 != 0
    }

    pub(crate) fn set(&mut self, number: u16, on: bool) {
        let word = &mut self.0[usize::from(number >> 6) & 3];
        *word = *word & !(1 << (number & 63)) | u64::from(on) << (number & 63);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().zip((0..4).map(|i| i * 64)).flat_map(|(&word, base)| {
            core::iter::successors(Some(word), |&rest| Some(rest & rest.wrapping_sub(1)))
                .take_while(|&rest| rest != 0)
                .map(move |rest| base + rest.trailing_zeros() as u16)
        })
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Interrupts `32 * bank ..` as a register shows them.
    fn interrupts(&self, bank: u32) -> u32 {
        let bit = u32::from(IRQ0) + 32 * bank;
        let word = |i: u32| self.0.get(i as usize).copied().unwrap_or(0);
        let both = u128::from(word(bit / 64)) | u128::from(word(bit / 64 + 1)) << 64;
        (both >> (bit % 64)) as u32
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Nvic {
    priority: [u8; 256],
    enabled: Set,
    pub(crate) pending: Set,
    pub(crate) active: Set,
    /// Levels of the interrupt lines.
    level: Set,
    lines: u16,
    priority_mask: u8,
    /// AIRCR.PRIGROUP.
    pub(crate) group: u8,
    /// Best group priority among the active exceptions.
    active_priority: i16,
    /// The masks' contribution to the execution priority.
    boost: i16,
    /// DHCSR.C_MASKINTS holds back PendSV, SysTick and the interrupts.
    pub(crate) mask_interrupts: bool,
    /// The pending exception that would be taken first, with its group priority.
    best: Option<(u16, i16)>,
}

impl Nvic {
    pub(crate) fn new(lines: usize, priority_bits: u8) -> Self {
        let mut nvic = Self {
            priority: [0; 256],
            enabled: Set::default(),
            pending: Set::default(),
            active: Set::default(),
            level: Set::default(),
            lines: lines.min(240) as u16,
            priority_mask: !(0xFFu16 >> priority_bits.clamp(1, 8)) as u8,
            group: 0,
            active_priority: THREAD,
            boost: THREAD,
            mask_interrupts: false,
            best: None,
        };
        nvic.reset();
        nvic
    }

    pub(crate) fn reset(&mut self) {
        self.priority = [0; 256];
        self.enabled = Set::default();
        self.pending = Set::default();
        self.active = Set::default();
        self.group = 0;
        for number in [NMI, HARD_FAULT, SVCALL, PENDSV, SYSTICK] {
            self.enabled.set(number, true);
        }
        self.boost = THREAD;
        self.update_active();
        for number in IRQ0..IRQ0 + self.lines {
            let high = self.level.has(number);
            self.pending.set(number, high);
        }
        self.update_pending();
    }

    fn group_mask(&self) -> u8 {
        (0xFFFE_u16 << self.group) as u8
    }

    /// Group priority, which decides about preemption.
    pub(crate) fn group_priority(&self, number: u16) -> i16 {
        match number {
            NMI => -2,
            HARD_FAULT => -1,
            _ => i16::from(self.priority[usize::from(number) & 255] & self.group_mask()),
        }
    }

    fn full_priority(&self, number: u16) -> i16 {
        match number {
            NMI => -2,
            HARD_FAULT => -1,
            _ => i16::from(self.priority[usize::from(number) & 255]),
        }
    }

    pub(crate) fn priority(&self, number: u16) -> u8 {
        self.priority[usize::from(number) & 255]
    }

    pub(crate) fn set_priority(&mut self, number: u16, value: u8) {
        if number < IRQ0 + self.lines {
            self.priority[usize::from(number) & 255] = value & self.priority_mask;
            self.update_active();
            self.update_pending();
        }
    }

    pub(crate) fn mask_priority(&self, value: u8) -> u8 {
        value & self.priority_mask
    }

    pub(crate) fn set_group(&mut self, group: u8) {
        self.group = group & 7;
        self.update_active();
        self.update_pending();
    }

    fn update_active(&mut self) {
        self.active_priority = self.active.iter().map(|number| self.group_priority(number)).min().unwrap_or(THREAD);
    }

    /// To be called after any change of `pending` or `enabled` from outside.
    pub(crate) fn update_pending(&mut self) {
        let masked = |number: u16| self.mask_interrupts && number >= PENDSV;
        self.best = self
            .pending
            .iter()
            .filter(|&number| self.enabled.has(number) && !masked(number))
            .min_by_key(|&number| (self.full_priority(number), number))
            .map(|number| (number, self.group_priority(number)));
    }

    /// PRIMASK, FAULTMASK and BASEPRI as they are now.
    pub(crate) fn set_masks(&mut self, primask: bool, faultmask: bool, basepri: u8) {
        self.boost = if faultmask {
            -1
        } else if primask {
            0
        } else {
            self.base_priority(basepri)
        };
    }

    fn base_priority(&self, basepri: u8) -> i16 {
        if basepri == 0 { THREAD } else { i16::from(basepri & self.group_mask()) }
    }

    /// ExecutionPriority (B1.5.4).
    pub(crate) fn execution_priority(&self) -> i16 {
        self.active_priority.min(self.boost)
    }

    /// The exception to take now, if any preempts.
    pub(crate) fn preempting(&self) -> Option<u16> {
        self.best.filter(|&(_, priority)| priority < self.execution_priority()).map(|(number, _)| number)
    }

    /// Whether a pending exception would wake WFI: as [`preempting`](Self::preempting), but PRIMASK does not count
    /// (B1.5.19).
    pub(crate) fn wakes(&self, faultmask: bool, basepri: u8) -> bool {
        let boost = if faultmask { -1 } else { self.base_priority(basepri) };
        self.best.is_some_and(|(_, priority)| priority < self.active_priority.min(boost))
    }

    /// Number of the highest-priority pending and enabled exception (ICSR.VECTPENDING).
    pub(crate) fn vect_pending(&self) -> u16 {
        self.best.map_or(0, |(number, _)| number)
    }

    /// Makes an exception pending; tells whether it was not before.
    pub(crate) fn pend(&mut self, number: u16) -> bool {
        let fresh = !self.pending.has(number);
        self.pending.set(number, true);
        self.update_pending();
        fresh
    }

    pub(crate) fn unpend(&mut self, number: u16) {
        // A line that is still high makes its interrupt pending again at once (B3.4.1).
        let held = number >= IRQ0 && self.level.has(number) && !self.active.has(number);
        self.pending.set(number, held);
        self.update_pending();
    }

    pub(crate) fn activate(&mut self, number: u16) {
        self.pending.set(number, false);
        self.active.set(number, true);
        self.update_active();
        self.update_pending();
    }

    pub(crate) fn deactivate(&mut self, number: u16) {
        self.active.set(number, false);
        self.update_active();
        if number >= IRQ0 && self.level.has(number) {
            self.pending.set(number, true);
            self.update_pending();
        }
    }

    pub(crate) fn set_active(&mut self, number: u16, on: bool) {
        self.active.set(number, on);
        self.update_active();
    }

    pub(crate) fn enable(&mut self, number: u16, on: bool) {
        if number == DEBUG_MONITOR || number < IRQ0 + self.lines {
            self.enabled.set(number, on);
            self.update_pending();
        }
    }

    pub(crate) fn is_enabled(&self, number: u16) -> bool {
        self.enabled.has(number)
    }

    /// Drives a line; tells whether the interrupt became pending.
    pub(crate) fn set_level(&mut self, line: usize, high: bool) -> bool {
        let Some(number) = u16::try_from(line).ok().filter(|&line| line < self.lines).map(|line| IRQ0 + line) else {
            return false;
        };
        let rises = high && !self.level.has(number);
        self.level.set(number, high);
        // While its handler runs, the level counts when the handler returns; a new edge counts at once.
        rises && self.pend(number)
    }

    /// Other exceptions than the one that returns are active (nested handlers).
    pub(crate) fn active_count(&self) -> u32 {
        self.active.count()
    }

    pub(crate) fn lines(&self) -> u16 {
        self.lines
    }

    /// ISER, ICER, ISPR, ICPR and IABR as the program reads them; `offset` from 0xE000E000.
    pub(crate) fn read_bank(&self, offset: u32) -> u32 {
        let bank = offset >> 2 & 7;
        match offset {
            0x100..0x140 | 0x180..0x1C0 => self.enabled.interrupts(bank),
            0x200..0x240 | 0x280..0x2C0 => self.pending.interrupts(bank),
            _ => self.active.interrupts(bank),
        }
    }

    /// Tells whether an interrupt became pending that was not.
    pub(crate) fn write_bank(&mut self, offset: u32, value: u32) -> bool {
        let bank = (offset >> 2 & 7) as u16;
        let mut fresh = false;
        for bit in (0..32).filter(|&bit| value >> bit & 1 != 0) {
            let line = bank * 32 + bit;
            if line >= self.lines {
                continue;
            }
            let number = IRQ0 + line;
            match offset {
                0x100..0x140 => self.enabled.set(number, true),
                0x180..0x1C0 => self.enabled.set(number, false),
                0x200..0x240 => fresh |= self.pend(number),
                0x280..0x2C0 => self.unpend(number),
                _ => {}
            }
        }
        self.update_pending();
        fresh
    }
}
