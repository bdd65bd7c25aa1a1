//! Transmit queue, line and pause frames.

use super::super::rx;
use super::*;

#[test]
fn frame_leaves_after_its_time_on_the_line() {
    let mut bench = Bench::running();
    bench.write(IER, int::TCOMP);
    let bytes = frame([0xFF; 6], 100);
    bench.queue(0, &bytes, 0);
    bench.start();
    assert_eq!(bench.read(TSR) & tsr::TXGO, tsr::TXGO);
    bench.pass(1_000);
    assert_eq!(bench.word(TX_RING + 4) & txd::USED, 0, "still on the line");
    bench.pass(20_000);
    // Preamble 8, frame 100, FCS 4 at 80 ns each.
    assert_eq!(bench.sent(), [(Instant::from_nanos(LINK_UP + 112 * 80), bytes)]);
    assert_eq!(bench.word(TX_RING + 4), txd::USED | txd::LAST | 100);
    assert_eq!(bench.gmac.irqs(), 1);
    assert_eq!(bench.read(ISR), int::TCOMP);
    assert_eq!(bench.read(ISR), 0, "ISR clears when it is read");
    assert_eq!(bench.gmac.irqs(), 0);
    assert_eq!(bench.read(TSR), tsr::TXCOMP | tsr::UBR, "then a used descriptor ends transmission");
    bench.write(TSR, tsr::TXCOMP | tsr::UBR);
    assert_eq!(bench.read(TSR), 0);
    assert_eq!(bench.read(TBQB), TX_RING + 8);
}

#[test]
fn short_frames_are_padded_and_frames_keep_their_gap() {
    let mut bench = Bench::running();
    bench.queue(0, &frame([0xFF; 6], 20), 0);
    bench.queue(1, &frame([0xFF; 6], 20), 0);
    bench.start();
    bench.pass(100_000);
    let sent = bench.sent();
    assert_eq!(sent.iter().map(|(_, frame)| frame.len()).collect::<Vec<_>>(), [60, 60]);
    assert_eq!(sent[1].0.since(sent[0].0).as_nanos(), (8 + 64 + 12) * 80);
    assert_eq!(sent[0].1[20..], [0; 40]);
}

#[test]
fn frame_of_several_buffers_wraps_around_the_queue() {
    let mut bench = Bench::running();
    for index in 0..2 {
        bench.queue(index, &frame(MAC, 60), 0);
    }
    bench.start();
    bench.pass(100_000);
    let whole = frame([0xFF; 6], 90);
    for (index, part) in [(2, 0..30), (3, 30..60), (0, 60..90)] {
        bench.queue(index, &whole[part], 0);
        if index != 0 {
            let word1 = bench.word(TX_RING + index * 8 + 4);
            bench.set_word(TX_RING + index * 8 + 4, word1 & !txd::LAST);
        }
    }
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.sent()[2].1, whole);
    let used: Vec<bool> = (0..4).map(|index| bench.word(TX_RING + index * 8 + 4) & txd::USED != 0).collect();
    assert_eq!(used, [false, true, true, false], "only the first buffer of a frame is marked used");
    // The last buffer is descriptor 0, which software has not taken back: it would go out again, as on the chip.
    assert_eq!(bench.read(TBQB), TX_RING + 8);
}

#[test]
fn used_bit_in_the_middle_of_a_frame_is_an_error() {
    let mut bench = Bench::running();
    bench.write(IER, int::TFC | int::TCOMP);
    bench.set_word(TX_RING + 4, 30);
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.read(ISR), int::TFC);
    assert_eq!(bench.read(TSR), tsr::TFC);
    assert_eq!(bench.word(TX_RING + 4), txd::USED | txd::TFC | 30);
    assert!(bench.sent().is_empty());
}

#[test]
fn queue_outside_of_memory_is_a_bus_error() {
    let mut bench = Bench::running();
    bench.write(IER, int::HRESP);
    bench.write(TBQB, 0x3000_0000);
    bench.start();
    assert_eq!(bench.read(TSR), tsr::HRESP | tsr::TFC);
    assert_eq!(bench.read(ISR), int::HRESP);
}

#[test]
fn disabling_transmission_rewinds_the_queue_and_loses_the_frame() {
    let mut bench = Bench::running();
    bench.queue(0, &frame([0xFF; 6], 60), 0);
    bench.start();
    bench.write(NCR, ncr::RXEN);
    assert_eq!(bench.read(TSR) & tsr::TXGO, 0);
    bench.pass(100_000);
    assert!(bench.sent().is_empty());
    assert_eq!(bench.read(TBQB), TX_RING);
    assert_eq!(bench.word(TX_RING + 4) & txd::USED, 0);
}

#[test]
fn runt_with_its_own_fcs_does_not_reach_the_far_end() {
    let mut bench = Bench::running();
    let mut bytes = frame([0xFF; 6], 40);
    bytes.extend(rx::fcs_of(&bytes));
    bench.queue(0, &bytes, txd::NO_CRC);
    bench.start();
    bench.pass(100_000);
    assert_eq!(bench.read(TSR) & tsr::TXCOMP, tsr::TXCOMP);
    assert!(bench.sent().is_empty());
}
