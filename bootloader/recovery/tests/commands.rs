//! Every command, as its tools use it.

mod common;

use boot_recovery::{BUFFER, Progress};
use ciborium::Value;
use common::{BOARD, Line, READ, Slot, WRITE, chunk, frames, get, image, map, number, packet, text, unframe};
use update_image::boot_record::{BootRecord, ImageId};
use update_image::layout::{ERASE_SIZE, SLOT};
use update_image::sim::Supply;
use update_image::{Refusal, VerifyError, Version};

const EMPTY: Value = Value::Map(Vec::new());

fn block() -> Box<[u8; ERASE_SIZE as usize]> {
    Box::new([0; ERASE_SIZE as usize])
}

fn slot() -> Slot {
    Slot::new(&Supply::steady())
}

#[test]
fn an_example_of_the_documents_is_understood() {
    // smp's documentation has this frame: the length and "Hello, world!" with its checksum. It is no request.
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    assert_eq!(line.send(b"\x06\x09AA9IZWxsbywgd29ybGQhet4=\n"), (Vec::new(), Progress::Waiting));
    assert_eq!(frames(b"Hello, world!", 127), b"\x06\x09AA9IZWxsbywgd29ybGQhet4=\n");
    assert_eq!(
        frames(b"Hello, world!", 8),
        b"\x06\x09AA9I\n\x04\x14ZWxs\n\x04\x14bywg\n\x04\x14d29y\n\x04\x14bGQh\n\x04\x14et4=\n"
    );
    // An echo, written down by hand: header, map(1), text(1) "d", text(2) "hi".
    let echo = [2, 0, 0, 6, 0, 0, 42, 0, 0xA1, 0x61, b'd', 0x62, b'h', b'i'];
    let (answer, progress) = line.send(&frames(&echo, 127));
    let answer = unframe(&answer).unwrap();
    assert_eq!((&answer[..8], progress), (&[3, 0, 0, 9, 0, 0, 42, 0][..], Progress::Answered));
    assert_eq!(answer[8..], [0xBF, 0x61, b'r', 0x79, 0, 2, b'h', b'i', 0xFF]);
}

#[test]
fn echo_parameters_and_reset() {
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    for operation in [READ, WRITE] {
        for said in ["", "hello", &"x".repeat(224)] {
            let answer = line.ask(operation, 0, 0, &map(&[("d", Value::Text(said.into()))]));
            assert_eq!(answer, map(&[("r", Value::Text(said.into()))]));
        }
    }
    let answer = line.ask(READ, 0, 0, &map(&[("d", Value::Text("x".repeat(225)))]));
    assert_eq!((number(&answer, "rc"), text(&answer, "rsn")), (Some(7), Some("text too long")));
    let answer = line.ask(READ, 0, 6, &EMPTY);
    assert_eq!(answer, map(&[("buf_size", Value::from(BUFFER as u64)), ("buf_count", Value::from(1))]));
    for body in [EMPTY, map(&[("force", Value::from(1))])] {
        let (answer, progress) = line.send(&frames(&packet(WRITE, 0, 9, 5, &body), 127));
        assert_eq!(progress, Progress::Reset);
        assert_eq!(unframe(&answer).unwrap()[8..], *b"\xBF\xFF");
    }
}

