//! Partial store and forward (24.6.3.2), packet buffers.

use super::super::rx;
use super::*;

#[test]
fn frame_too_large_for_the_packet_buffer_needs_partial_mode() {
    // 24.6.3.7: the frame is flushed and the DMA halted with an error status.
    let mut bench = Bench::running();
    for _ in 0..2 {
        for index in 0..3 {
            bench.set_word(TX_RING + index * 8 + 4, 1_500 | if index == 2 { txd::LAST } else { 0 });
        }
        bench.start();
        bench.pass(MS);
        if bench.read(TPSF) & psf::ENABLE == 0 {
            assert_eq!(bench.read(TSR), tsr::TFC);
            assert_eq!(bench.word(TX_RING + 4) & (txd::USED | txd::TFC), txd::USED | txd::TFC);
            bench.write(TPSF, psf::ENABLE | 20);
        }
    }
    assert_eq!(bench.sent()[0].1.len(), 4_500);
}

#[test]
fn partial_mode_makes_no_checksums() {
    // 24.6.6.2.
    let mut udp = MAC.to_vec();
    udp.extend([2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 10, 54, 0, 1, 10, 54, 0, 100]);
    udp.resize(60, 0);
    let mut bench = Bench::running();
    let dcfgr = bench.read(DCFGR);
    bench.write(DCFGR, dcfgr | dcfgr::TXCOEN);
    bench.write(TPSF, psf::ENABLE | 20);
    bench.queue(0, &udp, 0);
    bench.start();
    bench.pass(MS);
    assert_eq!(bench.sent()[0].1, udp);
}

#[test]
fn buffers_that_run_out_after_the_watermark_are_an_underrun() {
    let mut bench = Bench::running();
    bench.write(IER, int::TUR | int::TFC | int::TCOMP);
    bench.write(TPSF, psf::ENABLE | 20);
    bench.set_word(TX_RING + 4, 79);
    bench.start();
    assert_eq!(bench.read(ISR), int::TFC, "80 bytes were needed to begin");
    bench.set_word(TX_RING + 4, 80);
    bench.start();
    bench.pass(1_000);
    assert_eq!(bench.read(ISR), 0, "on the line");
    bench.pass(MS);
    assert_eq!(bench.read(ISR), int::TUR | int::TFC);
    assert_eq!(bench.read(TSR), tsr::TFC | tsr::UND);
    assert_eq!((bench.read(0x134), bench.read(0x108)), (1, 0), "TUR, FT");
    assert!(bench.sent().is_empty());
}

/// A bench in local loopback with receive buffers of 64 bytes.
fn loopback() -> Bench {
    let mut bench = Bench::running();
    bench.write(DCFGR, dcfgr::RESET & !(0xFF << dcfgr::DRBS_SHIFT) | 1 << dcfgr::DRBS_SHIFT);
    bench.write(NCR, 0);
    bench.write(NCR, ncr::LBL);
    bench.write(NCR, ncr::LBL | ncr::RXEN | ncr::TXEN);
    bench
}

#[test]
fn bad_frame_leaves_a_fragment_in_partial_mode_only() {
    // 24.6.3.3: the buffer that is being written is recovered, previous buffers are not.
    for partial in [false, true] {
        let mut bench = loopback();
        bench.write(RPSF, if partial { psf::ENABLE | 16 } else { 0x3FF });
        let mut bytes = frame(MAC, 150);
        bytes.extend(rx::fcs_of(&bytes));
        bytes[100] ^= 1;
        bench.queue(0, &bytes, txd::NO_CRC);
        bench.start();
        bench.pass(MS);
        let fragment = [bench.received(0), bench.received(1), bench.received(2)];
        assert_eq!(fragment, if partial { [Some(rxd::SOF), Some(0), None] } else { [None; 3] });
        assert_eq!((bench.read(0x190), bench.read(RSR)), (1, 0), "FCSE");
    }
}

#[test]
fn partial_mode_drops_what_finds_no_descriptor() {
    let mut bench = Bench::running();
    bench.write(RPSF, psf::ENABLE | 16);
    for index in 0..5 {
        bench.arrive(&frame(MAC, 60 + index));
    }
    bench.set_word(RX_RING, RX_BUFFERS);
    bench.arrive(&frame(MAC, 70));
    assert_eq!(bench.received(0).unwrap() & 0x1FFF, 70);
}

#[test]
fn flush_drops_the_frame_that_waits() {
    // 24.9.1, FNP.
    let mut bench = Bench::running();
    for index in 0..6 {
        bench.arrive(&frame(MAC, 60 + index));
    }
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::FNP);
    bench.set_word(RX_RING, RX_BUFFERS);
    bench.arrive(&frame(MAC, 70));
    assert_eq!(bench.received(0).unwrap() & 0x1FFF, 65, "the one of 64 bytes is gone");
}

