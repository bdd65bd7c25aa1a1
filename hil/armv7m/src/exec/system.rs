//! CPS, MRS and MSR (ARMv7-M ARM B5.2).

use crate::op::{Kind, Op};
use crate::state::{Core, control};

pub(super) fn execute(core: &mut Core, op: &Op) {
    match op.kind {
        Kind::Cps => {
            if core.privileged() {
                if op.imm & 2 != 0 {
                    core.primask = op.d != 0;
                }
                if op.imm & 1 != 0 {
                    core.set_faultmask(op.d != 0);
                }
                core.update_masks();
            }
        }
        Kind::Mrs => core.r[usize::from(op.a & 15)] = core.read_special(op.imm),
        _ => core.write_special(op.imm, core.r[usize::from(op.b & 15)]),
    }
}

impl Core {
    /// FAULTMASK cannot be set in HardFault or NMI.
    fn set_faultmask(&mut self, on: bool) {
        if !on || self.nvic.execution_priority() > -1 {
            self.faultmask = on;
        }
    }

    fn read_special(&self, sysm: u32) -> u32 {
        let privileged = self.privileged();
        match sysm {
            // EPSR reads as zero.
            0..=7 => {
                let ipsr = if sysm & 1 != 0 { u32::from(self.ipsr) } else { 0 };
                ipsr | if sysm & 4 == 0 { self.apsr() } else { 0 }
            }
            8 if privileged => self.msp(),
            9 if privileged => self.psp(),
            16 if privileged => u32::from(self.primask),
            17 | 18 if privileged => u32::from(self.basepri),
            19 if privileged => u32::from(self.faultmask),
            20 => self.control,
            _ => 0,
        }
    }

    /// `sysm` carries the APSR mask in bits 10 (GE) and 11 (NZCVQ).
    fn write_special(&mut self, sysm: u32, value: u32) {
        match sysm & 0xFF {
            0..=3 => {
                if sysm & 1 << 11 != 0 {
                    self.set_nzcv(value);
                    self.q = value >> 27 & 1 != 0;
                }
                if sysm & 1 << 10 != 0 {
                    self.ge = value >> 16 & 15;
                }
            }
            _ if !self.privileged() => {}
            8 => self.set_msp(value),
            9 => self.set_psp(value),
            16 => self.primask = value & 1 != 0,
            17 => self.basepri = self.nvic.mask_priority(value as u8),
            18 => {
                let new = self.nvic.mask_priority(value as u8);
                if new != 0 && (new < self.basepri || self.basepri == 0) {
                    self.basepri = new;
                }
            }
            19 => self.set_faultmask(value & 1 != 0),
            20 => {
                let spsel =
                    if self.handler_mode() { self.control & control::SPSEL != 0 } else { value & control::SPSEL != 0 };
                self.control = self.control & control::SPSEL | value & (control::NPRIV | control::FPCA);
                self.update_checked();
                self.switch_mode(self.ipsr, spsel);
            }
            _ => {}
        }
        self.update_masks();
    }
}
