//! The command line of `hil board`, and what it means.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sim_base::Instant;

use super::LiveError;

/// Runs a virtual board by itself.
#[derive(Clone, Debug, Default, Args)]
pub struct BoardArgs {
    /// Program for the internal flash, once for each; none: this project's bootloader and firmware
    #[arg(long, value_name = "FILE")]
    pub elf: Vec<PathBuf>,
    /// Raw or signed image for the internal flash
    #[arg(long, value_name = "FILE@ADDRESS")]
    pub image: Vec<String>,
    /// ELF of a program that an image holds: for its log, names and lines
    #[arg(long, value_name = "FILE")]
    pub symbols: Vec<PathBuf>,
    /// Contents of the internal flash at the start
    #[arg(long, value_name = "FILE")]
    pub nvm: Option<PathBuf>,
    /// Contents of the external flash at the start
    #[arg(long, value_name = "FILE")]
    pub nor: Option<PathBuf>,
    /// Write a flash to a file at the end: nvm:FILE (internal), nor:FILE (external)
    #[arg(long, value_name = "MEMORY:FILE")]
    pub dump: Vec<String>,
    /// Seed of everything that chance decides
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// End after this virtual time, for example 10s
    #[arg(long = "for", value_name = "TIME")]
    pub limit: Option<String>,
    /// Hold virtual time to real time (default without --for)
    #[arg(long, conflicts_with = "fast")]
    pub realtime: bool,
    /// Run as fast as possible (default with --for)
    #[arg(long)]
    pub fast: bool,
    /// At a virtual time do something: press, release, reset, power-off, power-on, unplug, plug, uart=TEXT
    #[arg(long, value_name = "TIME:ACTION")]
    pub at: Vec<String>,
    /// Write what the program sends to the EDBG's virtual COM port to a file
    #[arg(long, value_name = "FILE")]
    pub uart: Option<PathBuf>,
    /// Offer the virtual COM port as a pseudo-terminal
    #[arg(long)]
    pub pty: bool,
    /// What is at the Ethernet connector: none, sim (DHCP, DNS, NTP, a local IoT Hub), tap:NAME
    #[arg(long, value_name = "NETWORK", default_value = "sim")]
    pub lan: String,
    /// Write every Ethernet frame of the simulated LAN to a pcap file
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
    /// Serve GDB on this port of 127.0.0.1; 0: any free one
    #[arg(long, value_name = "PORT")]
    pub gdb: Option<u16>,
    /// Serve probe-rs' tools on this port of 127.0.0.1; 0: any free one
    #[arg(long, value_name = "PORT")]
    pub probe: Option<u16>,
    /// Hold the core before its first instruction until a debugger lets it go
    #[arg(long)]
    pub halt: bool,
    /// Write the bytes that leave on the SWO pin: packets of ITM and DWT
    #[arg(long, value_name = "FILE")]
    pub swo: Option<PathBuf>,
    /// Write a trace that ui.perfetto.dev opens
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Virtual time between two looks at which function runs
    #[arg(long, value_name = "TIME", default_value = "10us")]
    pub trace_sample: String,
    /// Write the executed source lines as LCOV
    #[arg(long, value_name = "FILE")]
    pub coverage: Option<PathBuf>,
    /// Cover libraries too, not only files of the workspace
    #[arg(long)]
    pub coverage_all: bool,
}

/// What is at the Ethernet connector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LanKind {
    None,
    Sim,
    Tap(String),
}

/// A flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flash {
    Nvm,
    Nor,
}

/// Something done to the board from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Button(bool),
    Reset,
    Power(bool),
    Plug(bool),
    Uart(Vec<u8>),
}

/// The parts of [`BoardArgs`] that have a syntax of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub limit: Option<Duration>,
    pub realtime: bool,
    pub images: Vec<(PathBuf, u32)>,
    pub lan: LanKind,
    pub dumps: Vec<(Flash, PathBuf)>,
    /// In order of time.
    pub script: Vec<(Instant, Action)>,
    pub trace_sample: Duration,
}

impl Plan {
    pub fn new(args: &BoardArgs) -> Result<Self, LiveError> {
        let limit = args.limit.as_deref().map(|text| duration("--for", text)).transpose()?;
        let mut script = args.at.iter().map(|text| script(text)).collect::<Result<Vec<_>, _>>()?;
        // Stable: what is to happen at one time happens in the order of the command line.
        script.sort_by_key(|(at, _)| *at);
        if args.halt && args.gdb.is_none() && args.probe.is_none() {
            return Err(LiveError::Option("--halt: nobody could let the core go; add --gdb PORT or --probe PORT"));
        }
        let lan = lan(&args.lan)?;
        if args.pcap.is_some() && lan != LanKind::Sim {
            return Err(LiveError::Option("--pcap: only the simulated network is captured; add --lan sim"));
        }
        let trace_sample = duration("--trace-sample", &args.trace_sample)?;
        if trace_sample.is_zero() {
            return Err(LiveError::Duration { option: "--trace-sample", text: args.trace_sample.clone() });
        }
        Ok(Self {
            realtime: args.realtime || limit.is_none() && !args.fast,
            limit,
            images: args.image.iter().map(|text| image(text)).collect::<Result<_, _>>()?,
            lan,
            dumps: args.dump.iter().map(|text| dump(text)).collect::<Result<_, _>>()?,
            script,
            trace_sample,
        })
    }
}

