//! Register offsets and bits of the GMAC (SAM D5x/E5x datasheet, 24.8 "Register Summary"; `atsame54p::gmac`).

pub(super) const NCR: u32 = 0x000;
pub(super) const NCFGR: u32 = 0x004;
pub(super) const NSR: u32 = 0x008;
pub(super) const UR: u32 = 0x00C;
pub(super) const DCFGR: u32 = 0x010;
pub(super) const TSR: u32 = 0x014;
pub(super) const RBQB: u32 = 0x018;
pub(super) const TBQB: u32 = 0x01C;
pub(super) const RSR: u32 = 0x020;
pub(super) const ISR: u32 = 0x024;
pub(super) const IER: u32 = 0x028;
pub(super) const IDR: u32 = 0x02C;
pub(super) const IMR: u32 = 0x030;
pub(super) const MAN: u32 = 0x034;
pub(super) const RPQ: u32 = 0x038;
pub(super) const TPQ: u32 = 0x03C;
pub(super) const TPSF: u32 = 0x040;
pub(super) const RPSF: u32 = 0x044;
pub(super) const RJFML: u32 = 0x048;
pub(super) const HRB: u32 = 0x080;
pub(super) const HRT: u32 = 0x084;
/// SAB1; SAT1 follows, then the other three pairs.
pub(super) const SAB1: u32 = 0x088;
pub(super) const SAT4: u32 = 0x0A4;
pub(super) const TIDM1: u32 = 0x0A8;
pub(super) const TIDM4: u32 = 0x0B4;
pub(super) const WOL: u32 = 0x0B8;
pub(super) const IPGS: u32 = 0x0BC;
pub(super) const SVLAN: u32 = 0x0C0;
pub(super) const TPFCP: u32 = 0x0C4;
pub(super) const SAMB1: u32 = 0x0C8;
pub(super) const SAMT1: u32 = 0x0CC;
pub(super) const NSC: u32 = 0x0DC;
pub(super) const SCL: u32 = 0x0E0;
pub(super) const SCH: u32 = 0x0E4;
/// First and last of the registers that capture PTP events, seconds high.
pub(super) const EFTSH: u32 = 0x0E8;
pub(super) const PEFRSH: u32 = 0x0F4;
/// First and last statistics register.
pub(super) const OTLO: u32 = 0x100;
pub(super) const UCE: u32 = 0x1B0;
pub(super) const TISUBN: u32 = 0x1BC;
pub(super) const TSH: u32 = 0x1C0;
pub(super) const TSSSL: u32 = 0x1C8;
pub(super) const TSSN: u32 = 0x1CC;
pub(super) const TSL: u32 = 0x1D0;
pub(super) const TN: u32 = 0x1D4;
pub(super) const TA: u32 = 0x1D8;
pub(super) const TI: u32 = 0x1DC;
/// First and last of the registers that capture PTP events, seconds low and nanoseconds.
pub(super) const EFTSL: u32 = 0x1E0;
pub(super) const PEFRN: u32 = 0x1FC;
pub(super) const RLPITR: u32 = 0x270;
pub(super) const RLPITI: u32 = 0x274;
pub(super) const TLPITR: u32 = 0x278;
pub(super) const TLPITI: u32 = 0x27C;

/// Bits of NCR.
pub(super) mod ncr {
    pub const LBL: u32 = 1 << 1;
    pub const RXEN: u32 = 1 << 2;
    pub const TXEN: u32 = 1 << 3;
    pub const MPE: u32 = 1 << 4;
    pub const CLRSTAT: u32 = 1 << 5;
    pub const INCSTAT: u32 = 1 << 6;
    pub const WESTAT: u32 = 1 << 7;
    pub const BP: u32 = 1 << 8;
    pub const TSTART: u32 = 1 << 9;
    pub const THALT: u32 = 1 << 10;
    pub const TXPF: u32 = 1 << 11;
    pub const TXZQPF: u32 = 1 << 12;
    pub const SRTSM: u32 = 1 << 15;
    pub const ENPBPR: u32 = 1 << 16;
    pub const TXPBPF: u32 = 1 << 17;
    pub const FNP: u32 = 1 << 18;
    pub const LPI: u32 = 1 << 19;
    /// Bits that start something and read as zero.
    pub const STROBES: u32 = CLRSTAT | INCSTAT | TSTART | THALT | TXPF | TXZQPF | TXPBPF | FNP;
    pub const ALL: u32 = 0x000F_9FFE;
}

/// Bits of NCFGR.
pub(super) mod ncfgr {
    pub const SPD: u32 = 1 << 0;
    pub const FD: u32 = 1 << 1;
    pub const DNVLAN: u32 = 1 << 2;
    pub const JFRAME: u32 = 1 << 3;
    pub const CAF: u32 = 1 << 4;
    pub const NBC: u32 = 1 << 5;
    pub const MTIHEN: u32 = 1 << 6;
    pub const UNIHEN: u32 = 1 << 7;
    pub const MAXFS: u32 = 1 << 8;
    pub const RTY: u32 = 1 << 12;
    pub const PEN: u32 = 1 << 13;
    pub const RXBUFO_SHIFT: u32 = 14;
    pub const LFERD: u32 = 1 << 16;
    pub const RFCS: u32 = 1 << 17;
    pub const CLK_SHIFT: u32 = 18;
    pub const DCPF: u32 = 1 << 23;
    pub const RXCOEN: u32 = 1 << 24;
    pub const IRXFCS: u32 = 1 << 26;
    pub const IPGSEN: u32 = 1 << 28;
    pub const RESET: u32 = 0x0008_0000;
    pub const ALL: u32 = 0x77FF_F1FF;
}

