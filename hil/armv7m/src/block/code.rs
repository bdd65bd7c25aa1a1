//! What the steps of a block do: one list for the enumeration, for the translation and for the run loop.

use crate::op::Kind;

/// Calls a macro with the lists of kinds that the run loop executes in line, by how they are executed, and with the
/// pairs that it executes in one go. A pair's first is a `simple` kind or an `access`, its second anything.
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
                Udiv Sdiv LdrI LdrbI LdrhI LdrsbI LdrshI StrI StrbI StrhI LdrR LdrbR LdrhR LdrsbR LdrshR StrR StrbR
                StrhR LdrLit LdrPre LdrPost LdrbPre LdrbPost StrPre StrPost StrbPre StrbPost Ldrd Strd Push Pop StmIa
            ]
            float: [
                Vadd Vsub Vmul Vnmul Vdiv Vsqrt Vmla Vfma VmovI VmovR Vabs Vneg Vcmp VcvtFromInt VmovToCore VmovFromCore
                VcvtToInt Vmrs Vldr Vstr
            ]
            condition: [Beq Bne Bcs Bcc Bmi Bpl Bvs Bvc Bhi Bls Bge Blt Bgt Ble Cbz Cbnz]
            jump: [B Bl]
            indirect: [Bx Blx PopPc]
            pairs: [
            ]
        }
    };
}
pub(crate) use with_codes;

macro_rules! define {
    (
        simple: [$($simple:ident)*] access: [$($access:ident)*] float: [$($float:ident)*]
        condition: [$($condition:ident)*] jump: [$($jump:ident)*] indirect: [$($indirect:ident)*]
        pairs: [$($pair:ident = $first:ident $second:ident,)*]
    ) => {
        /// What a step of a block does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Code {
            $(#[doc = "See [`Kind`]."] $simple,)*
            $(#[doc = "See [`Kind`]."] $access,)*
            $(#[doc = "See [`Kind`]."] $float,)*
            $(#[doc = "See [`Kind`]; `imm` is where the branch goes, see [`Exit`](super::Exit)."] $condition,)*
            $(#[doc = "See [`Kind`]; `imm` as for the conditional ones."] $jump,)*
            $(#[doc = "See [`Kind`]."] $indirect,)*
            $(#[doc = "Two steps in one."] $pair,)*
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
                    $(Kind::$float => Self::$float,)*
                    $(Kind::$condition => Self::$condition,)*
                    $(Kind::$jump => Self::$jump,)*
                    $(Kind::$indirect => Self::$indirect,)*
                    _ => Self::Cold,
                }
            }

            /// The step that does what two do.
            pub(crate) fn pair(first: Self, second: Self) -> Option<Self> {
                match (first, second) {
                    $((Self::$first, Self::$second) => Some(Self::$pair),)*
                    _ => None,
                }
            }
        }
    };
}
with_codes!(define);
