//! The controller through its registers, with descriptors in RAM and a cable that the test holds.

mod duplex;
mod filters;
mod fuzz;
mod mdio;
mod partial;
mod pause;
mod ptp;
mod receive;
mod transmit;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use sim_base::{EthernetLink, Instant};

use super::Gmac;
use super::regs::*;
use crate::event::{EventKind, ResetCause};
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;

const RAM: u32 = 0x2000_0000;
const RX_RING: u32 = RAM + 0x100;
const TX_RING: u32 = RAM + 0x200;
const RX_BUFFERS: u32 = RAM + 0x1000;
const TX_BUFFERS: u32 = RAM + 0x8000;
const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];

const MS: u64 = 1_000_000;
/// After auto-negotiation.
const LINK_UP: u64 = 2_000 * MS;

#[derive(Default)]
struct Cable {
    sent: Vec<(Instant, Vec<u8>)>,
    waiting: VecDeque<Vec<u8>>,
    down: bool,
}

#[derive(Clone, Default)]
struct Plug(Arc<Mutex<Cable>>);

impl EthernetLink for Plug {
    fn transmit(&mut self, now: Instant, frame: &[u8]) {
        self.0.lock().unwrap().sent.push((now, frame.to_vec()));
    }
    fn receive(&mut self, _: Instant) -> Option<Vec<u8>> {
        self.0.lock().unwrap().waiting.pop_front()
    }
    fn poll_at(&self) -> Instant {
        Instant::NEVER
    }
    fn is_up(&self) -> bool {
        !self.0.lock().unwrap().down
    }
}

/// Controller, RAM, cable and clock.
struct Bench {
    rig: Rig,
    gmac: Gmac,
    plug: Plug,
    now: u64,
}

impl Bench {
    /// Just after power-on.
    fn new() -> Self {
        let mut rig = Rig::new();
        let plug = Plug::default();
        rig.link = Some(Box::new(plug.clone()));
        rig.clocks.cpu = 120_000_000;
        let mut gmac = Gmac::new();
        gmac.reset(ResetCause::PowerOn, &mut rig.cx(0));
        Self { rig, gmac, plug, now: 0 }
    }

    /// With link, rings of four descriptors, buffers of 1536 bytes, station address, receiver and transmitter on.
    fn running() -> Self {
        let mut bench = Self::new();
        bench.now = LINK_UP;
        bench.write(NCFGR, ncfgr::SPD | ncfgr::FD | ncfgr::RFCS | 3 << ncfgr::CLK_SHIFT);
        bench.write(DCFGR, dcfgr::RESET & !(0xFF << dcfgr::DRBS_SHIFT) | 24 << dcfgr::DRBS_SHIFT);
        for index in 0..4 {
            let wrap = if index == 3 { rxd::WRAP } else { 0 };
            bench.set_word(RX_RING + index * 8, (RX_BUFFERS + index * 0x600) | wrap);
            bench.set_word(RX_RING + index * 8 + 4, 0);
            bench.set_word(TX_RING + index * 8, TX_BUFFERS + index * 0x600);
            bench.set_word(TX_RING + index * 8 + 4, txd::USED | if index == 3 { txd::WRAP } else { 0 });
        }
        bench.write(RBQB, RX_RING);
        bench.write(TBQB, TX_RING);
        bench.write(SAB1, u32::from_le_bytes([MAC[0], MAC[1], MAC[2], MAC[3]]));
        bench.write(SAB1 + 4, u32::from(u16::from_le_bytes([MAC[4], MAC[5]])));
        bench.write(NCR, ncr::RXEN | ncr::TXEN | ncr::MPE);
        bench
    }

    fn read(&mut self, offset: u32) -> u32 {
        self.gmac.read(offset, &mut self.rig.cx(self.now))
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.gmac.write(offset, Write::full(value), &mut self.rig.cx(self.now));
    }

    fn word(&mut self, addr: u32) -> u32 {
        self.rig.cx(self.now).dma_read_word(addr).unwrap()
    }

    fn set_word(&mut self, addr: u32, value: u32) {
        self.rig.cx(self.now).dma_write_word(addr, value).unwrap();
    }

    fn bytes(&mut self, addr: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rig.cx(self.now).dma_read(addr, &mut bytes).unwrap();
        bytes
    }

    fn set_bytes(&mut self, addr: u32, bytes: &[u8]) {
        self.rig.cx(self.now).dma_write(addr, bytes).unwrap();
    }

    /// Goes from event to event until `nanos` have passed.
    fn pass(&mut self, nanos: u64) {
        let end = self.now + nanos;
        loop {
            let next = self.gmac.next_event().as_nanos();
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.gmac.advance(&mut self.rig.cx(self.now));
        }
        self.now = end;
        self.gmac.advance(&mut self.rig.cx(self.now));
    }

    fn arrive(&mut self, frame: &[u8]) {
        self.plug.0.lock().unwrap().waiting.push_back(frame.to_vec());
        self.pass(0);
    }

    /// Sets bits of NCFGR.
    fn configure(&mut self, bits: u32) {
        let ncfgr = self.read(NCFGR);
        self.write(NCFGR, ncfgr | bits);
    }

