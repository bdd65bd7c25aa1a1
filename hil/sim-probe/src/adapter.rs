//! The virtual probe: probe-rs' traits over a [`DebugPort`] and a board.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use armv7m::{BusFault, Size};
use probe_rs::CoreStatus;
use probe_rs::architecture::arm::sequences::ArmDebugSequence;
use probe_rs::architecture::arm::{
    ArmCommunicationInterface, ArmDebugInterface, ArmError, DapError, DapProbe, RawDapAccess, RegisterAddress,
};
use probe_rs::probe::{DebugProbe, DebugProbeError, WireProtocol};
use same54_sim::Board;

use crate::dap::{DebugPort, Nak, Port, Target};
use crate::wired::{AIRCR, DHCSR, RESET_LATENCY};

/// Virtual time that passes with each poll of a running core, unless told otherwise.
const QUANTUM: Duration = Duration::from_micros(100);

/// Address of ABORT in the debug port, and the flag that clears STICKYERR.
const ABORT: u8 = 0x0;
const STKERRCLR: u32 = 1 << 2;

/// Pins of `DAP_SWJ_Pins` (CMSIS-DAP).
mod pin {
    pub const SWCLK: u32 = 1 << 0;
    pub const N_RESET: u32 = 1 << 7;
}

/// The plug of a virtual probe's cable, kept to pull it later.
#[derive(Clone, Debug)]
pub struct Cable(Arc<AtomicBool>);

impl Cable {
    /// Pulls the plug: nothing that probe-rs still does reaches the board. A session writes to the debug registers
    /// when it is closed, which must not hit the next session on the same board.
    pub fn unplug(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_plugged(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A debug probe that is wired to a virtual board.
///
/// Debugger and board run in lockstep. Virtual time stands still but for one case: a read of DHCSR while the core
/// runs, which is how probe-rs waits for a halt, lets it run for the quantum or until it halts. Everything else that
/// is to happen on the board, its owner makes happen with [`Board::run_until`]. So a run does not depend on how fast
/// the host is.
pub struct VirtualProbe {
    board: Arc<Mutex<Board>>,
    port: DebugPort,
    quantum: Duration,
    speed_khz: u32,
    cable: Cable,
}

impl VirtualProbe {
    /// A probe on `board`.
    pub fn new(board: Arc<Mutex<Board>>) -> Self {
        Self {
            board,
            port: DebugPort::new(),
            quantum: QUANTUM,
            speed_khz: 1000,
            cable: Cable(Arc::new(AtomicBool::new(true))),
        }
    }

    /// Sets how far virtual time goes with each poll of a running core.
    pub fn with_quantum(mut self, quantum: Duration) -> Self {
        self.quantum = quantum;
        self
    }

    /// A handle to pull the cable.
    pub fn cable(&self) -> Cable {
        self.cable.clone()
    }

    fn read(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        let (port, addr) = request(address);
        let mut chip = Chip::new(&self.board, &self.cable);
        if self.port.drw_target(port, addr) == Some(DHCSR) {
            chip.let_run(self.quantum);
        }
        let answer = self.port.read(&mut chip, port, addr);
        conclude(&mut self.port, &mut chip, answer)
    }

    fn write(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        let (port, addr) = request(address);
        let mut chip = Chip::new(&self.board, &self.cable);
        let asks_for_reset = self.port.drw_target(port, addr) == Some(AIRCR);
        let answer = self.port.write(&mut chip, port, addr, value);
        if asks_for_reset && answer.is_ok() {
            let until = chip.board.now() + RESET_LATENCY;
            chip.board.run_until(until);
        }
        conclude(&mut self.port, &mut chip, answer)
    }
}

impl fmt::Debug for VirtualProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VirtualProbe").field("port", &self.port).finish_non_exhaustive()
    }
}

/// The board during one transfer.
struct Chip<'b> {
    board: MutexGuard<'b, Board>,
    plugged: bool,
}

impl<'b> Chip<'b> {
    fn new(board: &'b Mutex<Board>, cable: &Cable) -> Self {
        Self { board: lock(board), plugged: cable.is_plugged() }
    }

    fn let_run(&mut self, quantum: Duration) {
        if self.is_powered() && !self.board.is_halted() {
            let until = self.board.now() + quantum;
            self.board.run_until(until);
        }
    }
}

impl Target for Chip<'_> {
    fn is_powered(&self) -> bool {
        self.plugged && self.board.is_powered()
    }

    fn read(&mut self, addr: u32, size: Size) -> Result<u32, BusFault> {
        self.board.debug_read(addr, size)
    }

    fn write(&mut self, addr: u32, size: Size, value: u32) -> Result<(), BusFault> {
        self.board.debug_write(addr, size, value)
    }
}

