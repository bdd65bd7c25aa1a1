//! The board as gdbstub wants it.

use armv7m::Size;
use gdbstub::common::Signal;
use gdbstub::outputln;
use gdbstub::stub::SingleThreadStopReason;
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::base::singlethread::{
    SingleThreadBase, SingleThreadResume, SingleThreadResumeOps, SingleThreadSingleStep, SingleThreadSingleStepOps,
};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::flash::{Flash, FlashOps};
use gdbstub::target::ext::memory_map::{MemoryMap, MemoryMapOps};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use same54_sim::Board;

use super::control;
use super::points::{self, Points};
use super::registers::{CoreRegister, CoreRegisters, CortexM4f, selector};
use crate::live::handle::{Gone, Handle};
use crate::live::semihosting;

/// EFAULT and EIO of GDB's protocol.
const EFAULT: u8 = 14;
const EIO: u8 = 5;

/// What GDB may touch; it tells flash apart, so that breakpoints there are the core's.
const MEMORY_MAP: &str = r#"<?xml version="1.0"?>
<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd">
<memory-map>
<memory type="flash" start="0x00000000" length="0x00100000"><property name="blocksize">0x2000</property></memory>
<memory type="rom" start="0x00800000" length="0x00008000"/>
<memory type="rom" start="0x04000000" length="0x01000000"/>
<memory type="ram" start="0x20000000" length="0x00040000"/>
<memory type="ram" start="0x40000000" length="0x04000000"/>
<memory type="ram" start="0x47000000" length="0x00002000"/>
<memory type="ram" start="0xe0000000" length="0x00100000"/>
</memory-map>
"#;

const MONITOR_HELP: &str = "reset: reset the chip and halt before the first instruction\n\
     halt: nothing to do, GDB has halted the core\n\
     press, release: the button SW0\n\
     status: virtual time, instructions, LED";

/// A board under GDB. Breakpoints travel to the board's owner and back with each request.
pub(super) struct GdbTarget {
    board: Handle,
    points: Points,
    stepping: bool,
}

impl GdbTarget {
    /// Takes over the board and halts it, as GDB expects.
    pub fn new(board: Handle) -> Result<Self, Gone> {
        board.with(control::halt)?;
        Ok(Self { board, points: Points::default(), stepping: false })
    }

    /// Lets the board go as if nobody had been there.
    pub fn release(&mut self) -> Result<(), Gone> {
        self.work(|board, points| {
            points.clear_all(board);
            if board.is_halted() {
                control::resume(board, points);
            }
        })
    }

    pub fn stopped(&mut self) -> Result<Option<SingleThreadStopReason<u32>>, Gone> {
        let stepping = self.stepping;
        let reason = self.work(move |board, points| control::stopped(board, points, stepping))?;
        if reason.is_some() {
            self.stepping = false;
        }
        Ok(reason)
    }

    pub fn interrupt(&mut self) -> Result<(), Gone> {
        self.stepping = false;
        self.board.with(control::halt)
    }

    fn work<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Board, &mut Points) -> R + Send + 'static,
    ) -> Result<R, Gone> {
        let mut points = std::mem::take(&mut self.points);
        let (points, result) = self.board.with(move |board| {
            let result = work(board, &mut points);
            (points, result)
        })?;
        self.points = points;
        Ok(result)
    }
}

fn fatal(gone: Gone) -> TargetError<Gone> {
    TargetError::Fatal(gone)
}

impl Target for GdbTarget {
    type Arch = CortexM4f;
    type Error = Gone;