    /// Whether receive descriptor `index` belongs to software, and its word 1.
    fn received(&mut self, index: u32) -> Option<u32> {
        let used = self.word(RX_RING + index * 8) & rxd::OWN != 0;
        used.then(|| self.word(RX_RING + index * 8 + 4))
    }

    fn sent(&self) -> Vec<(Instant, Vec<u8>)> {
        std::mem::take(&mut self.plug.0.lock().unwrap().sent)
    }

    /// Puts a frame into transmit buffer `index`, in one piece, with further bits in word 1.
    fn queue(&mut self, index: u32, frame: &[u8], bits: u32) {
        let wrap = if index == 3 { txd::WRAP } else { 0 };
        self.set_bytes(TX_BUFFERS + index * 0x600, frame);
        self.set_word(TX_RING + index * 8 + 4, wrap | txd::LAST | bits | frame.len() as u32);
    }

    fn start(&mut self) {
        let ncr = self.read(NCR);
        self.write(NCR, ncr | ncr::TSTART);
    }

    /// One MDIO transfer, waiting for IDLE.
    fn mdio(&mut self, operation: u32, phy: u32, register: u32, data: u16) -> u16 {
        let man = 1 << 30 | operation << 28 | phy << 23 | register << 18 | 2 << 16 | u32::from(data);
        self.write(MAN, man);
        while self.read(NSR) & nsr::IDLE == 0 {
            self.now += 1_000;
        }
        self.read(MAN) as u16
    }

    fn phy(&mut self, register: u32) -> u16 {
        self.mdio(2, 0, register, 0)
    }
}

/// A frame for `to` with `len` bytes up to the FCS.
fn frame(to: [u8; 6], len: usize) -> Vec<u8> {
    let mut bytes = to.to_vec();
    bytes.extend([0x02, 0, 0, 0, 0, 1, 0x88, 0xB5]);
    let start = bytes.len();
    bytes.extend((start..len).map(|at| at as u8));
    bytes
}

#[test]
fn registers_have_their_reset_values() {
    let mut bench = Bench::new();
    let expected = [
        (NCR, 0),
        (NCFGR, 0x0008_0000),
        (DCFGR, 0x0002_0704),
        (IMR, 0x3FFF_FFFF),
        (TPQ, 0xFFFF),
        (TPSF, 0x3FF),
        (RPSF, 0x3FF),
        (RJFML, 0x3FFF),
        (UR, 0),
        (ISR, 0),
        (TSR, 0),
        (RSR, 0),
    ];
    for (offset, value) in expected {
        assert_eq!(bench.read(offset), value, "{offset:#05x}");
    }
    assert_eq!(bench.read(NSR) & nsr::IDLE, nsr::IDLE);
    assert!(bench.rig.signals.unmodelled.is_empty());
    bench.read(0x054);
    assert_eq!(bench.rig.signals.unmodelled.len(), 1);
}

#[test]
fn statistics_count_and_clear_when_read() {
    let mut bench = Bench::running();
    bench.arrive(&frame([0xFF; 6], 60));
    bench.arrive(&frame(MAC, 300));
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.pass(100_000);
    let expected =
        [(0x158, 2), (0x15C, 1), (0x150, 64 + 304), (0x168, 1), (0x174, 1), (0x108, 1), (0x100, 64), (0x118, 1)];
    for (offset, value) in expected {
        assert_eq!(bench.read(offset), value, "{offset:#x}");
        assert_eq!(bench.read(offset), 0, "{offset:#x}");
    }
    bench.write(NCR, ncr::INCSTAT);
    assert_eq!((bench.read(0x100), bench.read(0x1B0)), (1, 1));
    // 24.9.1: CLRSTAT, and WESTAT for tests; 24.7.2: they stick at all ones.
    bench.write(NCR, ncr::INCSTAT | ncr::CLRSTAT);
    bench.write(0x1AC, 0xFF);
    assert_eq!(bench.read(0x1AC), 1, "write-protected, and INCSTAT came after CLRSTAT");
    bench.write(NCR, ncr::WESTAT);
    bench.write(0x1AC, 0xFF);
    bench.write(NCR, ncr::WESTAT | ncr::INCSTAT);
    assert_eq!(bench.read(0x1AC), 0xFF);
    bench.write(NCR, ncr::CLRSTAT);
    assert!((0x100..=0x1B0).step_by(4).all(|offset| bench.read(offset) == 0));
}

#[test]
fn imr_sets_bits_of_isr_for_tests() {
    // 24.9.13.
    let mut bench = Bench::running();
    bench.write(IMR, int::HRESP | int::WOL);
    assert_eq!((bench.read(IMR), bench.gmac.irqs()), (int::ALL, 1), "whatever the mask");
    bench.write(IMR, int::WOL);
    assert_eq!((bench.read(ISR), bench.gmac.irqs()), (int::WOL, 0));
}