#[test]
fn what_is_not_here_is_refused_and_what_is_no_request_is_passed_over() {
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    // State write, erase, slot info, task statistics, reset by reading, other groups.
    for (operation, group, command) in [
        (WRITE, 1, 0),
        (WRITE, 1, 5),
        (READ, 1, 6),
        (READ, 0, 2),
        (READ, 0, 5),
        (WRITE, 8, 0),
        (READ, 256, 0),
        (READ, 64, 1),
    ] {
        let answer = line.ask(operation, group, command, &EMPTY);
        assert_eq!(number(&answer, "rc"), Some(8), "{operation} {group} {command}");
    }
    let echo = map(&[("d", Value::Text("hi".into()))]);
    // Version 2 in the header: the answer has it too.
    let (answer, _) = line.send(&frames(&packet(READ | 1 << 3, 0, 1, 0, &echo), 127));
    assert_eq!(unframe(&answer).unwrap()[0], 1 << 3 | 1);
    let (answer, _) = line.send(&frames(&packet(READ | 1 << 3, 9, 1, 0, &echo), 127));
    assert_eq!(unframe(&answer).unwrap()[..1], [1 << 3 | 1]);
    // Answers are not answered: two devices on one line would never stop.
    for operation in [1, 3, 4, 5, 6, 7] {
        assert!(line.send(&frames(&packet(operation, 0, 1, 0, &echo), 127)).0.is_empty());
    }
    // A header that says another length than the packet has.
    for change in [-1, 1] {
        let mut bytes = packet(READ, 0, 1, 0, &echo);
        bytes[3] = bytes[3].wrapping_add_signed(change);
        assert!(line.send(&frames(&bytes, 127)).0.is_empty());
    }
    for len in 0..8 {
        assert!(line.send(&frames(&packet(READ, 0, 1, 0, &echo)[..len], 127)).0.is_empty());
    }
}

#[test]
fn an_image_is_loaded_and_listed() {
    for (len, piece) in [(600, 1900), (20_000, 1900), (ERASE_SIZE as usize * 2, 1024), (5_000, 7)] {
        let mut version = Version::new(1, 2, 3);
        version.build = if piece == 1024 { 4_294_967_295 } else { 0 };
        let image = image(version, 3, 8 + len, BOARD);
        let mut block = block();
        let mut line = Line::new(&mut block, slot());
        assert_eq!(line.ask(READ, 1, 0, &EMPTY), map(&[("images", Value::Array(vec![]))]));
        let answer = line.upload(&image, piece);
        assert_eq!(answer, map(&[("rc", Value::from(0)), ("off", Value::from(image.len() as u64))]));
        assert!(line.recovery.is_complete());
        assert!(line.slot.bytes().starts_with(&image) && line.slot.nvm.violations().is_empty());
        let info = line.slot.verdict().unwrap();
        assert_eq!(line.slot.accepted, [info]);
        let record = *BootRecord::open(&mut line.slot.nvm).state();
        assert_eq!((record.confirmed, record.counter), (Some(ImageId::from(&info)), 3));
        let listed = map(&[
            ("slot", Value::from(0)),
            ("version", Value::Text(if version.build == 0 { "1.2.3" } else { "1.2.3.4294967295" }.into())),
            ("hash", Value::Bytes(info.hash.to_vec())),
            ("bootable", Value::Bool(true)),
            ("confirmed", Value::Bool(true)),
        ]);
        assert_eq!(line.ask(READ, 1, 0, &EMPTY), map(&[("images", Value::Array(vec![listed]))]));
    }
}

#[test]
fn the_longest_version_and_the_largest_image_fit() {
    let version = Version { major: 255, minor: 255, revision: 65_535, build: u32::MAX };
    let overhead = image(version, 0, 8, BOARD).len() - 8;
    let image = image(version, 0, SLOT.len as usize - overhead, BOARD);
    assert_eq!(image.len(), SLOT.len as usize);
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    line.upload(&image, 2000);
    assert!(line.recovery.is_complete() && line.slot.nvm.violations().is_empty());
    let answer = line.ask(READ, 1, 0, &EMPTY);
    let images = get(&answer, "images").unwrap().as_array().unwrap();
    assert_eq!(text(&images[0], "version"), Some("255.255.65535.4294967295"));
}