#[test]
fn receive_buffer_outside_of_memory_is_an_overrun_too() {
    // 24.6.3.3: "or because HRESP was not OK".
    let mut bench = Bench::running();
    bench.write(IER, int::HRESP | int::ROVR);
    bench.set_word(RX_RING, 0x3000_0000);
    bench.arrive(&frame(MAC, 60));
    assert_eq!(bench.read(RSR), rsr::HNO | rsr::RXOVR);
    assert_eq!(bench.read(ISR), int::HRESP | int::ROVR);
    assert_eq!(bench.read(0x1A4), 1, "ROE");
}

#[test]
fn wrong_fcs_is_kept_and_told_when_it_is_ignored() {
    // 24.6.5: counted still; bit 13 of the descriptor.
    let mut bench = loopback();
    bench.configure(ncfgr::IRXFCS);
    let mut bytes = frame(MAC, 60);
    bytes.extend([1, 2, 3, 4]);
    bench.queue(0, &bytes, txd::NO_CRC);
    bench.start();
    bench.pass(MS);
    assert_eq!(bench.received(0).unwrap() & 0x3FFF, rxd::BAD_FCS | 60);
    assert_eq!(bench.read(0x190), 1, "FCSE");
}

#[test]
fn length_errors_of_frames_with_a_wrong_fcs_have_their_own_counters() {
    // 24.9.72 to 24.9.74: undersize and oversize are of good frames, a long bad one is a jabber.
    let mut bench = loopback();
    for (index, len) in [(0, 40), (1, 1_530)] {
        let mut bytes = frame(MAC, len);
        bytes.extend([1, 2, 3, 4]);
        bench.queue(index, &bytes, txd::NO_CRC);
    }
    bench.start();
    bench.pass(MS);
    assert_eq!((bench.read(0x184), bench.read(0x188), bench.read(0x18C)), (0, 0, 1), "UFR, OFR, JR");
}

#[test]
fn length_field_is_checked_on_request() {
    let mut bench = Bench::running();
    let mut bytes = frame(MAC, 60);
    bytes[12..14].copy_from_slice(&[0, 47]);
    bench.arrive(&bytes);
    assert!(bench.received(0).is_some());
    bench.configure(ncfgr::LFERD);
    bench.arrive(&bytes);
    assert_eq!((bench.received(1), bench.read(0x194)), (None, 1), "LFFE");
    bytes[13] = 46;
    bench.arrive(&bytes);
    assert!(bench.received(1).is_some());
}

#[test]
fn jumbo_frames_have_a_length_of_fourteen_bits() {
    let mut bench = Bench::running();
    bench.write(DCFGR, dcfgr::RESET & !(0xFF << dcfgr::DRBS_SHIFT) | 0xA0 << dcfgr::DRBS_SHIFT);
    bench.set_word(RX_RING, RX_BUFFERS);
    bench.set_word(RX_RING + 8, RX_BUFFERS + 0x3000);
    bench.configure(ncfgr::JFRAME);
    bench.write(RPSF, psf::ENABLE | 16);
    bench.arrive(&frame(MAC, 10_000));
    assert_eq!(bench.received(0).unwrap() & 0x3FFF, 10_000);
    bench.arrive(&frame(MAC, 10_240));
    assert_eq!((bench.received(1), bench.read(0x188)), (None, 1), "OFR");
    bench.write(RJFML, 5_000);
    bench.arrive(&frame(MAC, 5_000));
    assert_eq!(bench.received(1), None);
}

#[test]
fn halt_lets_the_frame_finish_and_start_goes_on() {
    // 24.6.3.4, 24.9.1.
    let mut bench = Bench::running();
    for index in 0..3 {
        bench.queue(index, &frame(MAC, 60 + index as usize), 0);
    }
    bench.start();
    bench.pass(1_000);
    let ncr = bench.read(NCR);
    bench.write(NCR, ncr | ncr::THALT);
    assert_eq!(bench.read(TSR) & tsr::TXGO, tsr::TXGO, "still on the line");
    bench.pass(MS);
    assert_eq!((bench.sent().len(), bench.read(TSR), bench.read(TBQB)), (1, tsr::TXCOMP, TX_RING + 8));
    bench.start();
    bench.pass(MS);
    assert_eq!(bench.sent().iter().map(|(_, frame)| frame.len()).collect::<Vec<_>>(), [61, 62]);
    bench.write(NCR, ncr | ncr::THALT);
    assert_eq!(bench.read(TSR) & tsr::TXGO, 0);
}

#[test]
fn gap_stretches_with_the_frame() {
    // 24.9.26: twice the length of the frame with its preamble, divided by three.
    let mut bench = Bench::running();
    bench.write(IPGS, 2 << 8 | 2);
    bench.configure(ncfgr::IPGSEN);
    bench.queue(0, &frame(MAC, 138), 0);
    bench.queue(1, &frame(MAC, 60), 0);
    bench.start();
    bench.pass(MS);
    let sent = bench.sent();
    assert_eq!(sent[1].0.since(sent[0].0).as_nanos(), (150 * 2 / 3 + 72) * 80);
}
