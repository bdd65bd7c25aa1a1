//! Random numbers, identity, watchdog, interrupt executor.
#![no_std]
#![no_main]

use defmt_rtt as _;

#[embedded_test::tests]
mod tests {
    use embedded_hal::delay::DelayNs;
    use same54::{Board, identity};

    #[init]
    fn init() -> Board {
        Board::take().expect("first call")
    }

    #[test]
    fn random_words_differ(mut board: Board) {
        let words: [u32; 32] = core::array::from_fn(|_| board.trng.next_u32());
        for (index, word) in words.iter().enumerate() {
            assert!(!words[..index].contains(word), "word {} repeats", index);
        }
    }

    #[test]
    fn random_bits_are_balanced(mut board: Board) {
        let mut bytes = [0; 1024];
        board.trng.fill(&mut bytes);
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        // 8192 fair bits: mean 4096, standard deviation 45; six deviations.
        assert!(ones.abs_diff(4096) < 272, "{} ones of 8192", ones);
    }

    #[test]
    fn random_fill_reaches_every_byte_of_an_odd_length(mut board: Board) {
        let mut seen = [0_u8; 7];
        for _ in 0..8 {
            let mut bytes = [0; 7];
            board.trng.fill(&mut bytes);
            for (seen, byte) in seen.iter_mut().zip(bytes) {
                *seen |= byte;
            }
        }
        assert!(seen.iter().all(|&byte| byte != 0));
    }

    #[test]
    fn backtrace_leads_from_callee_to_callers() {
        #[inline(never)]
        fn inner(sites: &mut [u32; 8]) -> usize {
            core::hint::black_box(same54::backtrace(sites).len())
        }
        #[inline(never)]
        fn outer(sites: &mut [u32; 8]) -> usize {
            core::hint::black_box(inner(sites))
        }
        let mut sites = [0; 8];
        assert!(outer(&mut sites) >= 3);
        let functions: [fn(&mut [u32; 8]) -> usize; 2] = [inner, outer];
        for (site, function) in sites.iter().zip(functions) {
            let start = function as usize as u32 & !1;
            assert!((start..start + 128).contains(site), "{:#x} is not in the function at {:#x}", site, start);
        }
        assert!(sites[..3].iter().all(|&site| site < 0x10_0000));
    }

    #[test]
    fn mac_address_is_local_unicast_and_stable() {
        let mac = identity::local_mac();
        assert_eq!(mac[0] & 0b11, 0b10);
        assert_eq!(mac, identity::local_mac());
        assert_ne!(identity::serial(), [0xFF; 16]);
    }

    #[test]
    fn fed_watchdog_does_not_bite(mut board: Board) {
        assert!(!board.watchdog.is_running());
        board.watchdog.start_16_s();
        assert!(board.watchdog.is_running());
        for _ in 0..2 {
            board.delay.delay_ms(12_000);
            board.watchdog.feed();
        }
        board.watchdog.stop();
        assert!(!board.watchdog.is_running());
        board.delay.delay_ms(18_000);
    }

    #[test]
    fn board_is_taken_once() {
        assert!(Board::take().is_none());
    }

    #[test]
    fn brown_out_detector_guards_flash(board: Board) {
        assert!(board.brown_out_guarded);
    }
}
