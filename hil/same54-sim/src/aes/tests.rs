//! Known answers: NIST SP 800-38A (ECB, CBC, OFB, CFB, CTR) and the GCM specification's test cases 3 and 4.

use super::*;
use crate::rig::{Bench, Rig};

const KEY: &str = "2b7e151628aed2a6abf7158809cf4f3c";
const KEY_192: &str = "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b";
const KEY_256: &str = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4";
const IV: &str = "000102030405060708090a0b0c0d0e0f";
const COUNTER: &str = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
const PLAIN: [&str; 2] = ["6bc1bee22e409f96e93d7e117393172a", "ae2d8a571e03ac9c9eb76fac45af8e51"];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).expect("hex")).collect()
}

struct Machine {
    aes: Aes,
    rig: Rig,
    now: u64,
}

impl Machine {
    fn new(ctrla: u32, key: &str) -> Self {
        let mut machine = Self { aes: Aes::new(), rig: Rig::new(), now: 0 };
        machine.set(0x00, ctrla);
        machine.put(0x0C, &hex(key));
        machine.set(0x00, ctrla | ENABLE);
        machine
    }

    fn set(&mut self, offset: u32, value: u32) {
        self.aes.write(offset, Write::full(value), &mut self.rig.cx(self.now));
    }

    fn get(&mut self, offset: u32) -> u32 {
        self.aes.read(offset, &mut self.rig.cx(self.now))
    }

    /// Bytes to word registers that follow each other.
    fn put(&mut self, offset: u32, bytes: &[u8]) {
        for (n, word) in (0..).zip(bytes.chunks(4)) {
            let mut whole = [0; 4];
            whole[..word.len()].copy_from_slice(word);
            self.set(offset + 4 * n, u32::from_le_bytes(whole));
        }
    }

    /// A block through INDATA, started by hand.
    fn block(&mut self, bytes: &[u8]) -> Vec<u8> {
        for word in bytes.chunks(4) {
            let mut whole = [0; 4];
            whole[..word.len()].copy_from_slice(word);
            self.set(0x38, u32::from_le_bytes(whole));
        }
        let ctrlb = self.get(0x04);
        self.set(0x04, ctrlb | START);
        self.now += 10_000;
        assert_ne!(self.get(0x07), 0);
        let words = bytes.len().div_ceil(4);
        let mut output: Vec<u8> = (0..words).flat_map(|_| self.get(0x38).to_le_bytes()).collect();
        output.truncate(bytes.len());
        output
    }
}

#[test]
fn the_modes_give_the_known_answers_in_both_directions() {
    let cases = [
        (0, 0, KEY, "", ["3ad77bb40d7a3660a89ecaf32466ef97", "f5d3d58503b9699de785895a96fdbaaf"]),
        (0, 1, KEY_192, "", ["bd334f1d6e45f25ff712a214571fa5cc", "974104846d0ad3ad7734ecb3ecee4eef"]),
        (0, 2, KEY_256, "", ["f3eed1bdb5d2a03c064b5a7e3db181f8", "591ccb10d410ed26dc5ba74a31362870"]),
        (1, 0, KEY, IV, ["7649abac8119b246cee98e9b12e9197d", "5086cb9b507219ee95db113a917678b2"]),
        (2, 0, KEY, IV, ["3b3fd92eb72dad20333449f8e83cfb4a", "7789508d16918f03f53c52dac54ed825"]),
        (3, 0, KEY, IV, ["3b3fd92eb72dad20333449f8e83cfb4a", "c8a64537a0b3a93fcde3cdad9f1ce58b"]),
        (4, 0, KEY, COUNTER, ["874d6191b620e3261bef6864990db6ce", "9806f66b7970fdff8617187bb9fffdff"]),
    ];
    for (mode, size, key, iv, cipher) in cases {
        for encrypts in [true, false] {
            let ctrla = mode << 2 | size << 8 | if encrypts { ENCRYPT } else { 0 };
            let mut machine = Machine::new(ctrla, key);
            machine.put(0x3C, &hex(iv));
            machine.set(0x04, NEWMSG);
            let (from, to) = if encrypts { (PLAIN, cipher) } else { (cipher, PLAIN) };
            for (from, to) in from.into_iter().zip(to) {
                assert_eq!(machine.block(&hex(from)), hex(to), "mode {mode} size {size} encrypts {encrypts}");
            }
        }
    }
}

#[test]
fn cfb_goes_byte_by_byte() {
    // SP 800-38A, F.3.7: CFB8-AES128.
    let mut machine = Machine::new(3 << 2 | 4 << 5 | ENCRYPT, KEY);
    machine.put(0x3C, &hex(IV));
    machine.set(0x04, NEWMSG);
    let output: Vec<u8> = hex("6bc1bee22e40").into_iter().flat_map(|byte| machine.block(&[byte])).collect();
    assert_eq!(output, hex("3b79424c9c0d"));
}

