//! Lines that break, bytes that flip, noise, and supplies that fail.

mod common;

use base64ct::{Base64, Encoding};
use boot_recovery::{BUFFER, Progress};
use ciborium::Value;
use common::{BOARD, Line, READ, Slot, WRITE, chunk, frames, image, map, number, packet, sealed, unframe};
use sim_base::Rng;
use update_image::Version;
use update_image::layout::{ERASE_SIZE, SLOT};
use update_image::sim::{Supply, Torn};

fn echo(text: &str) -> Vec<u8> {
    packet(READ, 0, 1, 0, &map(&[("d", Value::Text(text.into()))]))
}

fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_nanos() as u64
    });
    println!("SEED={seed}");
    seed
}

fn block() -> Box<[u8; ERASE_SIZE as usize]> {
    Box::new([0; ERASE_SIZE as usize])
}

/// The device still answers.
fn is_alive(line: &mut Line<'_>) -> bool {
    let (answer, _) = line.send(&frames(&echo("alive"), 127));
    unframe(&answer).is_some_and(|answer| answer.ends_with(b"alive\xFF"))
}

#[test]
fn lines_of_any_length_and_any_ending_make_a_packet() {
    let mut block = block();
    let mut line = Line::new(&mut block, Slot::new(&Supply::steady()));
    let text = "y".repeat(200);
    for length in [7, 8, 16, 64, 127, 128, 512, 4096] {
        assert!(!line.send(&frames(&echo(&text), length)).0.is_empty(), "{length}");
    }
    // Carriage returns, as a terminal sends them; a line that broke off in front; other people's text.
    let good = frames(&echo("hi"), 127);
    let returned: Vec<u8> =
        good.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect();
    for (before, after) in
        [("", &returned), ("\x06\x09AAAA", &good), ("boot: hello\n", &good), ("\x06", &good), ("\x04\x14AAAA\n", &good)]
    {
        let bytes = [before.as_bytes(), after].concat();
        assert_eq!(line.send(&bytes).1, Progress::Answered, "{before:?}");
    }
    // Each line in a base64 of its own.
    for piece in [1, 2, 3, 5, 7] {
        let mut bytes = Vec::new();
        for (index, piece) in sealed(&echo("padded")).chunks(piece).enumerate() {
            bytes.extend(if index == 0 { [6, 9] } else { [4, 20] });
            bytes.extend(Base64::encode_string(piece).into_bytes());
            bytes.push(b'\n');
        }
        assert_eq!(line.send(&bytes).1, Progress::Answered, "{piece}");
    }
}

#[test]
fn a_packet_with_a_line_missing_twice_or_out_of_place_is_not_carried_out() {
    let mut block = block();
    let mut line = Line::new(&mut block, Slot::new(&Supply::steady()));
    let text: String = (0..200).map(|n| char::from(b'a' + n % 26)).collect();
    let bytes = frames(&echo(&text), 64);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    assert!(lines.len() > 4);
    for index in 0..lines.len() {
        let mut missing = lines.clone();
        missing.remove(index);
        let mut twice = lines.clone();
        twice.insert(index, lines[index]);
        for sent in [missing, twice] {
            let (answer, _) = line.send(&sent.concat());
            // The first line twice is a packet that began anew; the last line's second comes when all is done.
            let expected = sent.len() > lines.len() && (index == 0 || index + 1 == lines.len());
            assert_eq!(!answer.is_empty(), expected, "line {index}");
        }
        assert!(is_alive(&mut line));
    }
    let mut swapped = lines.clone();
    swapped.swap(1, 2);
    assert!(line.send(&swapped.concat()).0.is_empty());
    assert!(is_alive(&mut line));
}

#[test]
fn the_longest_request_fits_and_a_longer_one_is_passed_over() {
    let mut block = block();
    let mut line = Line::new(&mut block, Slot::new(&Supply::steady()));
    let request = |data: usize| packet(WRITE, 1, 1, 1, &chunk(0, 10_000, &vec![0; data]));
    let overhead = request(1000).len() - 1000;
    let longest = BUFFER - overhead;
    assert_eq!(request(longest).len(), BUFFER);
    assert_eq!(line.send(&frames(&request(longest), 127)).1, Progress::Answered);
    for more in [1, 2, 3, 100, 5000] {
        assert!(line.send(&frames(&request(longest + more), 127)).0.is_empty(), "{more}");
        assert!(is_alive(&mut line));
    }
}

