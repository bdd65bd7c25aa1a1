//! Writes first inputs into a folder (`corpus` if none is named): signed images, records, volumes, sessions at the serial
//! line.

use std::fs;
use std::path::Path;

use boot_fuzz::{boot_record, image, recovery, store};
use boot_store::BLOCK_SIZE;
use sim_base::Rng;
use update_image::layout::{IMAGE_HEADER_SIZE, VECTOR_TABLE};
use update_image::sign::{SecretKey, sign};
use update_image::sim::{SimNor, Supply};
use update_image::{HEADER_FIELDS, Version};

fn main() {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "corpus".into());
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), bytes)).unwrap();
    };

    let signed = signed_image(3);
    let fields = [&signed[..HEADER_FIELDS], &signed[IMAGE_HEADER_SIZE as usize..]].concat();
    put("image", "sealed", &[&[image::PAD | image::SEAL, 99], fields.as_slice()].concat());
    put("image", "as-it-is", &[&[image::PAD, 5], fields.as_slice()].concat());
    put("image", "not-padded", &[&[0, 5], signed.as_slice()].concat());

    let entry = |place: u8, sequence: u8, phase: u8| {
        let mut bytes = vec![boot_record::SOUND, place, sequence, 0, 0, 0, 1, 0, 0, 0, phase, 1, 1, 1];
        bytes.resize(2 + 120, sequence);
        bytes
    };
    let first = boot_record::FIRST_OPERATION;
    let write = boot_record::WRITE - first;
    let operations = [
        vec![boot_record::SETTLE],
        vec![write, 7, 3],
        vec![boot_record::CUT - first, 0, 100, 2, 4],
        vec![boot_record::SETTLE - first],
        vec![write, 2, 9],
        vec![boot_record::CONFIRM - first],
        vec![write, 16, 1],
        vec![boot_record::ACKNOWLEDGE - first],
    ]
    .concat();
    put("boot_record", "blank", &operations);
    put("boot_record", "two", &[entry(0, 1, 0), entry(1, 2, 0x82), operations.clone()].concat());
    put("boot_record", "full", &[entry(63, 1, 0x81), entry(127, 2, 0x83), operations.clone()].concat());
    let torn = [&[boot_record::UNREADABLE, 2], &[9; 128][..]].concat();
    put("boot_record", "torn", &[entry(0, 1, 0), entry(1, 2, 0x82), torn, operations].concat());

    let chunk = |offset: usize| {
        let end = signed.len().min(offset + 700);
        let mut map = vec![0xA3, 0x63];
        map.extend(b"off\x19");
        map.extend((offset as u16).to_be_bytes());
        map.extend(b"\x63len\x19");
        map.extend((signed.len() as u16).to_be_bytes());
        map.extend(b"\x64data\x59");
        map.extend(((end - offset) as u16).to_be_bytes());
        map.extend(&signed[offset..end]);
        request(2, 1, 1, &map)
    };
    let upload: Vec<u8> = (0..signed.len()).step_by(700).flat_map(chunk).collect();
    put("recovery", "upload", &[upload.as_slice(), &request(0, 1, 0, b"\xA0")].concat());
    put("recovery", "fails", &[&[recovery::FAIL, 1], upload.as_slice(), upload.as_slice()].concat());
    let others = [(0, 0, 0, &b"\xBF\x61d\x62hi\xFF"[..]), (2, 0, 5, b"\xA0"), (0, 0, 6, b"\xA0"), (0, 1, 0, b"\xA0")];
    let others: Vec<u8> = others.into_iter().flat_map(|(op, group, id, map)| request(op, group, id, map)).collect();
    put("recovery", "others", &others);
    let frame = b"\x06\x09AAsAAAABAAAAAaAawA==\n\x04\x14AAAA\n";
    put("recovery", "frames", &[&[recovery::RAW, frame.len() as u8], &frame[..]].concat());

    put("store", "empty", &pieces(&volume(0)));
    put("store", "application", &pieces(&volume(1)));
    put("store", "both", &pieces(&volume(2)));

    hub_seeds(&put);
}