    fn base_ops(&mut self) -> BaseOps<'_, Self::Arch, Self::Error> {
        BaseOps::SingleThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_memory_map(&mut self) -> Option<MemoryMapOps<'_, Self>> {
        Some(self)
    }

    fn support_flash_operations(&mut self) -> Option<FlashOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadBase for GdbTarget {
    fn read_registers(&mut self, registers: &mut CoreRegisters) -> TargetResult<(), Self> {
        *registers = self
            .board
            .with(|board| {
                CoreRegisters(std::array::from_fn(|word| match selector(word) {
                    (register, None) => board.register(register),
                    (register, Some(shift)) => board.register(register) >> shift & 0xFF,
                }))
            })
            .map_err(fatal)?;
        Ok(())
    }

    fn write_registers(&mut self, registers: &CoreRegisters) -> TargetResult<(), Self> {
        let words = registers.0;
        self.board
            .with(move |board| words.iter().enumerate().for_each(|(word, value)| write_word(board, word, *value)))
            .map_err(fatal)
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, (), Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u32, data: &mut [u8]) -> TargetResult<usize, Self> {
        let len = data.len();
        let bytes = self.board.with(move |board| read_memory(board, start, len)).map_err(fatal)?;
        if bytes.is_empty() && len > 0 {
            return Err(TargetError::Errno(EFAULT));
        }
        data[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_addrs(&mut self, start: u32, data: &[u8]) -> TargetResult<(), Self> {
        let data = data.to_vec();
        let written = self.board.with(move |board| write_memory(board, start, &data)).map_err(fatal)?;
        if written { Ok(()) } else { Err(TargetError::Errno(EFAULT)) }
    }

    fn support_resume(&mut self) -> Option<SingleThreadResumeOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<()> for GdbTarget {
    fn read_register(&mut self, (): (), register: CoreRegister, buffer: &mut [u8]) -> TargetResult<usize, Self> {
        let mut all = CoreRegisters::default();
        self.read_registers(&mut all)?;
        let words = &all.0[register.first..register.first + register.words];
        for (bytes, word) in buffer.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Ok(4 * register.words)
    }

    fn write_register(&mut self, (): (), register: CoreRegister, value: &[u8]) -> TargetResult<(), Self> {
        let words: Vec<u32> =
            value.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect();
        self.board
            .with(move |board| {
                for (n, word) in words.into_iter().take(register.words).enumerate() {
                    write_word(board, register.first + n, word);
                }
            })
            .map_err(fatal)
    }
}

impl SingleThreadResume for GdbTarget {
    fn resume(&mut self, _: Option<Signal>) -> Result<(), Gone> {
        self.stepping = false;
        self.work(|board, points| control::resume(board, points))
    }

    fn support_single_step(&mut self) -> Option<SingleThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
}

impl SingleThreadSingleStep for GdbTarget {
    fn step(&mut self, _: Option<Signal>) -> Result<(), Gone> {
        self.stepping = true;
        self.board.with(control::step)
    }
}

impl Breakpoints for GdbTarget {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for GdbTarget {
    fn add_sw_breakpoint(&mut self, addr: u32, _: usize) -> TargetResult<bool, Self> {
        self.work(move |board, points| points.set(board, addr)).map_err(fatal)
    }

    fn remove_sw_breakpoint(&mut self, addr: u32, _: usize) -> TargetResult<bool, Self> {
        self.work(move |board, points| points.clear(board, addr)).map_err(fatal)
    }
}

impl HwBreakpoint for GdbTarget {
    fn add_hw_breakpoint(&mut self, addr: u32, _: usize) -> TargetResult<bool, Self> {
        self.board.with(move |board| points::set_hardware(board, addr)).map_err(fatal)
    }

    fn remove_hw_breakpoint(&mut self, addr: u32, _: usize) -> TargetResult<bool, Self> {
        self.board.with(move |board| points::clear_hardware(board, addr)).map_err(fatal)
    }
}

impl HwWatchpoint for GdbTarget {
    fn add_hw_watchpoint(&mut self, addr: u32, len: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        self.board.with(move |board| points::watch(board, addr, len, kind)).map_err(fatal)
    }

    fn remove_hw_watchpoint(&mut self, addr: u32, len: u32, kind: WatchKind) -> TargetResult<bool, Self> {
        self.board.with(move |board| points::unwatch(board, addr, len, kind)).map_err(fatal)
    }
}

impl MemoryMap for GdbTarget {
    fn memory_map_xml(&self, offset: u64, length: usize, buffer: &mut [u8]) -> TargetResult<usize, Self> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(MEMORY_MAP.len());
        let rest = &MEMORY_MAP.as_bytes()[start..];
        let len = rest.len().min(length).min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// `load` writes as a programmer would that had the chip before it was soldered: no time passes.
impl Flash for GdbTarget {
    fn flash_erase(&mut self, start: u32, length: u32) -> TargetResult<(), Self> {
        self.preload(start, vec![0xFF; length as usize])
    }

    fn flash_write(&mut self, start: u32, data: &[u8]) -> TargetResult<(), Self> {
        self.preload(start, data.to_vec())
    }

    fn flash_done(&mut self) -> TargetResult<(), Self> {
        Ok(())
    }
}

impl GdbTarget {
    fn preload(&mut self, start: u32, data: Vec<u8>) -> TargetResult<(), Self> {
        let done = self.board.with(move |board| board.preload_nvm(start, &data)).map_err(fatal)?;
        if done { Ok(()) } else { Err(TargetError::Errno(EIO)) }
    }
}

impl MonitorCmd for GdbTarget {
    fn handle_monitor_cmd(&mut self, command: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Gone> {
        match String::from_utf8_lossy(command).trim() {
            "reset" | "reset halt" => {
                self.board.with(control::reset_and_halt)?;
                outputln!(out, "the chip is reset, the core halted; tell GDB: maintenance flush register-cache");
            }
            "halt" => {}
            "press" => self.board.with(|board| board.set_button(true))?,
            "release" => self.board.with(|board| board.set_button(false))?,
            "status" => {
                let (now, instructions, led) =
                    self.board.with(|board| (board.now(), board.instructions(), board.led()))?;
                outputln!(out, "{now} virtual, {instructions} instructions, LED {}", if led { "on" } else { "off" });
            }
            "help" => outputln!(out, "{MONITOR_HELP}"),
            other => outputln!(out, "unknown command \"{other}\"\n{MONITOR_HELP}"),
        }
        Ok(())
    }
}

fn write_word(board: &mut Board, word: usize, value: u32) {
    match selector(word) {
        (register, None) => semihosting::set_register(board, register, value),
        (register, Some(shift)) => {
            let rest = board.register(register) & !(0xFF << shift);
            semihosting::set_register(board, register, rest | (value & 0xFF) << shift);
        }
    }
}

/// The widest access that fits: registers of peripherals are read as a whole.
fn width(addr: u32, len: usize) -> Size {
    match (addr % 4, len) {
        (0, 4..) => Size::Word,
        (0 | 2, 2..) => Size::Half,
        _ => Size::Byte,
    }
}

/// Up to `len` bytes; fewer where the bus answers with an error.
fn read_memory(board: &mut Board, start: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let addr = start.wrapping_add(bytes.len() as u32);
        let size = width(addr, len - bytes.len());
        let Ok(value) = board.debug_read(addr, size) else { break };
        bytes.extend_from_slice(&value.to_le_bytes()[..size as usize]);
    }
    bytes
}

fn write_memory(board: &mut Board, start: u32, data: &[u8]) -> bool {
    let mut done = 0;
    while done < data.len() {
        let addr = start.wrapping_add(done as u32);
        let size = width(addr, data.len() - done);
        let mut word = [0; 4];
        word[..size as usize].copy_from_slice(&data[done..done + size as usize]);
        if board.debug_write(addr, size, u32::from_le_bytes(word)).is_err() {
            return false;
        }
        done += size as usize;
    }
    true
}
