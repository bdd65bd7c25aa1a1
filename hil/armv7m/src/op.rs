//! Predecoded instructions.

/// What an [`Op`] does. The comment beside a kind says how it uses the fields; `d` of flag-setting immediates is the
/// carry that the immediate leaves: 0, 1, or [`Op::CARRY_KEPT`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    // Hot: executed inside the run loop.
    #[default]
    Nop,
    MovI,
    MovIS,
    MovR,
    MovRS,
    MvnR,
    AddI,
    AddIS,
    AddR,
    AddRS,
    AddLsl,
    AddSh,
    AdcR,
    AdcRS,
    SbcR,
    SbcRS,
    SubIS,
    SubR,
    SubRS,
    SubSh,
    RsbI,
    RsbIS,
    RsbSh,
    CmpI,
    CmpR,
    AndI,
    AndIS,
    AndR,
    AndRS,
    AndSh,
    OrrI,
    OrrR,
    OrrRS,
    OrrLsl,
    OrrLsr,
    OrrSh,
    EorI,
    EorR,
    EorRS,
    EorLsl,
    EorLsr,
    EorRor,
    EorSh,
    BicR,
    BicRS,
    BicSh,
    LslI,
    LslIS,
    LsrI,
    LsrIS,
    AsrI,
    AsrIS,
    RorI,
    LslR,
    LslRS,
    LsrR,
    LsrRS,
    /// `b` is Rd as well.
    Movt,
    Uxtb,
    Uxth,
    Sxtb,
    Sxth,
    /// `imm` is the mask, `d` the least significant bit.
    Ubfx,
    /// `c` shifts left, `d` shifts back.
    Sbfx,
    /// `imm` is the mask in place, `d` the least significant bit.
    Bfi,
    Rev,
    Clz,
    Mul,
    MulS,
    /// `imm` is Ra, as in `Mls`.
    Mla,
    Mls,
    /// `a` RdLo, `d` RdHi, as in the other long multiplications.
    Umull,
    Umlal,
    Umaal,
    Smull,
    Smlal,
    Udiv,
    Sdiv,
    LdrI,
    LdrbI,
    LdrhI,
    LdrsbI,
    LdrshI,
    StrI,
    StrbI,
    StrhI,
    /// Register offsets: `imm` is the left shift of Rm.
    LdrR,
    LdrbR,
    LdrhR,
    LdrsbR,
    LdrshR,
    StrR,
    StrbR,
    StrhR,
    /// `imm` is the absolute address.
    LdrLit,
    LdrPre,
    LdrPost,
    LdrbPre,
    LdrbPost,
    StrPre,
    StrPost,
    StrbPre,
    StrbPost,
    /// `c` is Rt2.
    Ldrd,
    Strd,
    /// `imm` is the register list, `d` the number of registers.
    Push,
    Pop,
    PopPc,
    /// `d` is 1 for writeback.
    LdmIa,
    StmIa,
    /// `imm` is the target, as in the conditional ones.
    B,
    Beq,
    Bne,
    Bcs,
    Bcc,
    Bmi,
    Bpl,
    Bvs,
    Bvc,
    Bhi,
    Bls,
    Bge,
    Blt,
    Bgt,
    Ble,
    Bl,
    Bx,
    Blx,
    Cbz,
    Cbnz,

    // Cold: executed out of line.
    /// `imm` is the encoding, `d` an [`Invalid`](crate::decode::Invalid).
    Undefined,
    /// A coprocessor that is not there.
    NoCoprocessor,
    /// `imm` is ITSTATE for the next instruction.
    It,
    /// Any data processing: `d` is [`Alu`] with `Op::SETS_FLAGS`, `c` the carry of the immediate.
    DpImm,
    /// Any data processing: `imm` is the shift amount with the type in bits 8 and up.
    DpReg,
    /// `d` is the shift type with `Op::SETS_FLAGS`; the amount is in Rm.
    ShiftR,
    /// `d` is made of the bits in [`mem_form`].
    MemImm,
    MemReg,
    MemLit,
    /// `d`: bit 0 pre-indexed, bit 1 writeback.
    LdrdIdx,
    StrdIdx,
    LdrdLit,
    /// `d` is 1 for writeback.
    LdmDb,
    StmDb,
    /// `b` 15 is the PC.
    Tbb,
    Tbh,
    Ldrex,
    Ldrexb,
    Ldrexh,
    /// `d` is Rd, the status.
    Strex,
    Strexb,
    Strexh,
    Clrex,
    Barrier,
    /// BX PC: to `imm`, and out of Thumb state.
    BxPc,
    Svc,
    Bkpt,
    Wfi,
    Wfe,
    Sev,
    /// `d` 1 disables; `imm` bit 1 PRIMASK, bit 0 FAULTMASK.
    Cps,
    /// `imm` is SYSm.
    Mrs,
    /// `imm` is SYSm with the APSR mask in bits 10 and 11.
    Msr,
    Rev16,
    Revsh,
    Rbit,
    /// `d` is one of [`extend`], `imm` the rotation, `b` 15 without an addition.
    Extend,
    Pkhbt,
    Pkhtb,
    /// `c` shift amount, `d` 1 for ASR, `imm` the bit to saturate to.
    Ssat,
    Usat,
    Ssat16,
    Usat16,
    /// `d` operation, `imm` prefix.
    Parallel,
    Sel,
    /// `d`: bit 0 doubles, bit 1 subtracts.
    Saturating,
    /// `d`: bit 1 N, bit 0 M; `imm` Ra or 15.
    SmlaXy,
    /// `d`: bit 0 M.
    SmlaWy,
    /// `d`: bit 0 X, bit 1 subtracts.
    Smlad,
    /// `d`: bit 0 R, bit 1 subtracts.
    Smmla,
    Usada8,
    /// `imm`: bit 1 N, bit 0 M.
    SmlalXy,
    /// `imm`: bit 0 X, bit 1 subtracts.
    Smlald,

    // Floating point: register numbers are those of single registers.
    Vadd,
    Vsub,
    Vmul,
    Vnmul,
    Vdiv,
    /// `d`: bit 0 negates the product, bit 1 the addend.
    Vmla,
    Vfma,
    VmovI,
    VmovR,
    Vabs,
    Vneg,
    Vsqrt,
    /// `d`: bit 0 top half, bit 1 to half precision.
    VcvtHalf,
    /// `d` bit 0: E; `c` 32 compares with zero.
    Vcmp,
    /// `d` bit 0: signed.
    VcvtFromInt,
    /// `d`: bit 0 signed, bit 1 round to zero.
    VcvtToInt,
    /// `d`: bit 0 unsigned, bit 1 to fixed, bit 2 32 bits; `imm` fraction bits.
    VcvtFixed,
    /// `a` core register, `b` single register.
    VmovToCore,
    VmovFromCore,
    /// `a`, `d` core registers, `b` first single register.
    VmovToCore2,
    VmovFromCore2,
    Vmrs,
    Vmsr,
    /// `b` base register (15: `imm` is the absolute address), `d` the number of single registers.
    Vldr,
    Vstr,
    /// `c`: bit 0 writeback, bit 1 decrement before; `d` the number of single registers.
    Vldm,
    Vstm,
}