fn hub_seeds(put: &dyn Fn(&str, &str, &[u8])) {
    use boot_fuzz::hub::{files, login, manifest, mqtt};

    let half = |len: usize| (len as u16).to_le_bytes();
    let texts =
        |texts: &[&[u8]]| -> Vec<u8> { texts.iter().flat_map(|text| [&half(text.len())[..], text].concat()).collect() };
    let kinds = login::GOOD | login::SIGN;
    put(
        "hub_login",
        "signed",
        &[&[kinds, 0], &texts(&[b"", b"", b"hil-hub.azure-devices.net%2fdevices%2fd0", b"1767230000"])[..]].concat(),
    );
    put("hub_login", "scoped", &[&[kinds | login::SCOPED, 2], &texts(&[b"", b"", b"", b"1767230000"])[..]].concat());
    put(
        "hub_login",
        "foreign",
        &[&[kinds | login::SCOPED | login::FOREIGN, 1], &texts(&[b"", b"", b"", b"1767230000"])[..]].concat(),
    );
    let name = b"hil-hub.azure-devices.net/d1/?api-version=2021-04-12&DeviceClientType=a%2fb&model-id=dtmi%3aa%3b1";
    let token = b"SharedAccessSignature sr=a%2fb&sig=AAAA&se=1&skn=policy";
    put("hub_login", "texts", &[&[0, 0], &texts(&[b"d1", name, token])[..]].concat());

    let session = [
        &[mqtt::CONNECT, 0, 0, 10, mqtt::SUBSCRIBE, 0, mqtt::REQUEST, 0, 0, 1, 0][..],
        &[mqtt::SERVICE, 0, 0, 1, 0, 2, 9, mqtt::SERVICE, 0, 1, 0, mqtt::SERVICE, 0, 2, 0],
        &[mqtt::REQUEST, 0, 1, 1, 2, 0, 1, 1, 1, 2, 7, mqtt::PACKET, 0, 0x40, 2, 0, 0, 1, mqtt::PACKET, 0, 0xC0, 0, 0],
    ]
    .concat();
    put("hub_mqtt", "session", &[session.as_slice(), &[mqtt::TIME, 0, 0x40, 0, mqtt::TIME, 0, 0xFF, 0]].concat());
    let evicted =
        [&[mqtt::CONNECT, 1, 0, 0, mqtt::BREAK, 0, mqtt::CONNECT, 2, 0x80, 1][..], session.as_slice()].concat();
    put("hub_mqtt", "evicted", &[session.as_slice(), &[mqtt::HOLD, 0], evicted.as_slice()].concat());
    put("hub_mqtt", "bytes", &[&[mqtt::RAW, 0, 14, 0][..], b"\x10\x0C\0\x04MQTT\x04\x02\0\x0A\0\0"].concat());

    put(
        "hub_twin",
        "patches",
        &[0, 2, 0, 9, 1, 1, 2, 5, 2, 6, 0, 1, 0, 1, 0, 0, 1, 1, 3, 5, 2, b'h', b'i', 2, 1, 1, 1, 1],
    );
    put(
        "hub_twin",
        "limits",
        &[0, 1, 0, 8, 10, 1, 1, 0, 1, 0, 6, 0, 0x10, 1, 1, 0, 6, 1, 0x10, 2, 1, 0xFE, 0, 4, 1, 1],
    );

    put("hub_manifest", "right", &[manifest::CHANGES]);
    put(
        "hub_manifest",
        "changed",
        &[manifest::CHANGES, manifest::REPLACE, 1, 5, 1, b'x', manifest::ADD, 4, 0, 1, 1, manifest::DOUBLE, 9],
    );
    put(
        "hub_manifest",
        "text",
        &[&[manifest::TEXT], &br#"{"updateId":{"provider":"p","name":"n","version":"1.0"},"files":null}"#[..]].concat(),
    );

    let ranges: [&[u8]; 4] = [b"bytes=0-0", b"bytes=-5", b"bytes=5-", b"bytes=0-1,4-"];
    let ranges: Vec<u8> = ranges
        .iter()
        .enumerate()
        .flat_map(|(which, range)| {
            [
                &[files::RANGE, which as u8 | 0x80, range.len() as u8],
                *range,
                &[files::RANGE, 2, range.len() as u8],
                *range,
            ]
            .concat()
        })
        .collect();
    put("hub_files", "ranges", &ranges);
    put(
        "hub_files",
        "blocks",
        &[files::BYTES, 2, 0, 0, 0xFF, 0x0F, files::BYTES, 2, 0, 0x10, 0xFF, 0x1F, files::BYTES, 1, 1, 0, 1, 0],
    );
    put("hub_files", "signed", &[files::SIGNED, 100, 0, 0, files::SIGNED, 0xF0, 0, 0, files::SIGNED, 100, 30, b'0']);
    let raw = b"GET http://files.test/f/1 HTTP/1.0\r\nIf-None-Match: W/\"f1\"\r\nConnection: keep-alive\r\n\r\n";
    put("hub_files", "raw", &[&[files::RAW], &half(raw.len())[..], raw].concat());
}

fn request(operation: u8, group: u8, command: u8, map: &[u8]) -> Vec<u8> {
    let mut piece = vec![recovery::PACKET];
    piece.extend((map.len() as u16).to_le_bytes());
    piece.extend([operation, group, command]);
    piece.extend(map);
    piece
}

fn signed_image(counter: u32) -> Vec<u8> {
    let mut payload = vec![0; 64];
    payload[..4].copy_from_slice(&(image::RAM.start + 0x1000).to_le_bytes());
    payload[4..8].copy_from_slice(&(VECTOR_TABLE + 0x11).to_le_bytes());
    sign(&payload, &SecretKey::from_seed(image::KEY), Version::new(1, 2, 3), counter, image::BOARD).unwrap()
}

/// A volume with more or less of a history.
fn volume(history: u32) -> Vec<u8> {
    let mut nor = SimNor::erased(store::VOLUME.end() as usize, &Supply::steady());
    assert!(update_store::Store::format(&mut nor, store::VOLUME).is_ok());
    let random = |len: usize| {
        let mut bytes = vec![0; len];
        Rng::new(len as u64).fill(&mut bytes);
        bytes
    };
    if history >= 1 {
        let Ok(files) = update_store::Store::mount(&mut nor, store::VOLUME) else { panic!("not mounted") };
        files.write_all("agent.state", &random(50)).unwrap();
        files.write_all("image.bin", &random(9_000)).unwrap();
    }
    if history >= 2 {
        let Ok(mut files) = boot_store::Store::mount(&mut nor, store::VOLUME) else { panic!("not mounted") };
        let mut file = files.create("previous.bin").unwrap();
        file.write(&random(4_500)).unwrap();
        file.finish().unwrap();
    }
    nor.bytes()[store::VOLUME.start as usize..].to_vec()
}

/// The input that makes this volume; of a file's blocks only the pointers, the rest says nothing.
fn pieces(volume: &[u8]) -> Vec<u8> {
    let mut input = Vec::new();
    for (number, block) in volume.chunks(BLOCK_SIZE as usize).enumerate() {
        let (kind, bytes) = match store::unlog(block) {
            Some(log) => (store::LOG, log),
            None => (store::RAW, block[..16].to_vec()),
        };
        if bytes.iter().any(|byte| *byte != 0xFF) {
            input.extend([kind, number as u8]);
            input.extend((bytes.len() as u16).to_le_bytes());
            input.extend(bytes);
        }
    }
    input
}