#[test]
fn gcm_makes_the_known_cipher_text_and_tag() {
    // The GCM specification, test case 4: associated data and a short last block.
    let key = "feffe9928665731c6d6a8f9467308308";
    let mut ecb = Machine::new(ENCRYPT, key);
    let hashkey = ecb.block(&[0; 16]);
    let counter = [&hex("cafebabefacedbaddecaf888")[..], &[0, 0, 0, 1]].concat();
    let mask = ecb.block(&counter);

    let mut machine = Machine::new(6 << 2 | ENCRYPT, key);
    machine.put(0x5C, &hashkey);
    machine.put(0x6C, &[0; 16]);
    let multiply = |machine: &mut Machine, bytes: &[u8]| {
        machine.set(0x04, GFMUL);
        let mut block = [0; 16];
        block[..bytes.len()].copy_from_slice(bytes);
        machine.block(&block);
        assert_eq!(machine.get(0x07), GFMCMP);
        machine.set(0x07, GFMCMP);
    };
    let additional = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    additional.chunks(16).for_each(|chunk| multiply(&mut machine, chunk));

    let mut next = counter.clone();
    next[15] = 2;
    machine.put(0x3C, &next);
    machine.set(0x04, NEWMSG);
    machine.set(0x80, 60);
    let plain = hex(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ));
    let mut cipher = Vec::new();
    for (n, chunk) in plain.chunks(16).enumerate() {
        if n == 3 {
            machine.set(0x04, EOM);
        }
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        cipher.extend_from_slice(&machine.block(&block)[..chunk.len()]);
    }
    assert_eq!(
        cipher,
        hex(concat!(
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e",
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
        ))
    );
    let mut lengths = [0; 16];
    lengths[7] = 160;
    lengths[14..].copy_from_slice(&480_u16.to_be_bytes());
    multiply(&mut machine, &lengths);
    let hash: Vec<u8> = (0..4).flat_map(|n| machine.get(0x6C + 4 * n).to_le_bytes()).collect();
    let tag: Vec<u8> = hash.iter().zip(&mask).map(|(hash, mask)| hash ^ mask).collect();
    assert_eq!(tag, hex("5bc94fbc3221a5db94fae95ae7121a47"));
}

#[test]
fn a_block_takes_its_clocks_and_interrupts() {
    let mut bench = Bench::new();
    let aes = 0x4200_2400;
    bench.set(aes, ENCRYPT | AUTO);
    bench.set(aes, ENCRYPT | AUTO | ENABLE);
    bench.set_byte(aes + 6, ENCCMP);
    for _ in 0..4 {
        bench.set(aes + 0x38, 0);
    }
    // 57 clocks of 48 MHz.
    bench.run(1_180);
    assert!(!bench.irq(130));
    bench.run(10);
    assert!(bench.irq(130));
    assert_eq!(bench.word(aes + 0x38).to_le_bytes(), [0x66, 0xE9, 0x4B, 0xD4]);
    assert!(!bench.irq(130));
}

#[test]
fn dma_feeds_and_drains_blocks() {
    // 81 writes, 82 reads; two blocks of SP 800-38A's ECB example.
    let mut bench = Bench::new();
    let (aes, dmac) = (0x4200_2400, 0x4100_A000);
    let put = |bench: &mut Bench, at: u32, text: &str| {
        for (n, byte) in (0..).zip(hex(text)) {
            bench.set_byte(at + n, byte.into());
        }
    };
    put(&mut bench, 0x2000_0100, PLAIN[0]);
    put(&mut bench, 0x2000_0110, PLAIN[1]);
    for (n, word) in (0..).zip(hex(KEY).chunks(4)) {
        bench.set(aes + 0x0C + 4 * n, u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    let inputs = [8 << 16 | 1 << 10 | 2 << 8 | 1, 0x2000_0120, aes + 0x38, 0];
    let outputs = [8 << 16 | 1 << 11 | 2 << 8 | 1, aes + 0x38, 0x2000_0220, 0];
    for (n, word) in (0..).zip(inputs.into_iter().chain(outputs)) {
        bench.set(0x2000_1000 + 4 * n, word);
    }
    bench.set(dmac + 0x34, 0x2000_1000);
    bench.set(dmac + 0x38, 0x2000_2000);
    bench.set_half(dmac, 0xF02);
    bench.set(dmac + 0x40, 2 << 20 | 81 << 8 | 2);
    bench.set(dmac + 0x50, 2 << 20 | 82 << 8 | 2);
    bench.set(aes, ENCRYPT | AUTO);
    bench.set(aes, ENCRYPT | AUTO | ENABLE);
    bench.run(20_000);
    let output: Vec<u8> = (0..32).map(|n| bench.byte(0x2000_0200 + n) as u8).collect();
    assert_eq!(output, hex("3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"));
    assert_eq!(bench.byte(dmac + 0x5E), 2, "TCMPL");
}
