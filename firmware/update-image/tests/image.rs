//! Images: made here, made by imgtool, damaged.

use sim_base::Rng;
use update_image::layout::{IMAGE_HEADER_SIZE, SLOT};
use update_image::sign::{SecretKey, SignError, sign};
use update_image::{
    ImageInfo, OutOfBounds, Policy, PublicKey, ReadAt, Refusal, Region, SoftwareDigest, VerifyError, Version, verify,
};

const PAYLOAD: &[u8] = include_bytes!("data/payload.bin");
const IMGTOOL: &[u8] = include_bytes!("data/imgtool.bin");
const KEY: &str = include_str!("../../../fixtures/keys/image/test-only.pem");
const PUBLIC_KEY: &str = include_str!("../../../fixtures/keys/image/test-only.pub.pem");
const BOARD: &str = "same54-xpro";

fn version() -> Version {
    Version::parse("1.2.3+4").unwrap()
}

fn check(mut image: &[u8], keys: &[PublicKey]) -> Result<ImageInfo, VerifyError<OutOfBounds>> {
    let policy =
        Policy { slot: SLOT, ram: Region { start: 0x2000_0000, len: 0x4_0000 }, board: BOARD, keys, min_counter: 0 };
    let len = image.len() as u32;
    verify(&mut image, len, &policy, &mut SoftwareDigest::default(), &mut [0; 256])
}

fn check_trusted(image: &[u8]) -> Result<ImageInfo, VerifyError<OutOfBounds>> {
    check(image, &[PublicKey::from_pem(PUBLIC_KEY).unwrap()])
}

#[test]
fn an_image_equals_imgtools_byte_for_byte() {
    let key = SecretKey::from_pem(KEY).unwrap();
    let image = sign(PAYLOAD, &key, version(), 7, BOARD).unwrap();
    assert!(image == IMGTOOL);
}

#[test]
fn an_image_of_imgtool_is_accepted() {
    let info = check_trusted(IMGTOOL).unwrap();
    assert_eq!(info.version, version());
    assert_eq!(info.counter, 7);
    assert_eq!(info.total_len as usize, IMGTOOL.len());
}

#[test]
fn bytes_behind_an_image_are_ignored() {
    let padded = [IMGTOOL, &[0xFF; 1000]].concat();
    assert_eq!(check_trusted(&padded), check_trusted(IMGTOOL));
}

#[test]
fn a_key_survives_its_pem_files() {
    let key = SecretKey::from_pem(KEY).unwrap();
    assert_eq!(key.to_pem(), KEY);
    assert_eq!(key.public().to_pem(), PUBLIC_KEY);
    assert_eq!(PublicKey::from_pem(PUBLIC_KEY).unwrap(), key.public());
    let with_text = format!("# a comment\n{KEY}trailing");
    assert_eq!(SecretKey::from_pem(&with_text).unwrap().public(), key.public());
}

#[test]
fn a_file_that_is_no_ed25519_key_is_named() {
    assert_eq!(SecretKey::from_pem("").err(), Some(SignError::NoPemBlock("PRIVATE KEY")));
    assert_eq!(SecretKey::from_pem(PUBLIC_KEY).err(), Some(SignError::NoPemBlock("PRIVATE KEY")));
    let cut = KEY.replace("MC4C", "MC4D");
    assert_eq!(SecretKey::from_pem(&cut).err(), Some(SignError::NotEd25519("PRIVATE KEY")));
    let rubbish = "-----BEGIN PUBLIC KEY-----\n!!\n-----END PUBLIC KEY-----";
    assert_eq!(PublicKey::from_pem(rubbish).err(), Some(SignError::NotEd25519("PUBLIC KEY")));
}

#[test]
fn what_does_not_fit_is_not_signed() {
    let key = SecretKey::from_seed([1; 32]);
    let too_large = vec![0; SLOT.len as usize];
    assert!(matches!(sign(&too_large, &key, version(), 0, BOARD), Err(SignError::TooLarge { .. })));
    for board in ["", "a name of more than thirty-two bytes"] {
        assert_eq!(sign(PAYLOAD, &key, version(), 0, board), Err(SignError::BoardName(board.into())));
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    // Bits of the KEYHASH TLV's type aside (it is then "missing"), every bit of an image is covered by something.
    let mut image = IMGTOOL.to_vec();
    for bit in 0..image.len() * 8 {
        // The payload's inside is all alike; take every 13th bit there.
        let byte = bit / 8;
        let inside = IMAGE_HEADER_SIZE as usize + 8..IMAGE_HEADER_SIZE as usize + PAYLOAD.len();
        if inside.contains(&byte) && bit % 13 != 0 {
            continue;
        }
        image[byte] ^= 1 << (bit % 8);
        let result = check_trusted(&image);
        image[byte] ^= 1 << (bit % 8);
        assert!(matches!(result, Err(VerifyError::Refused(_))), "bit {bit}: {result:?}");
    }
}

#[test]
fn every_truncation_is_noticed() {
    for len in 0..IMGTOOL.len() {
        let result = check_trusted(&IMGTOOL[..len]);
        assert_eq!(result, Err(VerifyError::Refused(Refusal::Truncated)), "{len} bytes");
    }
}

#[test]
fn arbitrary_bytes_behind_a_good_header_never_panic_and_never_pass() {
    let seed = 11;
    let mut rng = Rng::new(seed);
    for round in 0..3_000 {
        let mut image = IMGTOOL.to_vec();
        // Sizes and TLV areas are where a parser can be led astray.
        for _ in 0..=rng.below(3) {
            let at = match rng.below(3) {
                0 => 8 + rng.below(12) as usize,
                1 => image.len() - 1 - rng.below(172) as usize,
                _ => rng.below(image.len() as u64) as usize,
            };
            image[at] = rng.next_u32() as u8;
        }
        if image != IMGTOOL {
            let result = check_trusted(&image);
            assert!(matches!(result, Err(VerifyError::Refused(_))), "round {round} of seed {seed}: {result:?}");
        }
    }
}

#[test]
fn a_source_that_fails_is_no_refusal() {
    struct Failing<'a>(&'a [u8], u32);
    impl ReadAt for Failing<'_> {
        type Error = OutOfBounds;
        fn read_at(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), OutOfBounds> {
            if offset + buf.len() as u32 > self.1 { Err(OutOfBounds) } else { self.0.read_at(offset, buf) }
        }
    }
    let keys = [PublicKey::from_pem(PUBLIC_KEY).unwrap()];
    let policy = Policy {
        slot: SLOT,
        ram: Region { start: 0x2000_0000, len: 0x4_0000 },
        board: BOARD,
        keys: &keys,
        min_counter: 0,
    };
    for limit in [0, 40, 2_000] {
        let result = verify(
            &mut Failing(IMGTOOL, limit),
            IMGTOOL.len() as u32,
            &policy,
            &mut SoftwareDigest::default(),
            &mut [0; 256],
        );
        assert_eq!(result, Err(VerifyError::Read(OutOfBounds)), "limit {limit}");
    }
}
