//! Random programs, rings and frames: nothing panics, and time goes on.

use sim_base::Rng;

use super::*;

#[test]
fn no_program_can_break_the_model() {
    for seed in 0..300 {
        eprintln!("seed {seed}");
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
                    let offset = rng.below(0xA0) as u32 * 4;
                    let value = rng.next_u32() & rng.next_u32();
                    bench.write(offset, value);
                }
                2 => {
                    let mut bytes = vec![0; rng.below(1_600) as usize];
                    rng.fill(&mut bytes);
                    if bytes.len() > 40 {
                        let heads = [
                            [8, 0, 0x45, 0],
                            [0x81, 0, 0, 0],
                            [0x86, 0xDD, 0x60, 0],
                            [0x88, 8, 0, 1],
                            [0, 50, 0xAA, 0xAA],
                        ];
                        bytes[12..16].copy_from_slice(&heads[rng.below(5) as usize]);
                        let mine = [MAC, [0xFF; 6], [1, 0x80, 0xC2, 0, 0, 1]];
                        bytes[..6].copy_from_slice(&mine[rng.below(3) as usize]);
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
            assert!(sent.iter().all(|(_, frame)| (60..=16_384).contains(&frame.len())), "seed {seed}");
        }
    }
}
