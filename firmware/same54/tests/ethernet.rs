//! The Ethernet controller in local loopback: what it sends it receives.
#![no_std]
#![no_main]

use defmt_rtt as _;

#[embedded_test::tests]
mod tests {
    use core::task::{Context, Waker};

    use embassy_net_driver::{Driver, HardwareAddress, RxToken, TxToken};
    use embedded_hal::delay::DelayNs;
    use same54::delay::SleepDelay;
    use same54::gmac::Gmac;
    use same54::{Board, time};

    const OURS: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
    const SOMEONE_ELSE: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x56];
    const BROADCAST: [u8; 6] = [0xFF; 6];
    /// Local experimental EtherType 1 (IEEE 802).
    const ETHER_TYPE: [u8; 2] = [0x88, 0xB5];
    const SHORTEST: usize = 60;
    const LONGEST: usize = 1514;

    struct Rig {
        gmac: Gmac,
        delay: SleepDelay,
    }

    #[init]
    fn init() -> Rig {
        let mut board = Board::take().expect("first call");
        let (_, delay) = time::start(board.rtc, board.delay, &mut board.nvic);
        let (mut gmac, _link) = Gmac::new(board.ethernet, OURS, &mut board.nvic);
        gmac.set_local_loopback(true);
        Rig { gmac, delay }
    }

    fn fill(frame: &mut [u8], to: [u8; 6], seed: u8) {
        frame[..6].copy_from_slice(&to);
        frame[6..12].copy_from_slice(&OURS);
        frame[12..14].copy_from_slice(&ETHER_TYPE);
        for (index, byte) in frame[14..].iter_mut().enumerate() {
            *byte = (index as u8).wrapping_mul(7) ^ seed;
        }
    }

    fn send(rig: &mut Rig, to: [u8; 6], len: usize, seed: u8) {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            if let Some(token) = rig.gmac.transmit(&mut context) {
                token.consume(len, |frame| fill(frame, to, seed));
                return;
            }
            rig.delay.delay_us(100);
        }
        panic!("no transmit buffer became free");
    }

    /// The next frame within 10 ms.
    fn receive<R>(rig: &mut Rig, f: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..20 {
            if let Some((token, _)) = rig.gmac.receive(&mut context) {
                return Some(token.consume(|frame| f(frame)));
            }
            rig.delay.delay_us(500);
        }
        None
    }

    fn assert_received(rig: &mut Rig, to: [u8; 6], len: usize, seed: u8) {
        let mut expected = [0; LONGEST];
        fill(&mut expected[..len], to, seed);
        let equal = receive(rig, |frame| frame == &expected[..len]).expect("the frame came back");
        assert!(equal);
    }

    #[test]
    fn frame_comes_back_unchanged(mut rig: Rig) {
        send(&mut rig, OURS, 200, 1);
        assert_received(&mut rig, OURS, 200, 1);
    }

    #[test]
    fn shortest_and_longest_frames_pass(mut rig: Rig) {
        for len in [SHORTEST, SHORTEST + 1, LONGEST - 1, LONGEST] {
            send(&mut rig, OURS, len, len as u8);
            assert_received(&mut rig, OURS, len, len as u8);
        }
    }

    #[test]
    fn rings_wrap_in_order(mut rig: Rig) {
        for seed in 0..40 {
            send(&mut rig, OURS, 64 + usize::from(seed) * 5, seed);
            assert_received(&mut rig, OURS, 64 + usize::from(seed) * 5, seed);
        }
    }

    #[test]
    fn frames_queue_up_until_they_are_taken(mut rig: Rig) {
        for seed in 0..8 {
            send(&mut rig, OURS, 100, seed);
        }
        rig.delay.delay_ms(2);
        for seed in 0..8 {
            assert_received(&mut rig, OURS, 100, seed);
        }
        assert!(receive(&mut rig, |_| ()).is_none());
    }

    #[test]
    fn receiver_recovers_after_its_buffers_ran_out(mut rig: Rig) {
        for seed in 0..12 {
            send(&mut rig, OURS, 100, seed);
            rig.delay.delay_us(200);
        }
        let mut kept = 0;
        while receive(&mut rig, |_| ()).is_some() {
            kept += 1;
        }
        assert_eq!(kept, 8);
        send(&mut rig, OURS, 100, 99);
        assert_received(&mut rig, OURS, 100, 99);
    }

    #[test]
    fn only_own_and_broadcast_frames_pass_the_filter(mut rig: Rig) {
        send(&mut rig, SOMEONE_ELSE, 100, 1);
        send(&mut rig, BROADCAST, 100, 2);
        send(&mut rig, OURS, 100, 3);
        assert_received(&mut rig, BROADCAST, 100, 2);
        assert_received(&mut rig, OURS, 100, 3);
        assert!(receive(&mut rig, |_| ()).is_none());
    }

    #[test]
    fn address_is_the_one_that_was_given(rig: Rig) {
        assert!(rig.gmac.hardware_address() == HardwareAddress::Ethernet(OURS));
    }
}