/// The data processing operations in their modified-immediate numbering (ARMv7-M ARM A5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Alu {
    And = 0,
    Bic = 1,
    Orr = 2,
    Orn = 3,
    Eor = 4,
    Mov = 5,
    Mvn = 6,
    Add = 8,
    Adc = 10,
    Sbc = 11,
    Sub = 13,
    Rsb = 14,
}

impl Alu {
    pub(crate) fn from_bits(bits: u8) -> Self {
        match bits & 15 {
            0 => Self::And,
            1 => Self::Bic,
            2 => Self::Orr,
            3 => Self::Orn,
            4 => Self::Eor,
            5 => Self::Mov,
            6 => Self::Mvn,
            8 => Self::Add,
            10 => Self::Adc,
            11 => Self::Sbc,
            14 => Self::Rsb,
            _ => Self::Sub,
        }
    }
}

/// The extensions in their encoding order (ARMv7-M ARM A5.3.14).
pub(crate) mod extend {
    pub(crate) const SXTH: u8 = 0;
    pub(crate) const UXTH: u8 = 1;
    pub(crate) const SXTB16: u8 = 2;
    pub(crate) const UXTB16: u8 = 3;
    pub(crate) const SXTB: u8 = 4;
    pub(crate) const UXTB: u8 = 5;
}

/// Bits of `d` in the general load and store kinds.
pub(crate) mod mem_form {
    /// log2 of the size.
    pub(crate) const SIZE: u8 = 3;
    pub(crate) const SIGNED: u8 = 4;
    pub(crate) const LOAD: u8 = 8;
    /// The offset applies before the access (else after it).
    pub(crate) const PRE: u8 = 16;
    pub(crate) const WRITEBACK: u8 = 32;
    /// LDRT and the like: checked as unprivileged.
    pub(crate) const UNPRIVILEGED: u8 = 64;
}

/// A predecoded instruction. Twelve bytes: half a million of them cover 1 MiB of flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Op {
    pub(crate) kind: Kind,
    /// ITSTATE while this instruction runs, 0 outside an IT block. The condition is in the upper half.
    pub(crate) it: u8,
    /// Bytes.
    pub(crate) len: u8,
    /// Cycles; a taken conditional branch costs one more.
    pub(crate) cost: u8,
    /// Usually Rd or Rt.
    pub(crate) a: u8,
    /// Usually Rn.
    pub(crate) b: u8,
    /// Usually Rm.
    pub(crate) c: u8,
    /// See [`Kind`].
    pub(crate) d: u8,
    /// Usually the immediate.
    pub(crate) imm: u32,
}

impl Op {
    /// The immediate leaves the carry flag alone.
    pub(crate) const CARRY_KEPT: u8 = 2;
    /// Bit of `d` in the general data processing kinds.
    pub(crate) const SETS_FLAGS: u8 = 16;

    pub(crate) fn new(kind: Kind, a: u32, b: u32, c: u32, d: u32, imm: u32) -> Self {
        Self { kind, a: a as u8, b: b as u8, c: c as u8, d: d as u8, imm, ..Self::default() }
    }

    /// With `cost` filled in.
    pub(crate) fn with_cost(self) -> Self {
        Self { cost: crate::timing::fixed(&self), ..self }
    }
}
