//! What the steps of a block do: one list for the enumeration, for the translation and for the run loop.

use crate::op::Kind;

/// Calls a macro with the lists of kinds that the run loop executes in line, by how they are executed, and with the
/// sequences that it executes in one go: a name, and how each step is executed. The sequences are those that save most
/// in the kernels of `bench-guest` and in the firmware's handshakes.
///
/// A step's result need not go through its register on the way to the next step: where a sequence names an operand, `b` or
/// `c`, that is the register `a` of the step before. What is `passing` is a `simple` step whose result the next step alone
/// sees, because it has the same destination.
macro_rules! with_codes {
    ($callback:ident) => {
        $callback! {
            simple: [
                MovI MovIS MovR MovRS MvnR AddI AddIS AddR AddRS AddLsl AddSh AdcR AdcRS SbcR SbcRS SubIS SubR SubRS
                SubSh RsbI RsbIS RsbSh CmpI CmpR AndI AndIS AndR AndRS AndSh OrrI OrrR OrrRS OrrLsl OrrLsr OrrSh EorI
                EorR EorRS EorLsl EorLsr EorRor EorSh BicR BicRS BicSh LslI LslIS LsrI LsrIS AsrI AsrIS RorI LslR LsrR
                Movt Uxtb Uxth Sxtb Sxth Ubfx Sbfx Bfi Rev Clz Mul MulS Mla Mls Umull Umlal Umaal Smull Smlal
            ]
            access: [
                LdrI LdrbI LdrhI LdrsbI LdrshI StrI StrbI StrhI LdrR LdrbR LdrhR LdrsbR LdrshR StrR StrbR
                StrhR LdrLit LdrPre LdrPost LdrbPre LdrbPost StrPre StrPost StrbPre StrbPost Ldrd Strd Push Pop StmIa
            ]
            division: [Udiv Sdiv]
            float: [
                Vadd Vsub Vmul Vnmul Vdiv Vsqrt Vmla Vfma VmovI VmovR Vabs Vneg Vcmp VcvtFromInt VmovToCore VmovFromCore
                VcvtToInt Vmrs Vldr Vstr
            ]
            condition: [Beq Bne Bcs Bcc Bmi Bpl Bvs Bvc Bhi Bls Bge Blt Bgt Ble Cbz Cbnz]
            jump: [B Bl]
            indirect: [Bx Blx PopPc Tbb Tbh]
            fused: [
                F000 = access LdrI, access LdrI;
                F001 = access LdrI, access LdrI, passing EorRor b, passing EorRor c, passing EorRor c,
                    passing EorRor c, simple EorRor c, simple EorRor c;
                F002 = access LdrI, access LdrI, simple Mla c, access LdrI, access LdrI, simple Mla c;
                F003 = access LdrI, access LdrI, simple Mla c, access LdrI, access LdrI, simple Mla c, access LdrI;
                F004 = access LdrI, access LdrI, simple Mla c, access LdrI, access LdrI, simple MulS, access LdrI,
                    access StrI;
                F005 = access LdrI, access LdrI, simple Mla, access LdrI, simple Mla, access LdrI, access LdrI,
                    simple Mla;
                F006 = access LdrI, access StrI;
                F007 = access LdrI, access StrI, access LdrI, access StrI, access LdrI;
                F008 = access LdrI, access StrI, simple AddI, simple AddR;
                F009 = access LdrI, access StrPost, simple CmpR, condition Bcs, access LdrI, access StrPost,
                    simple CmpR, guard If;
                F010 = access LdrI, guard If, access StrPost, guard If, simple CmpR, condition Bcs, access LdrI,
                    simple AddIS;
                F011 = access LdrI, passing EorRor, simple EorRor c, simple AddI, simple AddI b, passing EorRor,
                    simple EorRor c, access LdrI;
                F012 = access LdrI, simple AddR;
                F013 = access LdrI, simple AddR, simple AddR, simple MovR, condition Bne;
                F014 = access LdrI, simple CmpR c, condition Bcs, access StrI, access LdrI, simple CmpR b,
                    condition Beq;
                F015 = access LdrI, simple Mla b, access LdrI, access LdrI, simple Mla c, access LdrI, access LdrI,
                    simple Mla c;
                F016 = access LdrI, simple Mla c, access LdrI, access LdrI, simple Mla c, access LdrI, access LdrI,
                    simple Mla c;
                F017 = access LdrI, simple Mla, access LdrI, access LdrI, access LdrI, simple Mla, access LdrI,
                    access LdrI;
                F018 = access LdrI, simple Mla, access LdrI, access LdrI, simple Mla, access LdrI;
                F019 = access LdrI, simple Mla, access LdrI, access LdrI, simple Mla, access LdrI, simple Mla;
                F020 = access LdrI, simple MovIS, access LdrI, simple MovIS, access LdrI, simple CmpR, guard If,
                    simple MovI;
                F021 = access LdrI, simple SubIS;
                F022 = access LdrR, access LdrI, access StrI, access StrR, simple CmpR;
                F023 = access LdrR, access LdrR, simple AndR b, simple AddRS b, simple OrrR, simple AndR, simple BicR,
                    simple OrrR c;
                F024 = access LdrR, simple AddI, simple CmpI b, simple AddR, access StrR, condition Beq, access LdrbR,
                    simple LslIS;
                F025 = access LdrR, simple AddR, access LdrI, access LdrI, access LdrI, simple MulS, access LdrI,
                    access LdrI;
                F026 = access LdrR, simple Umaal, access StrR, simple AddIS;
                F027 = access LdrbI, access StrbI, access LdrbI, access StrbI, access LdrbI, access StrbI,
                    simple AddI, simple CmpR b;
                F028 = access LdrbI, simple Uxtb, access LdrR c, simple EorLsr b, passing EorR c, simple Uxtb c,
                    access LdrR c, simple EorLsr b;
                F029 = access LdrbI, simple Uxtb, access LdrR c, simple EorLsr b, simple EorR c;
                F030 = access LdrbI, simple Uxtb, access LdrR c, simple EorLsr b, simple EorR c, access LdrbI;
                F031 = access LdrbPre, simple SubIS, access LdrbI, access LdrbI, simple EorR, access LdrbI;
                F032 = access Ldrd, simple CmpR c, condition Bcs, simple MovR, simple MovR, simple MovR, access Strd;
                F033 = access Push, simple AddI;
                F034 = access Push, simple AddI, access Push, simple AddI, simple CmpI, condition Bcc;
                F035 = access StrI, access StrI, simple LsrR, access LdrI, access LdrI, access StrI;
                F036 = access StrI, simple AddI;
                F037 = access StrI, simple AddI, condition Bhi, access Pop, simple MovR, simple MovR;
                F038 = access StrI, simple AddI, simple MovR, simple AddR, simple Umlal, simple AddRS b, simple Umaal,
                    simple AdcR;
                F039 = access StrI, simple AddLsl, simple AddLsl b, simple AddLsl, simple AddLsl b, simple MovI,
                    access LdrI, guard If;
                F040 = access StrI, simple AddR, access LdrI, simple LsrR, access LdrI, access StrI;
                F041 = access StrI, simple CmpI, access LdrI, access StrI, access LdrI, access StrI, access LdrI,
                    simple AddI;
                F042 = access StrI, simple LsrR, access StrI, access Ldrd, simple LslR c, access LdrI, access LdrI,
                    simple AddIS;
                F043 = access StrI, simple MovR, simple MovR, simple MovR, simple EorR, simple AndR, simple AndR,
                    simple MovR;
                F044 = access StrPost, simple CmpR, condition Bcc;
                F045 = access StrR, access LdrI, simple CmpR b, condition Beq, simple AddRS, simple MovR;
                F046 = condition Cbz, simple LslIS, condition Bne, simple CmpI, condition Bcc, access LdrI,
                    simple MovIS, access StrI;
                F047 = float Vadd, simple AddI, simple AddI, simple CmpI, float Vdiv, float Vadd, condition Bhi,
                    float VmovToCore;
                F048 = float Vldr, float Vldr, float Vldr, float Vldr, float Vldr, float Vldr, float Vmla, float Vldr;
                F049 = float Vldr, float Vldr, float Vmla, float Vldr, float Vldr, float Vmla, float VmovR,
                    float Vmla;
                F050 = float Vldr, float Vldr, float Vmla, float Vldr, float Vmla, float Vmla, float Vmla, float Vldr;
                F051 = float Vldr, float Vmla, float Vldr, float Vldr, float Vmla, float Vldr, float Vldr, float Vmla;
                F052 = guard If, simple AddI, access LdrR c, access LdrI, access StrI, access StrR, simple CmpR;
                F053 = guard If, simple MovI, guard If, simple MovI, simple CmpR, guard If, simple MovR;
                F054 = guard If, simple MovR, simple CmpR, simple MovR, simple MovR, guard If, simple MovR, guard If;
                F055 = passing AddI, simple AddR b, access Ldrd b, simple AddR c, passing MovI, simple Movt b,
                    access StrI, simple AddR;
                F056 = passing AddI, simple Uxtb c, simple CmpI b, condition Bcs, simple MovIS;
                F057 = passing AndR, passing AddR b, simple AddR b, simple MovR, passing AddR, simple AddR b,
                    access LdrI, simple AddR c;
                F058 = passing EorR, simple Uxtb c, access LdrR c, simple EorLsr b, simple EorR c;
                F059 = passing EorRor, passing AddR b, simple AddR b, simple AndR, simple AddR c, simple AddR c,
                    access LdrLit, access LdrR b;
                F060 = passing LslR, simple OrrRS b, access StrI, simple AddI, simple CmpR b, condition Bcs,
                    access LdrI, access LdrI b;
                F061 = passing LsrR, simple OrrRS b, access LdrI, access StrI, simple AddI, simple AddR b,
                    simple AddI b, simple CmpR b;
                F062 = passing OrrR, simple BicR b, passing AndR, simple OrrRS b, access LdrI, simple LsrIS,
                    access StrI, simple AddI;
                F063 = passing OrrR, simple BicR b, simple AndR;
                F064 = passing RorI, passing EorRor b, simple EorLsr b, simple AddR c, access LdrI, access StrI,
                    simple AddR, access LdrI;
                F065 = passing RorI, passing EorRor b, simple EorLsr b, simple AddR c, access StrI, condition Bne;
                F066 = passing RorI, simple EorRor b;
                F067 = passing RorI, simple EorRor b, simple AddR, simple EorRor, simple MovR, simple AddR;
                F068 = passing RorI, simple EorRor b, simple EorLsr b, passing RorI, simple EorRor b, simple AddR,
                    simple EorLsr, access Ldrd;
                F069 = passing RorI, simple EorRor b, simple EorRor b;
                F070 = simple AddI, guard If, simple AddI, simple AddI, simple CmpR b, simple MovR, condition Bcc;
                F071 = simple AddI, simple AddI;
                F072 = simple AddI, simple AddI, simple AddI, simple AddI, simple AddI, simple AddI, simple CmpR,
                    condition Beq;
                F073 = simple AddI, simple AddIS;
                F074 = simple AddI, simple EorRor, simple AndR, simple AddR, simple AndR, simple BicR, access StrI,
                    simple AddR;
                F075 = simple AddI, simple LslR;
                F076 = simple AddI, simple Sxtb, simple Uxtb, condition Beq, simple CmpI, condition Bcs;
                F077 = simple AddIS, access Ldrd;
                F078 = simple AddR, access LdrR, simple AddIS, access LdrI, simple CmpI, access LdrI, simple AddR,
                    access Ldrd;
                F079 = simple AddR, access StrI, simple RorI, simple EorRor, simple EorLsr, access LdrI, simple AddR,
                    simple AddR;
                F080 = simple AddR, simple CmpR b, access LdrI, condition Bhi, simple AddRS, condition Bcc,
                    access LdrI, simple MovIS;
                F081 = simple AndI, access LdrR c, passing RorI c, simple EorRor b, simple EorLsr b;
                F082 = simple AndI, access LdrR c, simple AddR c, passing AddI, simple AndI b, access LdrR c,
                    passing AddR b, simple AddR b;
                F083 = simple AndR, passing OrrR c, simple LsrIS c, access StrI, simple MovR, access LdrI,
                    simple RsbIS b, simple MovR;
                F084 = simple AndR, simple AndR, simple MovR, simple EorRS, passing RorI, passing EorRor b,
                    simple EorRor b, simple AddR c;
                F085 = simple BicR, simple OrrRS, access LdrI, simple LsrIS, access StrI, simple AddI;
                F086 = simple CmpI, condition Bcs;
                F087 = simple CmpI, condition Beq, access LdrR;
                F088 = simple CmpI, condition Beq, access LdrR, simple AddR, simple CmpI b, condition Bcs,
                    access LdrR, simple Umaal;
                F089 = simple CmpI, condition Bhi;
                F090 = simple CmpI, condition Bne;
                F091 = simple CmpI, simple AddR, access StrI, simple AddR, access LdrI, passing RorI, simple EorRor b;
                F092 = simple CmpI, simple MovI, guard If, simple CmpI, condition Beq, simple CmpI, condition Bne;
                F093 = simple CmpR, access StrI, condition Bcs, access LdrI, access LdrI, access LdrI, access LdrI,
                    access LdrI;
                F094 = simple CmpR, simple MovI, guard If, simple MovI, simple EorRS b, guard If, simple MovR,
                    simple CmpR;
                F095 = simple EorR, access LdrbI, simple Uxtb, access LdrR c, simple EorLsr b, simple EorR c;
                F096 = simple EorRS, passing RorI, simple EorRor b;
                F097 = simple EorRor, passing EorR, passing AndR b, simple EorR b, simple AddR c, access LdrI,
                    simple AddR c, simple BicR c;
                F098 = simple EorRor, simple EorLsr b, simple AddR c, passing RorI, simple EorRor b, simple EorLsr b;
                F099 = simple LslIS, condition Bne, simple MovIS;
                F100 = simple LslR, simple AddR, simple OrrR, simple MovR, access StrPost b, simple CmpR,
                    condition Bcs, access LdrI;
                F101 = simple Mla, access LdrI, simple Mla, access LdrI;
                F102 = simple Mla, access LdrI, simple Mla, access LdrI, simple Mla b, access LdrI, simple Mla b,
                    access LdrI;
                F103 = simple Mla, simple AddR, access StrR, simple AddI, simple CmpI b, access StrI, condition Bne;
                F104 = simple Mla, simple LsrI, access StrbI, simple LsrI, access StrbI, condition Bne;
                F105 = simple Mla, simple LsrI, access StrbI, simple Mla, simple LsrI, access StrbI;
                F106 = simple Mla, simple Mla b, simple LsrIS, access StrbR, simple AddR, simple AddI, simple CmpI b;
                F107 = simple MovI, access LdrI, simple Umlal, access LdrPost, simple Umlal b, simple AddRS b,
                    access StrI, simple AdcRS;
                F108 = simple MovI, simple AddLsl c, simple MovI, simple AddLsl, guard If, simple MovI,
                    simple AddLsl c, access LdrI;
                F109 = simple MovI, simple CmpI, guard If, simple MovI, simple CmpI, simple MovI, guard If,
                    simple MovR;
                F110 = simple MovR, access LdrI;
                F111 = simple MovR, simple AddR b, simple CmpR c, condition Bcc;
                F112 = simple MovR, simple AddR, access LdrI, simple MovR, simple AddR, simple MovR, simple MovR,
                    simple MovR;
                F113 = simple MovR, simple CmpR, guard If, simple MovR;
                F114 = simple MovR, simple CmpR, guard If, simple MovR, guard If, simple MovR;
                F115 = simple MovR, simple CmpR, simple MovR, guard If, simple MovR, guard If;
                F116 = simple MovR, simple MovR;
                F117 = simple MovR, simple MovR, simple CmpI, condition Bcc, simple AddI, simple SubIS,
                    access LdrbPre, access StrbPre;
                F118 = simple MovR, simple MovR, simple CmpI, condition Beq, simple AddI, simple MovR, simple CmpI,
                    access StrI;
                F119 = simple OrrR, simple AndR, simple BicR, simple OrrRS, access LdrI, simple LsrIS;
                F120 = simple OrrR, simple LsrIS, access StrI, simple AddRS, simple BicR c, passing AndR,
                    passing OrrR b, simple LsrIS c;
                F121 = simple SubIS, access LdrI, simple RsbIS, simple SbcRS b, simple AndR c, simple BicRS,
                    simple AddR c, access StmIa;
                F122 = simple SubIS, access Strd, access Strd, simple AddI, simple CmpI, condition Bhi;
                F123 = simple SubR, simple AddR, simple AndI, simple AndIS, simple AddR, condition Bne, simple CmpR,
                    condition Bcs;
                F124 = simple Uxtb, access LdrR c, simple EorLsr b, passing EorR c, simple Uxtb c, access LdrR c,
                    simple EorLsr b, condition Bne;
                F125 = simple Uxtb, access LdrR c, simple EorLsr b, simple EorR c, access LdrbI, simple Uxtb,
                    access LdrR c, simple EorLsr b;
            ]
        }
    };
}
pub(crate) use with_codes;

