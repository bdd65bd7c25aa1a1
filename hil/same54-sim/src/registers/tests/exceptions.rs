//! Where the model is right to differ from the table, each with its reason.

/// How a register may differ from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It reads this after power-on.
    Reads(u32),
    /// These bits depend on time, fuses or the board, after power-on and later.
    Varies(u32),
    /// Bits that a write changes although no field of the table is writable there.
    Changes(u32),
    /// Stored, but these bits are not kept.
    NotKept(u32),
    /// A read has an effect, so a second one gives something else.
    Destroyed,
}

/// A register, as the table has it, that differs.
#[derive(Debug)]
pub(super) struct Exception {
    block: &'static str,
    /// Name in the table; `*` at its end or beginning stands for the rest.
    register: &'static str,
    pub(super) what: What,
    /// Why that is right.
    #[expect(dead_code, reason = "for people")]
    why: &'static str,
}

impl Exception {
    const fn new(block: &'static str, register: &'static str, what: What, why: &'static str) -> Self {
        Self { block, register, what, why }
    }

    /// Whether it speaks of element `n` of `register` of `block`.
    pub(super) fn is_of(&self, block: &str, register: &str, n: usize) -> bool {
        let name = match (self.register.strip_prefix('*'), self.register.strip_suffix('*')) {
            (Some(tail), _) => register.ends_with(tail),
            (_, Some(head)) => register.starts_with(head),
            _ => register == self.register || register.replace("[]", &format!("[{n}]")) == self.register,
        };
        self.block == block && name
    }
}

/// All bits, of an alternative view of an address.
const ALL: u32 = u32::MAX;
const OTHER_VIEW: &str = "one of several views of the address, of which a stored block shows the first";

/// All of them.
pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception::new("DSU", "STATUSB", What::Reads(0x10), "HPE: nothing keeps a debugger from hot-plugging (12.6.3)"),
    Exception::new("DSU", "DID", What::Reads(0x6184_0300), "the revision is D (12.10.2)"),
    Exception::new("DSU", "ENTRY0", What::Varies(1), "EPRES: the core's ROM table can be reached (12.13.10)"),
    Exception::new("DSU", "MEMTYPE", What::Varies(1), "SMEMP: the chip is not secured (12.13.13)"),
    Exception::new("GCLK", "GENCTRL[0]", What::Reads(0x106), "generator 0 runs from the DFLL (14.8.3)"),
    Exception::new("MCLK", "APBAMASK", What::Reads(0xFFFF), "the test has switched all clocks on"),
    Exception::new("MCLK", "APBBMASK", What::Reads(0x0001_FED7), "the test has switched all clocks on"),
    Exception::new("MCLK", "APBCMASK", What::Reads(0x6FFC), "the test has switched all clocks on"),
    Exception::new("MCLK", "APBDMASK", What::Reads(0x0FFF), "the test has switched all clocks on"),
    Exception::new(
        "NVMCTRL",
        "PARAM",
        What::Reads(0x8006_0800),
        "2,048 pages and SmartEEPROM: a chip of 1 MiB (25.8.3)",
    ),
    Exception::new("NVMCTRL", "STATUS", What::Reads(0x0F11), "READY, AFIRST and BOOTPROT, the latter from fuses"),
    Exception::new("NVMCTRL", "RUNLOCK", What::Reads(ALL), "from fuses (25.8.9)"),
    Exception::new("OSC32KCTRL", "OSCULP32K", What::Reads(6), "EN32K and EN1K are set by reset (29.8.10)"),
    Exception::new("OSCCTRL", "INTFLAG", What::Reads(0x100), "the DFLL has got ready"),
    Exception::new("OSCCTRL", "STATUS", What::Varies(0x0F0F_1F3F), "follows the oscillators; the DFLL is ready"),
    Exception::new("OSCCTRL", "DFLLVAL", What::Reads(0x2C80), "calibration of the factory (28.8.9)"),
    Exception::new("OSCCTRL", "DFLLVAL", What::NotKept(0xFFFF_0000), "DIFF is read-only (28.8.9); the table says not"),
    Exception::new("PAC", "STATUSB", What::Reads(0), "the test has cleared the DSU's protection"),
    Exception::new("PM", "INTFLAG", What::Reads(1), "SLEEPRDY: the backup regulator is ready"),
    Exception::new("RAMECC", "STATUS", What::Reads(1), "ECCDIS, from fuses"),
    Exception::new("RSTC", "RCAUSE", What::Reads(1), "power-on reset"),
    Exception::new("SDHC0", "*_EMMC_MODE", What::Changes(ALL), OTHER_VIEW),
    Exception::new("SDHC0", "*_EMMC_MODE", What::NotKept(ALL), OTHER_VIEW),
    Exception::new("SERCOM0", "*.CTRLA", What::NotKept(ALL), "SWRST clears itself, and the mode with the rest"),
    Exception::new("SERCOM0", "*.INTENCLR", What::NotKept(ALL), "clears what INTENSET sets"),
    Exception::new("SERCOM0", "*.INTFLAG", What::NotKept(ALL), "a one clears"),
    Exception::new("SERCOM0", "*.STATUS", What::NotKept(ALL), "a one clears"),
    Exception::new("SUPC", "STATUS", What::Reads(0x500), "VREGRDY and VCORERDY"),
    Exception::new("SUPC", "BOD33", What::Reads(0x001C_0204), "from fuses (19.8.5)"),
    Exception::new("TCC0", "*_MODE", What::Changes(ALL), OTHER_VIEW),
];