/// Bits of NSR.
pub(super) mod nsr {
    pub const MDIO: u32 = 1 << 1;
    pub const IDLE: u32 = 1 << 2;
}

/// Bits of DCFGR.
pub(super) mod dcfgr {
    /// Descriptors lie big-endian in memory.
    pub const ESMA: u32 = 1 << 6;
    /// Packet data lie big-endian in memory.
    pub const ESPA: u32 = 1 << 7;
    pub const RXBMS_SHIFT: u32 = 8;
    pub const TXPBMS: u32 = 1 << 10;
    pub const TXCOEN: u32 = 1 << 11;
    pub const DRBS_SHIFT: u32 = 16;
    pub const DDRP: u32 = 1 << 24;
    pub const RESET: u32 = 0x0002_0704;
    pub const ALL: u32 = 0x01FF_0FDF;
}

/// Bits of TSR.
pub(super) mod tsr {
    pub const UBR: u32 = 1 << 0;
    pub const COL: u32 = 1 << 1;
    pub const RLE: u32 = 1 << 2;
    pub const TXGO: u32 = 1 << 3;
    pub const TFC: u32 = 1 << 4;
    pub const TXCOMP: u32 = 1 << 5;
    pub const UND: u32 = 1 << 6;
    pub const HRESP: u32 = 1 << 8;
}

/// Bits of RSR.
pub(super) mod rsr {
    pub const BNA: u32 = 1 << 0;
    pub const REC: u32 = 1 << 1;
    pub const RXOVR: u32 = 1 << 2;
    pub const HNO: u32 = 1 << 3;
}

/// Bits of ISR, IER, IDR and IMR.
pub(super) mod int {
    pub const MFS: u32 = 1 << 0;
    pub const RCOMP: u32 = 1 << 1;
    pub const RXUBR: u32 = 1 << 2;
    pub const TXUBR: u32 = 1 << 3;
    pub const TUR: u32 = 1 << 4;
    pub const RLEX: u32 = 1 << 5;
    pub const TFC: u32 = 1 << 6;
    pub const TCOMP: u32 = 1 << 7;
    pub const ROVR: u32 = 1 << 10;
    pub const HRESP: u32 = 1 << 11;
    pub const PFNZ: u32 = 1 << 12;
    pub const PTZ: u32 = 1 << 13;
    pub const PFTR: u32 = 1 << 14;
    pub const DRQFR: u32 = 1 << 18;
    pub const SFR: u32 = 1 << 19;
    pub const DRQFT: u32 = 1 << 20;
    pub const SFT: u32 = 1 << 21;
    pub const PDRQFR: u32 = 1 << 22;
    pub const PDRSFR: u32 = 1 << 23;
    pub const PDRQFT: u32 = 1 << 24;
    pub const PDRSFT: u32 = 1 << 25;
    pub const SRI: u32 = 1 << 26;
    pub const WOL: u32 = 1 << 28;
    pub const TSUCMP: u32 = 1 << 29;
    /// Bits that ISR has.
    pub const SOURCES: u32 = 0x3FFC_7CFF;
    /// IMR after reset: everything is masked.
    pub const ALL: u32 = 0x3FFF_FFFF;
}

/// Receive buffer descriptor (table 24-2).
pub(super) mod rxd {
    /// Word 0: the buffer belongs to software.
    pub const OWN: u32 = 1 << 0;
    /// Word 0: last of the list.
    pub const WRAP: u32 = 1 << 1;
    /// Word 0: address of the buffer.
    pub const ADDR: u32 = !3;
    pub const BROADCAST: u32 = 1 << 31;
    pub const MULTICAST_HASH: u32 = 1 << 30;
    pub const UNICAST_HASH: u32 = 1 << 29;
    pub const SPECIFIC: u32 = 1 << 27;
    pub const SPECIFIC_SHIFT: u32 = 25;
    /// Type ID match, or SNAP with checksum offload.
    pub const TYPE_ID: u32 = 1 << 24;
    /// Number of the matching type ID, or what checksum offload has verified.
    pub const TYPE_ID_SHIFT: u32 = 22;
    pub const VLAN: u32 = 1 << 21;
    pub const PRIORITY: u32 = 1 << 20;
    pub const PRIORITY_SHIFT: u32 = 17;
    pub const CFI: u32 = 1 << 16;
    pub const EOF: u32 = 1 << 15;
    pub const SOF: u32 = 1 << 14;
    /// With NCFGR.IRXFCS: the FCS was wrong.
    pub const BAD_FCS: u32 = 1 << 13;
}

/// Transmit buffer descriptor (table 24-3), word 1.
pub(super) mod txd {
    pub const USED: u32 = 1 << 31;
    pub const WRAP: u32 = 1 << 30;
    pub const RLE: u32 = 1 << 29;
    pub const TFC: u32 = 1 << 27;
    pub const LATE: u32 = 1 << 26;
    pub const CHECKSUM_SHIFT: u32 = 20;
    pub const NO_CRC: u32 = 1 << 16;
    pub const LAST: u32 = 1 << 15;
    pub const LENGTH: u32 = 0x3FFF;
    /// Status bits that the controller writes.
    pub const STATUS: u32 = 0x3FF0_0000;
}

/// Bits of TPSF and RPSF.
pub(super) mod psf {
    /// Partial store and forward is on.
    pub const ENABLE: u32 = 1 << 31;
    /// Watermark in words of the packet buffer.
    pub const WATERMARK: u32 = 0x3FF;
}

/// Bits of WOL.
pub(super) mod wol {
    pub const IP: u32 = 0xFFFF;
    pub const MAG: u32 = 1 << 16;
    pub const ARP: u32 = 1 << 17;
    pub const SA1: u32 = 1 << 18;
    pub const MTI: u32 = 1 << 19;
}
