//! The controller through its registers, with descriptors in RAM and a cable that the test holds.

mod mdio;
mod receive;
mod transmit;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use sim_base::{EthernetLink, Instant, Rng};

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

#[test]
fn no_program_can_break_the_model() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut bench = Bench::running();
        // Rings and buffers lie in RAM, with contents that no driver would write.
        for at in (RX_RING..RX_RING + 0x200).step_by(4) {
            let word = RAM + rng.below(0x1_0000) as u32;
            let bits = rng.next_u32() & rng.next_u32() & rng.next_u32();
            bench.set_word(at, if rng.below(4) == 0 { bits } else { word });
        }
        for _ in 0..300 {
            match rng.below(4) {
                0 => {
                    let offset = rng.below(0xA0) as u32 * 4;
                    bench.read(offset);
                }
                1 => {
                    let offset = rng.below(0x30) as u32 * 4;
                    let value = rng.next_u32() & rng.next_u32();
                    bench.write(offset, value);
                }
                2 => {
                    let mut bytes = vec![0; rng.below(1_600) as usize];
                    rng.fill(&mut bytes);
                    if bytes.len() > 40 {
                        bytes[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
                    }
                    bench.arrive(&bytes);
                }
                _ => {
                    let ncr = bench.read(NCR);
                    bench.write(NCR, ncr | ncr::RXEN | ncr::TXEN | ncr::TSTART);
                    bench.pass(rng.below(50_000));
                }
            }
            let next = bench.gmac.next_event().as_nanos();
            assert!(next > bench.now, "seed {seed}: time would stand still");
            let sent = bench.sent();
            assert!(sent.iter().all(|(_, frame)| (60..=4096).contains(&frame.len())), "seed {seed}");
        }
    }
}