/// A step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) code: Code,
    /// The operand that is the register `a` of the step before.
    pub(crate) from: Option<Operand>,
    /// The next step has the same register `a`, and reads it only as its operand `from`.
    pub(crate) passing: bool,
}

/// See [`Op`](crate::op::Op).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operand {
    B,
    C,
}

macro_rules! from {
    () => {
        None
    };
    (b) => {
        Some(Operand::B)
    };
    (c) => {
        Some(Operand::C)
    };
}

macro_rules! is_passing {
    (passing) => {
        true
    };
    ($how:ident) => {
        false
    };
}

macro_rules! define {
    (
        simple: [$($simple:ident)*] access: [$($access:ident)*] division: [$($division:ident)*] float: [$($float:ident)*]
        condition: [$($condition:ident)*] jump: [$($jump:ident)*] indirect: [$($indirect:ident)*]
        fused: [$($fused:ident = $($how:ident $kind:ident $($from:ident)?),+;)*]
    ) => {
        /// What a step of a block does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Code {
            $(#[doc = "See [`Kind`]."] $simple,)*
            $(#[doc = "See [`Kind`]."] $access,)*
            $(#[doc = "See [`Kind`]."] $division,)*
            $(#[doc = "See [`Kind`]."] $float,)*
            $(#[doc = "See [`Kind`]; `imm` is where the branch goes, see [`Exit`](super::Exit)."] $condition,)*
            $(#[doc = "See [`Kind`]; `imm` as for the conditional ones."] $jump,)*
            $(#[doc = "See [`Kind`]."] $indirect,)*
            $(#[doc = "Several steps in one."] $fused,)*
            /// Goes on unless the condition whose mask is `imm` fails; then `d` steps are left out, and take `c` cycles
            /// less than they would.
            If,
            /// The same; nobody has seen it pass.
            IfNew,
            /// What follows goes on in another block, at `imm`; no instruction.
            Next,
            /// An indirect branch that nobody has seen executed.
            Mark,
            /// Executed out of line.
            Cold,
        }

        impl Code {
            /// The step for one instruction.
            pub(crate) fn of(kind: Kind) -> Self {
                match kind {
                    $(Kind::$simple => Self::$simple,)*
                    $(Kind::$access => Self::$access,)*
                    $(Kind::$division => Self::$division,)*
                    $(Kind::$float => Self::$float,)*
                    $(Kind::$condition => Self::$condition,)*
                    $(Kind::$jump => Self::$jump,)*
                    $(Kind::$indirect => Self::$indirect,)*
                    _ => Self::Cold,
                }
            }

            /// The instruction of a step that does one.
            #[cfg(test)]
            pub(crate) fn kind(self) -> Option<Kind> {
                match self {
                    $(Self::$simple => Some(Kind::$simple),)*
                    $(Self::$access => Some(Kind::$access),)*
                    $(Self::$division => Some(Kind::$division),)*
                    $(Self::$float => Some(Kind::$float),)*
                    $(Self::$condition => Some(Kind::$condition),)*
                    _ => None,
                }
            }

            /// What several steps do in one.
            pub(crate) const FUSED: &[(&[Part], Self)] = &[$((
                &[$(Part { code: Self::$kind, from: from!($($from)?), passing: is_passing!($how) }),+],
                Self::$fused,
            ),)*];
        }
    };
}
with_codes!(define);
