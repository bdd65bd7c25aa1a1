//! State of halting debug and the debug monitor (ARMv7-M ARM C1.6).

/// DHCSR bits.
pub(crate) mod dhcsr {
    pub(crate) const C_DEBUGEN: u32 = 1 << 0;
    pub(crate) const C_HALT: u32 = 1 << 1;
    pub(crate) const C_STEP: u32 = 1 << 2;
    pub(crate) const C_MASKINTS: u32 = 1 << 3;
    pub(crate) const C_SNAPSTALL: u32 = 1 << 5;
    pub(crate) const S_REGRDY: u32 = 1 << 16;
    pub(crate) const S_HALT: u32 = 1 << 17;
    pub(crate) const S_SLEEP: u32 = 1 << 18;
    pub(crate) const S_LOCKUP: u32 = 1 << 19;
    pub(crate) const S_RETIRE_ST: u32 = 1 << 24;
    pub(crate) const S_RESET_ST: u32 = 1 << 25;
}

/// DFSR bits.
pub(crate) mod dfsr {
    pub(crate) const HALTED: u32 = 1 << 0;
    pub(crate) const BKPT: u32 = 1 << 1;
    pub(crate) const DWTTRAP: u32 = 1 << 2;
    pub(crate) const VCATCH: u32 = 1 << 3;
}

/// DEMCR bits.
pub(crate) mod demcr {
    pub(crate) const VC_CORERESET: u32 = 1 << 0;
    pub(crate) const VC_MMERR: u32 = 1 << 4;
    pub(crate) const VC_NOCPERR: u32 = 1 << 5;
    pub(crate) const VC_CHKERR: u32 = 1 << 6;
    pub(crate) const VC_STATERR: u32 = 1 << 7;
    pub(crate) const VC_BUSERR: u32 = 1 << 8;
    pub(crate) const VC_INTERR: u32 = 1 << 9;
    pub(crate) const VC_HARDERR: u32 = 1 << 10;
    pub(crate) const MON_EN: u32 = 1 << 16;
    pub(crate) const MON_PEND: u32 = 1 << 17;
    pub(crate) const MON_STEP: u32 = 1 << 18;
    pub(crate) const TRCENA: u32 = 1 << 24;
    pub(crate) const WRITABLE: u32 = 0x010F_07F1;
}

/// DHCSR, DCRDR, DEMCR, DFSR.
#[derive(Clone, Debug, Default)]
pub(crate) struct Debug {
    /// The control half of DHCSR.
    pub(crate) control: u32,
    pub(crate) dcrdr: u32,
    pub(crate) demcr: u32,
    pub(crate) dfsr: u32,
    pub(crate) halted: bool,
    /// DHCSR.S_RESET_ST and S_RETIRE_ST, which clear on read.
    pub(crate) reset_seen: bool,
    pub(crate) retired: u64,
    /// A watchpoint matched; taken after the instruction.
    pub(crate) watch_hit: bool,
}

impl Debug {
    pub(crate) fn enabled(&self) -> bool {
        self.control & dhcsr::C_DEBUGEN != 0
    }

    pub(crate) fn stepping(&self) -> bool {
        self.control & (dhcsr::C_DEBUGEN | dhcsr::C_STEP | dhcsr::C_HALT) == dhcsr::C_DEBUGEN | dhcsr::C_STEP
    }
}
