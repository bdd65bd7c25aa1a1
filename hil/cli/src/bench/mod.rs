//! `hil bench`: how fast the virtual board is.
//!
//! The kernels of `bench-guest` run on the virtual board and, the same ELF and the same rounds, on `qemu-system-arm -M
//! mps2-an386`; their checksums must agree. Times are CPU times, the best of a few runs, so that a busy machine does not
//! count much. The board runs with flash wait states as at 120 MHz and its cache on, without flash or network traffic.
//!
//! The TLS handshake is the firmware's own, with all that belongs to it: the scenario `update` from reset to the hub's
//! CONNECT, which is the bootloader, DHCP, DNS, SNTP and two handshakes (provisioning and hub). The virtual LAN and the
//! local hub are part of its time.

mod boot;
pub(crate) mod cpu_time;
mod guest;
mod handshake;
mod hub;
mod qemu;
mod result;

use clap::Args;

use crate::artifacts::Workspace;
use crate::error::Error;

pub use boot::{BootReport, boot};
pub use hub::{HubBenchArgs, HubReport, hub};
pub use result::BenchReport;
use result::{Kernel, Qemu};

/// What `hil bench board` understands.
#[derive(Debug, Args)]
pub struct BoardArgs {
    /// Print one JSON document on standard output
    #[arg(long)]
    pub json: bool,
    /// Kernels to run, all if none is named
    #[arg(value_name = "KERNEL", value_parser = KERNELS.map(|(name, _)| name))]
    pub kernels: Vec<String>,
    /// Runs of each kernel, of which the best counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
}

/// Names and rounds. QEMU needs a few tenths of a second for each.
const KERNELS: [(&str, u32); 8] = [
    ("crc32", 4_001),
    ("sha256", 1_500),
    ("matmul", 9_000),
    ("sort", 700),
    ("f32", 30_000),
    ("memcpy", 10_000),
    ("states", 800),
    (handshake::NAME, 0),
];
/// PORT's OUT register of group A: it stores what is written and drives pins that are not configured as outputs.
const REGISTER: u32 = 0x4100_8010;
/// Rounds of sixteen accesses.
const REGISTER_ROUNDS: u32 = 300_000;

/// Measures the board.
pub fn board(workspace: &Workspace, args: &BoardArgs) -> Result<BenchReport, Error> {
    let program = workspace.bench_guest()?;
    let qemu = qemu::Qemu::find();
    let idle = qemu.as_ref().map_or(0.0, |qemu| best(args.repeat, || qemu.run(&program.path, "nothing", 0)).1);
    let wanted = |name: &str| args.kernels.is_empty() || args.kernels.iter().any(|kernel| kernel == name);
    let mut kernels = Vec::new();
    for (name, rounds) in KERNELS.iter().filter(|(name, _)| wanted(name)) {
        eprintln!("{name}");
        if *name == handshake::NAME {
            kernels.push(handshake::measure(workspace)?);
            continue;
        }
        let (run, seconds) = best(args.repeat, || {
            let run = guest::run(&program, &format!("{name} {rounds}"));
            let seconds = run.as_ref().map_or(f64::MAX, |run| run.seconds);
            (run, seconds)
        });
        let run = run?;
        let qemu = qemu.as_ref().map(|qemu| best(args.repeat, || qemu.run(&program.path, name, *rounds)));
        let qemu = qemu.map(|(checksum, seconds)| Qemu {
            mips: run.instructions as f64 / (seconds - idle).max(1e-3) / 1e6,
            ratio: (seconds - idle).max(1e-3) / run.seconds,
            same_checksum: checksum.trim() == run.output.trim(),
        });
        kernels.push(Kernel::new(
            name,
            run.instructions,
            run.cycles,
            seconds,
            Some(run.output.trim().to_owned()),
            qemu,
        ));
    }
    let (register, seconds) = best(args.repeat, || {
        let run = guest::run(&program, &format!("register {REGISTER_ROUNDS} {REGISTER:#x}"));
        let seconds = run.as_ref().map_or(f64::MAX, |run| run.seconds);
        (run, seconds)
    });
    register?;
    Ok(BenchReport {
        schema: "hil-bench/1",
        kernels,
        qemu: qemu.as_ref().map(qemu::Qemu::version),
        register_ns: seconds * 1e9 / f64::from(REGISTER_ROUNDS * 16),
        idle_hour_ms: guest::idle_hour(&program)? * 1e3,
        cpu_time: cpu_time::IS_CPU_TIME,
    })
}

/// The result of the run that took least time, and that time.
fn best<T>(runs: u32, mut run: impl FnMut() -> (T, f64)) -> (T, f64) {
    let first = run();
    (1..runs).map(|_| run()).fold(first, |best, next| if next.1 < best.1 { next } else { best })
}