#[test]
fn an_upload_request_that_cannot_be_is_refused_before_anything_is_erased() {
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    let offset = || ("off", Value::from(0));
    let data = || ("data", Value::Bytes(vec![1; 64]));
    let len = |len: u32| ("len", Value::from(len));
    for (request, reason) in [
        (EMPTY, "malformed request"),
        (Value::Array(vec![]), "malformed request"),
        (map(&[len(100), data()]), "malformed request"),
        (map(&[len(100), offset()]), "malformed request"),
        (map(&[len(100), offset(), ("data", Value::from(1))]), "malformed request"),
        (map(&[("x", map(&[])), len(100), offset(), data()]), "malformed request"),
        (map(&[len(100), ("off", Value::from(1_u64 << 32)), data()]), "malformed request"),
        (map(&[offset(), data()]), "no length"),
        (map(&[len(0), offset(), data()]), "no length"),
        (map(&[len(SLOT.len + 1), offset(), data()]), "larger than the slot"),
        (map(&[len(u32::MAX), offset(), data()]), "larger than the slot"),
        (map(&[len(63), offset(), data()]), "longer than announced"),
        (map(&[len(100), offset(), data(), ("image", Value::from(1))]), "no such image"),
    ] {
        let answer = line.ask(WRITE, 1, 1, &request);
        assert_eq!((number(&answer, "rc"), text(&answer, "rsn")), (Some(3), Some(reason)), "{request:?}");
    }
    assert!(line.slot.nvm.erases().iter().all(|erases| *erases == 0));
    // What is known and not needed, and what is not known, does not disturb.
    let answer = line.ask(
        WRITE,
        1,
        1,
        &map(&[
            ("upgrade", Value::Bool(false)),
            ("x", Value::from(-5)),
            ("image", Value::from(0)),
            len(100),
            offset(),
            data(),
        ]),
    );
    assert_eq!((number(&answer, "rc"), number(&answer, "off")), (Some(0), Some(64)));
}

#[test]
fn a_piece_out_of_order_is_answered_with_the_offset_to_go_on_from() {
    let image = image(Version::new(1, 0, 0), 0, 20_000, BOARD);
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    let off = |answer: &Value| (number(answer, "rc"), number(answer, "off"));
    // As after a reset of the device in the middle: from the beginning, please.
    assert_eq!(off(&line.ask(WRITE, 1, 1, &chunk(5000, 0, &image[5000..6000]))), (Some(0), Some(0)));
    assert_eq!(off(&line.ask(WRITE, 1, 1, &chunk(0, image.len(), &image[..1000]))), (Some(0), Some(1000)));
    // The answer was lost: the same again, without a hash, begins anew.
    assert_eq!(off(&line.ask(WRITE, 1, 1, &chunk(0, image.len(), &image[..1000]))), (Some(0), Some(1000)));
    assert_eq!(off(&line.ask(WRITE, 1, 1, &chunk(1000, 0, &image[1000..2000]))), (Some(0), Some(2000)));
    for (from, to) in [(1000, 2000), (500, 600), (2001, 3000), (19_000, 20_000)] {
        assert_eq!(off(&line.ask(WRITE, 1, 1, &chunk(from, 0, &image[from..to]))), (Some(0), Some(2000)));
    }
    let mut offset = 2000;
    while offset < image.len() {
        let end = image.len().min(offset + 1500);
        line.ask(WRITE, 1, 1, &chunk(offset, 0, &image[offset..end]));
        // Each piece twice.
        let answer = line.ask(WRITE, 1, 1, &chunk(offset, 0, &image[offset..end]));
        assert_eq!(off(&answer), (Some(0), Some(end as u64)));
        offset = end;
    }
    assert!(line.recovery.is_complete() && line.slot.nvm.violations().is_empty());
    assert_eq!(line.slot.accepted.len(), 1);
}

