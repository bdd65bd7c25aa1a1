//! Frames as a pcap file, for Wireshark.

use std::io::{self, Write};
use std::time::Duration;

use sim_base::Instant;

/// Classic pcap with nanosecond time stamps (draft-ietf-opsawg-pcap, magic 0xA1B23C4D), link type Ethernet.
pub(crate) struct Capture {
    out: Box<dyn Write + Send>,
    epoch: Duration,
}

impl Capture {
    /// Writes the file header. `epoch` is the time since 1970 at virtual time zero.
    pub fn new(mut out: Box<dyn Write + Send>, epoch: Duration) -> io::Result<Self> {
        let mut header = [0; 24];
        header[0..4].copy_from_slice(&0xA1B2_3C4D_u32.to_le_bytes());
        header[4..6].copy_from_slice(&2_u16.to_le_bytes());
        header[6..8].copy_from_slice(&4_u16.to_le_bytes());
        header[16..20].copy_from_slice(&65_535_u32.to_le_bytes());
        header[20..24].copy_from_slice(&1_u32.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, epoch })
    }

    /// Appends one frame, padded to Ethernet's minimum or not, without FCS.
    pub fn frame(&mut self, at: Instant, frame: &[u8]) -> io::Result<()> {
        let stamp = self.epoch + Duration::from_nanos(at.as_nanos());
        let len = frame.len() as u32;
        let mut header = [0; 16];
        // The format's own limit: seconds are 32 bits wide.
        header[0..4].copy_from_slice(&(stamp.as_secs() as u32).to_le_bytes());
        header[4..8].copy_from_slice(&stamp.subsec_nanos().to_le_bytes());
        header[8..12].copy_from_slice(&len.to_le_bytes());
        header[12..16].copy_from_slice(&len.to_le_bytes());
        self.out.write_all(&header)?;
        self.out.write_all(frame)
    }

    /// Flushes what the writer may hold back.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