/// `10s`, `1.5ms`, ...; whole nanoseconds.
fn duration(option: &'static str, text: &str) -> Result<Duration, LiveError> {
    let error = || LiveError::Duration { option, text: text.to_owned() };
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(error)?;
    let (number, unit) = text.split_at(split);
    let nanos = match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" | "m" => 60e9,
        "h" => 3_600e9,
        _ => return Err(error()),
    };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let nanos = number.parse::<f64>().ok().filter(|_| is_number).ok_or_else(error)? * nanos;
    // A hundred years: beyond it the number was a mistake, and nanoseconds would run out.
    if nanos < 3.2e18 { Ok(Duration::from_nanos(nanos.round() as u64)) } else { Err(error()) }
}

fn image(text: &str) -> Result<(PathBuf, u32), LiveError> {
    let error = || LiveError::Image(text.to_owned());
    let (path, address) = text.rsplit_once('@').filter(|(path, _)| !path.is_empty()).ok_or_else(error)?;
    let address = match address.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => address.parse(),
    };
    Ok((path.into(), address.map_err(|_| error())?))
}

fn lan(text: &str) -> Result<LanKind, LiveError> {
    match text.split_once(':') {
        None if text == "none" => Ok(LanKind::None),
        None if text == "sim" => Ok(LanKind::Sim),
        // IFNAMSIZ is 16 with the final zero.
        Some(("tap", name)) if (1..16).contains(&name.len()) && !name.contains(['/', ' ']) => {
            Ok(LanKind::Tap(name.to_owned()))
        }
        _ => Err(LiveError::Lan(text.to_owned())),
    }
}

fn dump(text: &str) -> Result<(Flash, PathBuf), LiveError> {
    match text.split_once(':') {
        Some(("nor", path)) if !path.is_empty() => Ok((Flash::Nor, path.into())),
        Some(("nvm", path)) if !path.is_empty() => Ok((Flash::Nvm, path.into())),
        _ => Err(LiveError::Dump(text.to_owned())),
    }
}

fn script(text: &str) -> Result<(Instant, Action), LiveError> {
    let error = || LiveError::Script(text.to_owned());
    let (at, action) = text.split_once(':').ok_or_else(error)?;
    let at = Instant::ZERO + duration("--at", at).map_err(|_| error())?;
    let action = match action {
        "press" => Action::Button(true),
        "release" => Action::Button(false),
        "reset" => Action::Reset,
        "power-off" => Action::Power(false),
        "power-on" => Action::Power(true),
        "unplug" => Action::Plug(false),
        "plug" => Action::Plug(true),
        _ => match action.strip_prefix("uart=") {
            Some(text) => Action::Uart(text.replace("\\n", "\n").replace("\\r", "\r").into_bytes()),
            None => return Err(error()),
        },
    };
    Ok((at, action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, nanos) in [
            ("10s", 10_000_000_000),
            ("1.5ms", 1_500_000),
            ("500us", 500_000),
            ("7ns", 7),
            ("2min", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(duration("--for", text).unwrap(), Duration::from_nanos(nanos), "{text}");
        }
        for text in ["", "10", "s", "10 s", "-1s", "1e3s", "10sec", "NaNs", "infs", "1.2.3s", "999999999999h"] {
            assert!(duration("--for", text).is_err(), "{text}");
        }
    }

    #[test]
    fn script_is_done_in_order_of_time() {
        let at = ["2s:release", "1s:press", "1s:uart=hello\\n"].map(str::to_owned).to_vec();
        let args = BoardArgs { at, lan: "sim".into(), trace_sample: "10us".into(), ..BoardArgs::default() };
        let plan = Plan::new(&args).unwrap();
        let actions: Vec<_> = plan.script.into_iter().map(|(at, action)| (at.as_millis(), action)).collect();
        assert_eq!(
            actions,
            [(1000, Action::Button(true)), (1000, Action::Uart(b"hello\n".to_vec())), (2000, Action::Button(false))]
        );
        assert!(plan.realtime && plan.limit.is_none());
    }

    #[test]
    fn files_have_addresses() {
        assert_eq!(image("a@b.bin@0x10000").unwrap(), ("a@b.bin".into(), 0x1_0000));
        assert_eq!(image("a.bin@512").unwrap(), ("a.bin".into(), 512));
        for text in ["a.bin", "@0x100", "a.bin@", "a.bin@0xG", "a.bin@0x100000000"] {
            assert!(image(text).is_err(), "{text}");
        }
    }
}