#[test]
fn big_endian_memory_for_descriptors_and_data() {
    // 24.9.5: ESMA and ESPA.
    let mut bench = Bench::running();
    let dcfgr = bench.read(DCFGR);
    bench.write(DCFGR, dcfgr | dcfgr::ESMA | dcfgr::ESPA);
    for at in (RX_RING..RX_RING + 32).chain(TX_RING..TX_RING + 32).step_by(4) {
        let word = bench.word(at);
        bench.set_word(at, word.swap_bytes());
    }
    let bytes = frame(MAC, 62);
    bench.arrive(&bytes);
    assert_eq!(bench.word(RX_RING + 4).swap_bytes(), rxd::SOF | rxd::EOF | rxd::SPECIFIC | 62);
    let swapped: Vec<u8> = (0..62).map(|at: usize| bench.bytes(RX_BUFFERS + (at as u32 ^ 3), 1)[0]).collect();
    assert_eq!(swapped, bytes);
    for (at, byte) in (0..).zip(&bytes) {
        bench.set_bytes(TX_BUFFERS + (at ^ 3), &[*byte]);
    }
    bench.set_word(TX_RING + 4, (txd::LAST | 62).swap_bytes());
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.sent()[0].1, bytes);
    assert_eq!(bench.word(TX_RING + 4).swap_bytes(), txd::USED | txd::LAST | 62);
}

#[test]
fn low_power_idle_is_counted_and_holds_frames_back() {
    // 24.9.100, 24.9.101: transitions of NCR.LPI, and time in units of 16 AHB cycles.
    let mut bench = Bench::running();
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::LPI);
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.pass(MS);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.read(TLPITI), 120_000 / 16);
    bench.write(NCR, ncr);
    bench.pass(MS);
    assert_eq!(bench.sent().len(), 1);
    bench.write(NCR, ncr | ncr::LPI);
    assert_eq!((bench.read(TLPITR), bench.read(TLPITR), bench.read(TLPITI)), (2, 0, 0));
    assert_eq!((bench.read(RLPITR), bench.read(RLPITI)), (0, 0));
}

#[test]
fn local_loopback_returns_frames_without_a_cable() {
    let mut bench = Bench::running();
    bench.rig.link = None;
    bench.write(NCR, 0);
    bench.write(NCR, ncr::LBL);
    bench.write(NCR, ncr::LBL | ncr::RXEN | ncr::TXEN);
    bench.write(IER, int::RCOMP | int::TCOMP);
    let bytes = frame(MAC, 200);
    bench.queue(0, &bytes, 0);
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.read(ISR), int::RCOMP | int::TCOMP);
    assert_eq!(bench.bytes(RX_BUFFERS, 200), bytes);
    assert_eq!(bench.word(RX_RING + 4) & 0x1FFF, 200);
    assert!(bench.rig.violations().is_empty());

    bench.write(NCR, ncr::RXEN | ncr::TXEN);
    assert_eq!(bench.rig.violations().len(), 1, "the switch is made while both are on");
}

#[test]
fn checksum_offload_makes_and_checks_checksums() {
    let mut udp = MAC.to_vec();
    udp.extend([2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 10, 54, 0, 1, 10, 54, 0, 100]);
    udp.extend([0x12, 0x34, 0, 53, 0, 12, 0, 0, b'a', b'b', b'c', b'd']);
    let mut bench = Bench::running();
    let (ncfgr, dcfgr) = (bench.read(NCFGR), bench.read(DCFGR));
    bench.write(NCFGR, ncfgr | ncfgr::RXCOEN);
    bench.write(DCFGR, dcfgr | dcfgr::TXCOEN);
    bench.queue(0, &udp, 0);
    bench.start();
    bench.pass(100_000);
    let mut sent = bench.sent().remove(0).1;
    assert_eq!(bench.word(TX_RING + 4) >> txd::CHECKSUM_SHIFT & 7, 0);
    bench.arrive(&sent);
    assert_eq!(bench.word(RX_RING + 4) >> rxd::TYPE_ID_SHIFT & 7, 3, "IP header and UDP checksum are right");
    sent[44] ^= 1;
    bench.arrive(&sent);
    assert_eq!(bench.word(RX_RING + 8) & rxd::OWN, 0);
    assert_eq!(bench.read(0x1B0), 1, "UCE");
}

#[test]
fn masked_sources_leave_isr_alone() {
    let mut bench = Bench::running();
    bench.arrive(&frame(MAC, 60));
    assert_eq!((bench.read(ISR), bench.gmac.irqs()), (0, 0));
    bench.write(IER, int::RCOMP);
    assert_eq!(bench.read(IMR), int::ALL & !int::RCOMP);
    bench.arrive(&frame(MAC, 60));
    bench.write(IDR, int::RCOMP);
    assert_eq!(bench.gmac.irqs(), 0);
    assert_eq!(bench.read(IMR), int::ALL);
}

#[test]
fn queue_bases_cannot_move_while_in_use() {
    let mut bench = Bench::running();
    bench.write(RBQB, RAM);
    assert_eq!(bench.read(RBQB), RX_RING);
    bench.queue(0, &frame(MAC, 60), 0);
    bench.start();
    bench.write(TBQB, RAM);
    assert_eq!(bench.read(TBQB), TX_RING);
    assert_eq!(bench.rig.violations().len(), 2);
}
