//! What the steps of a block do: one list for the enumeration, for the translation and for the run loop.

use crate::op::Kind;

/// Calls a macro with the lists of kinds that the run loop executes in line, by how they are executed, and with the
/// sequences that it executes in one go: a name, and how each step is executed. The sequences are those that save most
/// in the kernels of `bench-guest`.
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
            indirect: [Bx Blx PopPc]
            fused: [
                AddIAddRAddICmpR = simple AddI, simple AddR, simple AddI, simple CmpR;
                AddIAddRLdrd = simple AddI, simple AddR, access Ldrd;
                AddICmpRMovRBcc = simple AddI, simple CmpR, simple MovR, condition Bcc;
                AddIOrrRCmpRStrI = simple AddI, simple OrrR, simple CmpR, access StrI;
                AddIUxtbCmpIBcs = simple AddI, simple Uxtb, simple CmpI, condition Bcs;
                AddRAddISLdrdCmpI = simple AddR, simple AddIS, access Ldrd, simple CmpI;
                AddREorRorMovRAddR = simple AddR, simple EorRor, simple MovR, simple AddR;
                AddRLdrI = simple AddR, access LdrI;
                AddRLdrIAddR = simple AddR, access LdrI, simple AddR;
                AddRLdrIAddRBicR = simple AddR, access LdrI, simple AddR, simple BicR;
                AddRLdrIRorIEorRor = simple AddR, access LdrI, simple RorI, simple EorRor;
                AddRLdrRAddISLdrI = simple AddR, access LdrR, simple AddIS, access LdrI;
                AddRMovIMovtStrI = simple AddR, simple MovI, simple Movt, access StrI;
                AddRMovR = simple AddR, simple MovR;
                AddRMovRAddR = simple AddR, simple MovR, simple AddR;
                AddROrrRMovRStrPost = simple AddR, simple OrrR, simple MovR, access StrPost;
                AddRRorIEorRorEorLsr = simple AddR, simple RorI, simple EorRor, simple EorLsr;
                AddRStrI = simple AddR, access StrI;
                AndRBicRStrIAddR = simple AndR, simple BicR, access StrI, simple AddR;
                CmpIBhi = simple CmpI, condition Bhi;
                CmpIBne = simple CmpI, condition Bne;
                CmpILdrIAddRLdrd = simple CmpI, access LdrI, simple AddR, access Ldrd;
                CmpIMovIIf = simple CmpI, simple MovI, guard If;
                CmpRAddIIfAddI = simple CmpR, simple AddI, guard If, simple AddI;
                CmpRBcs = simple CmpR, condition Bcs;
                CmpRIf = simple CmpR, guard If;
                CmpRMovRBcc = simple CmpR, simple MovR, condition Bcc;
                EorLsrEorRLdrbIUxtb = simple EorLsr, simple EorR, access LdrbI, simple Uxtb;
                EorRAndRAndRMovR = simple EorR, simple AndR, simple AndR, simple MovR;
                EorRLdrbIUxtbLdrR = simple EorR, access LdrbI, simple Uxtb, access LdrR;
                EorRUxtbLdrREorLsr = simple EorR, simple Uxtb, access LdrR, simple EorLsr;
                EorRSRorIEorRorAddI = simple EorRS, simple RorI, simple EorRor, simple AddI;
                EorRorAndRAddR = simple EorRor, simple AndR, simple AddR;
                EorRorEorRAndREorR = simple EorRor, simple EorR, simple AndR, simple EorR;
                LdrIAddILslRLsrR = access LdrI, simple AddI, simple LslR, simple LsrR;
                LdrIAddIStrIAddI = access LdrI, simple AddI, access StrI, simple AddI;
                LdrIAddR = access LdrI, simple AddR;
                LdrIAddRAddRMovR = access LdrI, simple AddR, simple AddR, simple MovR;
                LdrILdrI = access LdrI, access LdrI;
                LdrILdrILdrI = access LdrI, access LdrI, access LdrI;
                LdrILdrILdrILdrI = access LdrI, access LdrI, access LdrI, access LdrI;
                LdrILdrIMlaLdrI = access LdrI, access LdrI, simple Mla, access LdrI;
                LdrIMlaLdrILdrI = access LdrI, simple Mla, access LdrI, access LdrI;
                LdrIMlaLdrIMla = access LdrI, simple Mla, access LdrI, simple Mla;
                LdrIStrI = access LdrI, access StrI;
                LdrIStrILdrIStrI = access LdrI, access StrI, access LdrI, access StrI;
                LdrIStrIStrILsrR = access LdrI, access StrI, access StrI, simple LsrR;
                LdrISubISStrICmpI = access LdrI, simple SubIS, access StrI, simple CmpI;
                LdrRAddICmpIAddR = access LdrR, simple AddI, simple CmpI, simple AddR;
                LdrREorLsrEorR = access LdrR, simple EorLsr, simple EorR;
                LdrRLdrIStrIStrR = access LdrR, access LdrI, access StrI, access StrR;
                LdrbIUxtbLdrREorLsr = access LdrbI, simple Uxtb, access LdrR, simple EorLsr;
                LdrbPreSubISLdrbILdrbI = access LdrbPre, simple SubIS, access LdrbI, access LdrbI;
                LdrbRLslISAddISxtb = access LdrbR, simple LslIS, simple AddI, simple Sxtb;
                LslROrrRSStrIAddI = simple LslR, simple OrrRS, access StrI, simple AddI;
                LsrRStrILdrdLslR = simple LsrR, access StrI, access Ldrd, simple LslR;
                MlaLdrILdrIMla = simple Mla, access LdrI, access LdrI, simple Mla;
                MovICmpIIfMovI = simple MovI, simple CmpI, guard If, simple MovI;
                RorIEorRor = simple RorI, simple EorRor;
                RorIEorRorAddREorLsr = simple RorI, simple EorRor, simple AddR, simple EorLsr;
                RorIEorRorEorLsr = simple RorI, simple EorRor, simple EorLsr;
                StrIAddRLdrILsrR = access StrI, simple AddR, access LdrI, simple LsrR;
                StrILslROrrRSStrI = access StrI, simple LslR, simple OrrRS, access StrI;
                StrIMovRMovRMovR = access StrI, simple MovR, simple MovR, simple MovR;
                StrRBeq = access StrR, condition Beq;
                SubISStrdStrdAddI = simple SubIS, access Strd, access Strd, simple AddI;
                UxtbBeqCmpIBcs = simple Uxtb, condition Beq, simple CmpI, condition Bcs;
                UxtbLdrREorLsrEorR = simple Uxtb, access LdrR, simple EorLsr, simple EorR;
                VaddAddIAddICmpI = float Vadd, simple AddI, simple AddI, simple CmpI;
                VdivVaddBhi = float Vdiv, float Vadd, condition Bhi;
                VldrVldrVldr = float Vldr, float Vldr, float Vldr;
                VldrVldrVldrVmla = float Vldr, float Vldr, float Vldr, float Vmla;
                VldrVldrVmlaVldr = float Vldr, float Vldr, float Vmla, float Vldr;
                VldrVldrVmlaVmovR = float Vldr, float Vldr, float Vmla, float VmovR;
                VldrVmla = float Vldr, float Vmla;
                VldrVmlaVmlaVmla = float Vldr, float Vmla, float Vmla, float Vmla;
            ]
        }
    };
}
pub(crate) use with_codes;

macro_rules! define {
    (
        simple: [$($simple:ident)*] access: [$($access:ident)*] division: [$($division:ident)*] float: [$($float:ident)*]
        condition: [$($condition:ident)*] jump: [$($jump:ident)*] indirect: [$($indirect:ident)*]
        fused: [$($fused:ident = $($how:ident $kind:ident),+;)*]
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

            /// What several steps do in one, by their codes.
            pub(crate) const FUSED: &[(&[Self], Self)] = &[$((&[$(Self::$kind),+], Self::$fused),)*];
        }
    };
}
with_codes!(define);
