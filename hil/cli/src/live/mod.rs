//! `hil board`: a virtual board that runs by itself, for a person to watch, to press buttons on and to debug.
//!
//! One thread owns the board (`machine`) and lets virtual time pass; what comes from outside (keys, a terminal at
//! the virtual COM port, debuggers) reaches it as messages (`handle`). Without any of these a run depends on
//! the seed alone.

mod args;
mod console;
mod error;
mod gdb;
mod handle;
mod keys;
mod load;
mod logs;
mod machine;
mod observe;
mod probe;
mod semihosting;
mod serial;
mod tap;

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::time::Instant as WallInstant;

use armv7m::Size;
use same54_sim::{Board, BoardConfig};
use sim_base::{Instant, Rng};

use args::{Flash, LanKind, Plan};
use console::note;
use handle::{Handle, Message};
use keys::Keys;
use load::Contents;
use machine::{End, Machine, Observer, Setup};
use observe::{Coverage, Swo, Trace};

pub use args::BoardArgs;
pub use error::LiveError;

use crate::rig::{self, Network};

/// DHCSR and the value that halts.
const DHCSR: u32 = 0xE000_EDF0;
const HALT: u32 = 0xA05F_0003;

/// Runs a board as the command line says. The exit code is the program's, if it exits by semihosting; 1 if the core
/// stands still and nobody can let it go on; else 0.
pub fn board(args: &BoardArgs) -> Result<ExitCode, LiveError> {
    let plan = Plan::new(args)?;
    let rng = Rng::new(args.seed);
    let capture = match &args.pcap {
        Some(path) => Some(File::create(path).map_err(LiveError::write(path))?),
        None => None,
    };
    let network = rig::network(&rng, capture, None)?;
    // Ports first: who cannot have one should not wait for a build.
    let gdb = args.gdb.map(|port| listen("gdb", port)).transpose()?;
    let probe = args.probe.map(|port| listen("probe", port)).transpose()?;
    let mut board = Board::new(BoardConfig { seed: rng.fork("board").next_u64(), flash_timing: true });
    plug(&mut board, &plan.lan, &network)?;
    let contents = Contents::read(args, &plan, &network.device_key)?;
    contents.put(&mut board);
    board.power_on();
    if args.halt {
        // As a debugger does with the reset vector catch: nothing has run yet.
        let _ = board.debug_write(DHCSR, Size::Word, HALT);
    }
    let (handle, messages) = Handle::new();
    let setup = Setup {
        limit: plan.limit.map(|limit| board.now() + limit),
        realtime: plan.realtime,
        is_served: gdb.is_some() || probe.is_some(),
        quantum: args.trace.is_some().then_some(plan.trace_sample),
        script: plan.script.clone(),
    };
    let mut observers: Vec<Box<dyn Observer>> = Vec::new();
    if let Some(path) = &args.trace {
        observers.push(Box::new(Trace::begin(path, &contents.programs, &mut board)?));
    }
    if let Some(path) = &args.swo {
        observers.push(Box::new(Swo::begin(path)?));
    }
    if let Some(path) = &args.coverage {
        observers.push(Box::new(Coverage::begin(path, &contents.programs, args.coverage_all, &mut board)?));
    }
    let mut machine = Machine::new(board, contents.programs, messages, setup)?;
    observers.into_iter().for_each(|observer| machine.observe(observer));
    if let Some(path) = &args.uart {
        machine.serial.open_file(path)?;
    }
    if args.pty {
        let name = machine.serial.open_pty(handle.clone())?;
        note(&format!("uart: {name}"));
    }
    serve("gdb", gdb, &handle, gdb::serve);
    serve("probe", probe, &handle, probe::serve);
    stop_on_ctrl_c(&handle);
    let keys = Keys::listen(handle);
    if keys.is_some() {
        note(keys::HELP);
    }

    let started = WallInstant::now();
    let end = machine.run()?;
    drop(keys);
    summarise(&machine, end, started);
    for (flash, path) in &plan.dumps {
        let bytes = match flash {
            Flash::Nvm => machine.board.nvm().to_vec(),
            Flash::Nor => machine.board.nor(0, load::NOR_SIZE as usize),
        };
        std::fs::write(path, bytes).map_err(LiveError::write(path))?;
    }
    Ok(match end {
        End::Limit | End::Stopped => ExitCode::SUCCESS,
        End::Exit(status) => ExitCode::from(status),
        End::Stuck => ExitCode::FAILURE,
    })
}

fn plug(board: &mut Board, lan: &LanKind, network: &Network) -> Result<(), LiveError> {
    match lan {
        LanKind::None => {}
        LanKind::Sim => board.plug_ethernet(Box::new(network.lan.clone())),
        LanKind::Tap(name) => board.plug_ethernet(Box::new(tap::Tap::open(name)?)),
    }
    Ok(())
}

fn listen(option: &'static str, port: u16) -> Result<TcpListener, LiveError> {
    // This machine alone: who debugs a board may do anything with it.
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let why = match error.kind() {
            std::io::ErrorKind::AddrInUse => "another program uses the port".to_owned(),
            _ => error.to_string(),
        };
        LiveError::Port { option, port, why }
    })
}

fn serve(name: &str, listener: Option<TcpListener>, handle: &Handle, serve: fn(&TcpListener, &Handle)) {
    let Some(listener) = listener else { return };
    if let Ok(address) = listener.local_addr() {
        note(&format!("{name}: {address}"));
    }
    let handle = handle.clone();
    std::thread::spawn(move || serve(&listener, &handle));
}

fn stop_on_ctrl_c(handle: &Handle) {
    let handle = handle.clone();
    // A second handler in one process, as in tests, changes nothing: then Ctrl-C ends the process.
    let _ = ctrlc::set_handler(move || {
        let _ = handle.tell(Message::Stop);
    });
}

fn summarise(machine: &Machine, end: End, started: WallInstant) {
    let (board, counts) = (&machine.board, machine.console.counts);
    let wall = started.elapsed().as_secs_f64();
    let plural = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let how = match end {
        End::Limit => "the time is over".to_owned(),
        End::Stopped => "stopped".to_owned(),
        End::Exit(status) => format!("the program exited with status {status}"),
        End::Stuck => "the core stands still".to_owned(),
    };
    let virtual_time = (board.now() - Instant::ZERO).as_secs_f64();
    note(&format!(
        "{how}: {virtual_time:.6} s virtual in {wall:.2} s, {} ({:.0} MIPS), {}, {}, {}",
        plural(board.instructions(), "instruction"),
        board.instructions() as f64 / wall.max(1e-9) / 1e6,
        plural(counts.resets, "reset"),
        plural(counts.violations, "violation"),
        plural(counts.unmodelled, "access").replace("accesss", "accesses") + " not modelled",
    ));
    note(&format!(
        "flash operations: {} internal, {} external; frames: {} sent, {} received",
        counts.nvm_operations, counts.nor_operations, counts.frames_sent, counts.frames_received
    ));
}