/// A panic in another user of the board has been reported already; the board itself is plain data.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

fn request(address: RegisterAddress) -> (Port, u8) {
    let port = if address.is_ap() { Port::Ap } else { Port::Dp };
    (port, address.a2_and_3())
}

/// As probe-rs' other drivers do: a FAULT is reported once, and the sticky flag that caused it is cleared.
fn conclude<R>(port: &mut DebugPort, chip: &mut Chip<'_>, answer: Result<R, Nak>) -> Result<R, ArmError> {
    answer.map_err(|nak| {
        if nak == Nak::Fault {
            // Without an answer there is nothing to clear.
            let _ = port.write(chip, Port::Dp, ABORT, STKERRCLR);
        }
        arm_error(nak)
    })
}

fn arm_error(nak: Nak) -> ArmError {
    match nak {
        Nak::Fault => DapError::FaultResponse,
        Nak::NoAnswer => DapError::NoAcknowledge,
    }
    .into()
}

impl RawDapAccess for VirtualProbe {
    fn raw_read_register(&mut self, address: RegisterAddress) -> Result<u32, ArmError> {
        self.read(address)
    }

    fn raw_write_register(&mut self, address: RegisterAddress, value: u32) -> Result<(), ArmError> {
        self.write(address, value)
    }

    fn jtag_sequence(&mut self, _: u8, _: bool, _: u64) -> Result<(), DebugProbeError> {
        Err(DebugProbeError::NotImplemented { function_name: "jtag_sequence" })
    }

    /// Line resets and the JTAG-to-SWD switch: the port is in SWD mode already.
    fn swj_sequence(&mut self, _: u8, _: u64) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn swj_pins(&mut self, out: u32, select: u32, _: u32) -> Result<u32, DebugProbeError> {
        if select & pin::N_RESET != 0 && self.cable.is_plugged() {
            let swclk_low = select & pin::SWCLK != 0 && out & pin::SWCLK == 0;
            lock(&self.board).set_nreset(out & pin::N_RESET == 0, swclk_low);
        }
        Ok(out)
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn core_status_notification(&mut self, _: CoreStatus) -> Result<(), DebugProbeError> {
        Ok(())
    }
}

impl DapProbe for VirtualProbe {}

impl DebugProbe for VirtualProbe {
    fn get_name(&self) -> &str {
        "virtual:same54-xpro"
    }

    fn speed_khz(&self) -> u32 {
        self.speed_khz
    }

    fn set_speed(&mut self, speed_khz: u32) -> Result<u32, DebugProbeError> {
        self.speed_khz = speed_khz;
        Ok(speed_khz)
    }

    fn attach(&mut self) -> Result<(), DebugProbeError> {
        Ok(())
    }

    fn detach(&mut self) -> Result<(), probe_rs::Error> {
        Ok(())
    }

    fn target_reset(&mut self) -> Result<(), DebugProbeError> {
        self.target_reset_assert()?;
        self.target_reset_deassert()
    }

    fn target_reset_assert(&mut self) -> Result<(), DebugProbeError> {
        self.swj_pins(0, pin::N_RESET, 0).map(|_| ())
    }

    fn target_reset_deassert(&mut self) -> Result<(), DebugProbeError> {
        self.swj_pins(pin::N_RESET, pin::N_RESET, 0).map(|_| ())
    }

    fn select_protocol(&mut self, protocol: WireProtocol) -> Result<(), DebugProbeError> {
        if protocol == WireProtocol::Swd { Ok(()) } else { Err(DebugProbeError::UnsupportedProtocol(protocol)) }
    }

    fn active_protocol(&self) -> Option<WireProtocol> {
        Some(WireProtocol::Swd)
    }

    fn has_arm_interface(&self) -> bool {
        true
    }

    fn into_probe(self: Box<Self>) -> Box<dyn DebugProbe> {
        self
    }

    fn try_as_dap_probe(&mut self) -> Option<&mut dyn DapProbe> {
        Some(self)
    }

    fn try_get_arm_debug_interface<'probe>(
        self: Box<Self>,
        sequence: Arc<dyn ArmDebugSequence>,
    ) -> Result<Box<dyn ArmDebugInterface + 'probe>, (Box<dyn DebugProbe>, ArmError)> {
        Ok(ArmCommunicationInterface::create(self, sequence, false))
    }
}