#[test]
fn an_upload_with_the_same_hash_is_carried_on() {
    let image = image(Version::new(1, 0, 0), 0, 20_000, BOARD);
    let first = |sha: u8| {
        map(&[
            ("len", Value::from(image.len() as u64)),
            ("off", Value::from(0)),
            ("sha", Value::Bytes(vec![sha; 32])),
            ("data", Value::Bytes(image[..1000].to_vec())),
        ])
    };
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    line.ask(WRITE, 1, 1, &first(1));
    line.ask(WRITE, 1, 1, &chunk(1000, 0, &image[1000..3000]));
    assert_eq!(number(&line.ask(WRITE, 1, 1, &first(1)), "off"), Some(3000));
    // Another file: from the beginning.
    assert_eq!(number(&line.ask(WRITE, 1, 1, &first(2)), "off"), Some(1000));
    let mut offset = 1000;
    while offset < image.len() {
        let end = image.len().min(offset + 1800);
        line.ask(WRITE, 1, 1, &chunk(offset, 0, &image[offset..end]));
        offset = end;
    }
    assert!(line.recovery.is_complete() && line.slot.nvm.violations().is_empty());
    // It is there already.
    assert_eq!(number(&line.ask(WRITE, 1, 1, &first(2)), "off"), Some(image.len() as u64));
    assert!(line.recovery.is_complete());
    // Without a hash nobody knows.
    assert_eq!(number(&line.ask(WRITE, 1, 1, &chunk(0, image.len(), &image[..1000])), "off"), Some(1000));
    assert!(!line.recovery.is_complete());
}

#[test]
fn an_image_that_may_not_run_is_refused_with_its_cause_and_another_one_is_taken() {
    let good = image(Version::new(1, 0, 0), 5, 20_000, BOARD);
    let mut damaged = good.clone();
    damaged[10_000] ^= 1;
    let mut signature = good.clone();
    *signature.last_mut().unwrap() ^= 1;
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    line.upload(&good, 1900);
    for (bytes, cause) in [
        (image(Version::new(2, 0, 0), 5, 20_000, "other-board"), Refusal::WrongBoard),
        (damaged, Refusal::WrongHash),
        (signature, Refusal::WrongSignature),
        // The one before has raised the lowest counter.
        (image(Version::new(2, 0, 0), 4, 20_000, BOARD), Refusal::CounterTooLow),
        (vec![0x55; 20_000], Refusal::BadHeader),
        // Behind it lies what was there before.
        (good[..10_000].to_vec(), Refusal::BadTlv),
    ] {
        let answer = line.upload(&bytes, 1900);
        assert_eq!((number(&answer, "rc"), text(&answer, "rsn")), (Some(9), Some(cause.as_str())));
        // The last piece again, because the answer was lost.
        let last = bytes.len() - 100;
        let answer = line.ask(WRITE, 1, 1, &chunk(last, 0, &bytes[last..]));
        assert_eq!((number(&answer, "rc"), text(&answer, "rsn")), (Some(9), Some(cause.as_str())));
        assert!(!line.recovery.is_complete());
        assert_eq!(line.ask(READ, 1, 0, &EMPTY), map(&[("images", Value::Array(vec![]))]));
    }
    assert_eq!(line.slot.verdict(), Err(VerifyError::Refused(Refusal::BadTlv)));
    assert_eq!(line.slot.accepted.len(), 1);
    line.upload(&good, 1900);
    assert!(line.recovery.is_complete() && line.slot.nvm.violations().is_empty());
}

#[test]
fn flash_that_fails_is_told() {
    let image = image(Version::new(1, 0, 0), 0, 20_000, BOARD);
    let mut block = block();
    let mut line = Line::new(&mut block, slot());
    line.ask(WRITE, 1, 1, &chunk(0, image.len(), &image[..1000]));
    line.slot.nvm.set_dead(true);
    let mut answer = EMPTY;
    for offset in (1000..10_000).step_by(1000) {
        answer = line.ask(WRITE, 1, 1, &chunk(offset, 0, &image[offset..offset + 1000]));
    }
    assert_eq!((number(&answer, "rc"), text(&answer, "rsn")), (Some(1), Some("flash failed")));
    line.slot.nvm.set_dead(false);
    line.upload(&image, 1900);
    assert!(line.recovery.is_complete());
}
