//! Behaviour of the provisioning record.

use proptest::prelude::*;
use provisioning::{BuildError, Builder, Error, HEADER_LEN, MAX_LEN, Record, RootKey};

fn sample(buffer: &mut [u8]) -> &[u8] {
    let n = [0xA5; 384];
    let other = [0x81; 384];
    Builder::new(buffer)
        .dps_host("global.azure-devices-provisioning.net")
        .id_scope("0ne00000000")
        .registration_id("same54-1")
        .symmetric_key(&[7; 32])
        .hub("hil-hub.azure-devices.net", "dev1")
        .ca_certificate(b"first DER")
        .ca_certificate(b"second DER")
        .root_key(&RootKey { kid: "ADU.HIL.R", n: &n, e: 65537 })
        .root_key(&RootKey { kid: "ADU.HIL.S", n: &other, e: 3 })
        .ntp_host("time.example")
        .mac([2, 0, 0, 1, 2, 3])
        .gateway_host("cache.local:8080")
        .manufacturer("ACME")
        .model("E54")
        .finish()
        .unwrap()
}

#[test]
fn every_field_is_read_back() {
    let mut buffer = [0; 4096];
    let record = Record::parse(sample(&mut buffer)).unwrap();
    assert_eq!(record.dps_host(), Some("global.azure-devices-provisioning.net"));
    assert_eq!(record.id_scope(), Some("0ne00000000"));
    assert_eq!(record.registration_id(), Some("same54-1"));
    assert_eq!(record.symmetric_key(), Some(&[7; 32][..]));
    assert!(!record.is_group_key());
    assert_eq!(record.hub_host(), Some("hil-hub.azure-devices.net"));
    assert_eq!(record.device_id(), Some("dev1"));
    assert_eq!(record.ca_certificates().collect::<Vec<_>>(), [&b"first DER"[..], b"second DER"]);
    let keys: Vec<_> = record.root_keys().map(|key| (key.kid, key.n.len(), key.e)).collect();
    assert_eq!(keys, [("ADU.HIL.R", 384, 65537), ("ADU.HIL.S", 384, 3)]);
    assert_eq!(record.ntp_host(), Some("time.example"));
    assert_eq!(record.mac(), Some([2, 0, 0, 1, 2, 3]));
    assert_eq!(record.gateway_host(), Some("cache.local:8080"));
    assert_eq!(record.manufacturer(), Some("ACME"));
    assert_eq!(record.model(), Some("E54"));
}

#[test]
fn absent_fields_are_none() {
    let mut buffer = [0; 64];
    let bytes = Builder::new(&mut buffer).group_key(&[1; 32]).finish().unwrap();
    let record = Record::parse(bytes).unwrap();
    assert!(record.is_group_key());
    assert_eq!(record.dps_host(), None);
    assert_eq!(record.mac(), None);
    assert_eq!(record.ca_certificates().count(), 0);
    assert_eq!(record.root_keys().count(), 0);
}

#[test]
fn erased_flash_holds_no_record() {
    assert_eq!(Record::parse(&[0xFF; 4096]).unwrap_err(), Error::Missing);
    assert_eq!(Record::parse(&[]).unwrap_err(), Error::Missing);
}

#[test]
fn bytes_behind_the_record_do_not_matter() {
    let mut buffer = [0xFF; MAX_LEN];
    let len = sample(&mut buffer).len();
    assert!(Record::parse(&buffer[..len]).is_ok());
    assert!(Record::parse(&buffer).is_ok());
}

#[test]
fn every_single_bit_error_is_found() {
    let mut buffer = [0; 4096];
    let good = sample(&mut buffer).to_vec();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(Record::parse(&bad).is_err(), "bit {bit}");
    }
}

#[test]
fn every_truncation_is_found() {
    let mut buffer = [0; 4096];
    let good = sample(&mut buffer);
    for len in 0..good.len() {
        assert!(Record::parse(&good[..len]).is_err(), "length {len}");
    }
}

/// Appends a raw field and seals the record again, as a factory with another field list would.
fn with_raw_field(tag: u16, value: &[u8]) -> Vec<u8> {
    let mut buffer = [0; 4096];
    let mut bytes = sample(&mut buffer).to_vec();
    bytes.extend(tag.to_le_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    seal(&mut bytes);
    bytes
}

fn seal(bytes: &mut [u8]) {
    let len = (bytes.len() as u32).to_le_bytes();
    bytes[8..12].copy_from_slice(&len);
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    let mut digest = crc.digest();
    digest.update(&bytes[..12]);
    digest.update(&bytes[HEADER_LEN..]);
    let sum = digest.finalize().to_le_bytes();
    bytes[12..16].copy_from_slice(&sum);
}

#[test]
fn unknown_tags_are_skipped() {
    let bytes = with_raw_field(999, b"from the future");
    assert_eq!(Record::parse(&bytes).unwrap().model(), Some("E54"));
}

#[test]
fn malformed_known_fields_are_refused() {
    for (tag, value) in [
        (1, &[0xFF, 0xFE][..]), // host name that is not UTF-8
        (4, &[1; 15]),          // key too short
        (9, &[1, 0, 1, 0, 200, b'k']),
        (11, &[1, 2, 3]),
        (11, &[1, 2, 3, 4, 5, 6]), // multicast address
        (14, &[]),
    ] {
        let bytes = with_raw_field(tag, value);
        assert_eq!(Record::parse(&bytes).unwrap_err(), Error::Field(tag));
    }
}

#[test]
fn a_field_that_overruns_the_record_is_refused() {
    let mut bytes = with_raw_field(999, b"abc");
    let at = bytes.len() - 5;
    bytes[at] = 200;
    seal(&mut bytes);
    assert_eq!(Record::parse(&bytes).unwrap_err(), Error::Length);
}

#[test]
fn builder_refuses_what_does_not_fit() {
    assert_eq!(Builder::new(&mut [0; 20]).model("long name").finish(), Err(BuildError::TooLong));
    assert_eq!(Builder::new(&mut [0; 4]).finish(), Err(BuildError::TooLong));
    let mut buffer = [0; 2 * MAX_LEN];
    assert_eq!(Builder::new(&mut buffer).ca_certificate(&[1; MAX_LEN - 19]).finish(), Err(BuildError::TooLong));
    assert_eq!(Builder::new(&mut buffer).symmetric_key(&[1; 3]).finish(), Err(BuildError::Field(4)));
    let weak = RootKey { kid: "k", n: &[1; 100], e: 65537 };
    assert_eq!(Builder::new(&mut buffer).root_key(&weak).finish(), Err(BuildError::Field(9)));
}

#[test]
fn debug_output_holds_no_key() {
    let mut buffer = [0; 4096];
    let text = format!("{:?}", Record::parse(sample(&mut buffer)).unwrap());
    assert!(!text.contains("7, 7"), "{text}");
}

proptest! {
    #[test]
    fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), sealed: bool) {
        if sealed && bytes.len() >= HEADER_LEN {
            bytes[..8].copy_from_slice(b"ADUP\x01\0\0\0");
            seal(&mut bytes);
        }
        if let Ok(record) = Record::parse(&bytes) {
            let _ = (record.dps_host(), record.mac(), record.root_keys().count());
        }
    }
}
