//! What was measured, for people and machines.

use std::fmt::Write as _;

use serde::Serialize;

/// A core at this clock is real time.
const REAL_HZ: f64 = 120e6;

/// Everything that `hil bench board` found.
#[derive(Debug, Serialize)]
pub struct BenchReport {
    pub(super) schema: &'static str,
    pub(super) kernels: Vec<Kernel>,
    /// Version of QEMU, if it is installed.
    pub(super) qemu: Option<String>,
    /// Nanoseconds for a read or a write of a peripheral register, the loop around it included.
    pub(super) register_ns: f64,
    /// Milliseconds for a virtual hour in which the core sleeps.
    pub(super) idle_hour_ms: f64,
    /// Times are CPU times; false where the system does not tell them.
    pub(super) cpu_time: bool,
}

#[derive(Debug, Serialize)]
pub struct Kernel {
    name: String,
    instructions: u64,
    cycles: u64,
    seconds: f64,
    /// Simulated instructions in a microsecond.
    mips: f64,
    /// Simulated cycles against those of a core at 120 MHz.
    real_time: f64,
    cycles_per_instruction: f64,
    checksum: Option<String>,
    qemu: Option<Qemu>,
}

#[derive(Debug, Serialize)]
pub struct Qemu {
    pub(super) mips: f64,
    /// Speed of the board against QEMU's.
    pub(super) ratio: f64,
    pub(super) same_checksum: bool,
}

impl Kernel {
    pub(super) fn new(
        name: &str,
        instructions: u64,
        cycles: u64,
        seconds: f64,
        checksum: Option<String>,
        qemu: Option<Qemu>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            instructions,
            cycles,
            seconds,
            mips: instructions as f64 / seconds / 1e6,
            real_time: cycles as f64 / seconds / REAL_HZ,
            cycles_per_instruction: cycles as f64 / instructions as f64,
            checksum,
            qemu,
        }
    }
}

impl BenchReport {
    /// One JSON document, indented.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("the model has string keys only")
    }

    /// Whether QEMU came to the same results.
    pub fn agrees(&self) -> bool {
        self.kernels.iter().all(|kernel| kernel.qemu.as_ref().is_none_or(|qemu| qemu.same_checksum))
    }

    /// For people.
    pub fn to_table(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<8} {:>14} {:>6} {:>7} {:>10} {:>10} {:>8}  checksum",
            "", "instructions", "CPI", "MIPS", "x 120 MHz", "QEMU MIPS", "x QEMU"
        );
        for kernel in &self.kernels {
            let (mips, ratio) = match &kernel.qemu {
                Some(qemu) => (format!("{:.0}", qemu.mips), format!("{:.2}", qemu.ratio)),
                None => ("-".to_owned(), "-".to_owned()),
            };
            let differs = kernel.qemu.as_ref().is_some_and(|qemu| !qemu.same_checksum);
            let _ = writeln!(
                out,
                "{:<8} {:>14} {:>6.2} {:>7.0} {:>10.2} {:>10} {:>8}  {}{}",
                kernel.name,
                kernel.instructions,
                kernel.cycles_per_instruction,
                kernel.mips,
                kernel.real_time,
                mips,
                ratio,
                kernel.checksum.as_deref().unwrap_or("-"),
                if differs { "  QEMU DIFFERS" } else { "" }
            );
        }
        let _ = writeln!(out, "\nregister access {:>8.1} ns, loop included", self.register_ns);
        let _ = writeln!(out, "idle hour       {:>8.3} ms", self.idle_hour_ms);
        match &self.qemu {
            Some(version) => {
                let _ = writeln!(out, "compared with   {version}");
            }
            None => out += "qemu-system-arm is not installed: apt-get install qemu-system-arm\n",
        }
        if !self.cpu_time {
            out += "times are wall-clock times: this system does not tell CPU times\n";
        }
        out
    }
}
