//! `hil bench boot`: how long the bootloader keeps a device waiting, in virtual time with the flashes' typical times.

use std::fmt::Write as _;
use std::time::Duration;

use same54_sim::EventKind;
use serde::Serialize;
use update_image::layout::{IMAGE_BIN, VECTOR_TABLE};

use crate::artifacts::Workspace;
use crate::campaign::stage::{End, LONGEST, Stage, run};
use crate::error::Error;
use crate::scenario::{self, signed};

/// Bytes of the images, header and TLVs aside.
const IMAGE: usize = 256 * 1024;
/// Typical times (SAM D5x/E5x datasheet, 54.12; N25Q256A datasheet, AC characteristics), microseconds.
const NVM_PAGE_US: u64 = 1_500;
const NVM_BLOCK_US: u64 = 50_000;
const NOR_PAGE_US: u64 = 500;
const NOR_SUBSECTOR_US: u64 = 250_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct BootReport {
    schema: &'static str,
    image_bytes: usize,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    /// From power-on to the application's first instruction, virtual milliseconds.
    ms: f64,
    instructions: u64,
    /// Programs and erases.
    operations: u64,
    /// What these take by themselves, milliseconds.
    flash_ms: f64,
}

/// Starts a board without an update, and with one.
pub fn boot(workspace: &Workspace) -> Result<BootReport, Error> {
    let (programs, images) = scenario::programs(workspace)?;
    let mut stage = Stage::of(&programs, &images);
    stage.old = signed(&(VECTOR_TABLE, program(1)), "1.0.0")?;
    stage.new = signed(&(VECTOR_TABLE, program(2)), "2.0.0")?;
    let rows = [("start", None), ("update", Some((IMAGE_BIN, &*stage.new)))];
    let rows = rows.into_iter().map(|(what, file)| {
        let mut board = stage.confirmed_board(file.as_slice(), 1)?;
        let (begun, executed) = (board.now(), board.instructions());
        board.power_on();
        let end = run(&mut board, LONGEST, false);
        if end != End::Application {
            return Err(Error::Bench(format!("the application does not start ({what}): {end:?}")));
        }
        let took = board.now() - begun;
        let times = board.take_events().into_iter().filter_map(|event| match event.kind {
            EventKind::NvmProgram { .. } => Some(NVM_PAGE_US),
            EventKind::NvmErase { .. } => Some(NVM_BLOCK_US),
            EventKind::NorProgram { .. } => Some(NOR_PAGE_US),
            EventKind::NorErase { .. } => Some(NOR_SUBSECTOR_US),
            _ => None,
        });
        let (operations, flash) = times.fold((0, 0), |(count, sum), time| (count + 1, sum + time));
        Ok(Row {
            what,
            ms: took.as_secs_f64() * 1e3,
            instructions: board.instructions() - executed,
            operations,
            flash_ms: Duration::from_micros(flash).as_secs_f64() * 1e3,
        })
    });
    let rows = rows.collect::<Result<_, Error>>()?;
    Ok(BootReport { schema: "hil-bench-boot/1", image_bytes: IMAGE, rows })
}

/// A program that does nothing, of the size wanted.
fn program(mark: u8) -> Vec<u8> {
    // B . (ARMv7-M ARM A7.7.12, encoding T2).
    let mut program = [0xFE, 0xE7].repeat(IMAGE / 2);
    program[..4].copy_from_slice(&0x2004_0000_u32.to_le_bytes());
    program[4..8].copy_from_slice(&(VECTOR_TABLE + 0x401).to_le_bytes());
    program[IMAGE - 1] = mark;
    program
}

impl BootReport {
    /// As one JSON document.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// As a table.
    pub fn to_table(&self) -> String {
        let mut out = format!(
            "images of {} KiB  virtual ms  instructions  flash operations  their own ms  ratio\n",
            self.image_bytes / 1024
        );
        for row in &self.rows {
            let ratio = if row.flash_ms > 0.0 { format!("{:.3}", row.ms / row.flash_ms) } else { "-".to_owned() };
            let Row { what, ms, instructions, operations, flash_ms } = row;
            let line = writeln!(
                out,
                "{what:17}  {ms:>10.0}  {instructions:>12}  {operations:>16}  {flash_ms:>12.0}  {ratio:>5}"
            );
            line.unwrap_or_default();
        }
        out
    }
}