#[test]
fn damage_is_found_and_the_next_request_is_answered() {
    let mut rng = Rng::new(seed());
    let mut block = block();
    let mut line = Line::new(&mut block, Slot::new(&Supply::steady()));
    let image = image(Version::new(1, 0, 0), 0, 20_000, BOARD);
    for _ in 0..3_000 {
        let request = if rng.next_u64() & 1 == 0 {
            echo("text that is long enough for a second line, or a third one: 0123456789012345678901234567890123456789")
        } else {
            packet(WRITE, 1, 1, 1, &chunk(0, image.len(), &image[..500]))
        };
        let good = frames(&request, 127);
        // A flipped bit never gets past the checksum, or was in what does not matter.
        let mut bytes = good.clone();
        bytes[rng.next_u64() as usize % good.len()] ^= 1 << (rng.next_u64() % 8);
        if let Some(answer) = unframe(&line.send(&bytes).0) {
            assert_eq!(Some(answer), unframe(&line.send(&good).0));
        }
        assert!(is_alive(&mut line));
        // One time in 65,536 graver damage does; it is then a request like any other.
        for _ in 0..=rng.next_u64() % 3 {
            let at = rng.next_u64() as usize % bytes.len();
            match rng.next_u64() % 3 {
                0 => bytes[at] ^= 1 << (rng.next_u64() % 8),
                1 => drop(bytes.remove(at)),
                _ => bytes.insert(at, rng.next_u64() as u8),
            }
        }
        let _ = unframe(&line.send(&bytes).0);
        assert!(is_alive(&mut line));
    }
}

#[test]
fn noise_does_nothing_and_sound_frames_around_random_maps_do_no_harm() {
    let mut rng = Rng::new(seed());
    let supply = Supply::steady();
    let mut block = block();
    let mut line = Line::new(&mut block, Slot::new(&supply));
    for _ in 0..300 {
        let mut noise = vec![0; rng.next_u64() as usize % 3000];
        rng.fill(&mut noise);
        assert!(line.send(&noise).0.is_empty());
        assert!(is_alive(&mut line));
    }
    for round in 0..20_000 {
        // A frame that is sound, around a map that need not be.
        let mut body = vec![0; rng.next_u64() as usize % 80];
        rng.fill(&mut body);
        if round % 2 == 0 && !body.is_empty() {
            // Nearly an upload.
            let mut near = packet(WRITE, 1, 1, 1, &chunk(0, 1 + rng.next_u64() as usize % 20_000, &body))[8..].to_vec();
            for _ in 0..rng.next_u64() % 4 {
                let at = rng.next_u64() as usize % near.len();
                near[at] = rng.next_u64() as u8;
            }
            body = near;
        }
        let mut request = vec![[READ, WRITE][round / 2 % 2], 0];
        request.extend((body.len() as u16).to_be_bytes());
        request.extend([0, (rng.next_u64() % 3) as u8, 7, (rng.next_u64() % 7) as u8]);
        request.extend(body);
        let (answer, _) = line.send(&frames(&request, 127));
        let answer = unframe(&answer).expect("every request is answered");
        assert!(ciborium::from_reader::<Value, _>(&answer[8..]).is_ok() || request[7] == 0, "{request:?}");
    }
    assert!(line.slot.nvm.violations().is_empty() && line.slot.accepted.is_empty());
    let outside = |address: usize| !(SLOT.start as usize..SLOT.end() as usize).contains(&address);
    assert!(line.slot.nvm.bytes().iter().enumerate().all(|(at, byte)| *byte == 0xFF || !outside(at)));
}

#[test]
fn a_supply_that_fails_anywhere_leaves_a_board_that_can_be_rescued() {
    let mut rng = Rng::new(seed());
    let image = image(Version::new(1, 0, 0), 3, 12_000, BOARD);
    let steady = Supply::steady();
    let mut probe = block();
    let mut line = Line::new(&mut probe, Slot::new(&steady));
    line.upload(&image, 1900);
    let operations = steady.operations();
    assert!(operations > 25, "{operations}");
    for operation in 0..operations {
        for torn in Torn::ALL {
            let supply = Supply::cut_at(operation, torn, rng.next_u64());
            let mut first = block();
            let mut line = Line::new(&mut first, Slot::new(&supply));
            line.upload(&image, 1900);
            let nvm = line.slot.nvm.powered_by(&Supply::steady());
            let mut slot = Slot { nvm, accepted: Vec::new() };
            // What the bootloader sees: the image is whole, or not to be started. Cells between their levels read as they
            // like: what verifies once is looked at again before it is started.
            if torn != Torn::Unsteady
                && let Ok(info) = slot.verdict()
            {
                assert!(slot.bytes().starts_with(&image) && info.version == Version::new(1, 0, 0));
            }
            let mut second = block();
            let mut line = Line::new(&mut second, slot);
            let answer = line.upload(&image, 1900);
            assert_eq!(number(&answer, "rc"), Some(0), "operation {operation} {torn:?}");
            assert!(line.slot.verdict().is_ok() && line.slot.nvm.violations().is_empty());
        }
    }
}
