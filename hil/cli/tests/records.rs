//! What `hil board`, `hil exec` and `hil run` leave on file: traces and coverage.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use hil::trace::Track;
use hil::trace::proto::{EventType, Trace};
use prost::Message as _;
use support::{board, folder, program, texts};

/// Slices of one track: name, begin and end in nanoseconds, nesting depth; and instants, whose end is their begin.
struct Slice {
    name: String,
    begin: u64,
    end: u64,
    depth: usize,
    details: BTreeMap<String, String>,
}

/// Reads a trace as Perfetto does: names by number, slices by nesting.
fn read(path: &Path) -> BTreeMap<Track, Vec<Slice>> {
    let trace = Trace::decode(&*std::fs::read(path).unwrap()).unwrap();
    let tracks: BTreeMap<u64, Track> = Track::ALL.into_iter().map(|track| (track as u64, track)).collect();
    let (mut names, mut all, mut described) = (BTreeMap::new(), BTreeMap::<Track, Vec<Slice>>::new(), 0);
    let mut open: BTreeMap<Track, Vec<usize>> = BTreeMap::new();
    for packet in trace.packet {
        for name in packet.interned_data.into_iter().flat_map(|data| data.event_names) {
            names.insert(name.iid.unwrap(), name.name.unwrap());
        }
        described += usize::from(packet.track_descriptor.is_some());
        let Some(event) = packet.track_event else { continue };
        let (at, track) = (packet.timestamp.unwrap(), tracks[&event.track_uuid.unwrap()]);
        let (slices, open) = (all.entry(track).or_default(), open.entry(track).or_default());
        let details = event.debug_annotations.into_iter().map(|detail| {
            let value = detail.string_value.or(detail.uint_value.map(|value| value.to_string()));
            (detail.name.unwrap(), value.unwrap())
        });
        let slice = |depth| Slice {
            name: names[&event.name_iid.expect("a name")].clone(),
            begin: at,
            end: at,
            depth,
            details: details.collect(),
        };
        match EventType::try_from(event.r#type.unwrap()).unwrap() {
            EventType::SliceBegin => {
                let new = slice(open.len());
                open.push(slices.len());
                slices.push(new);
            }
            EventType::SliceEnd => {
                let index = open.pop().expect("a slice is open");
                assert!(slices[index].begin <= at, "{track:?}: a slice ends before it begins");
                slices[index].end = at;
            }
            EventType::Instant => slices.push(slice(open.len())),
            EventType::Unspecified => panic!("an event without type"),
        }
    }
    assert_eq!(described, 1 + Track::ALL.len());
    assert!(open.values().all(Vec::is_empty), "every slice has its end");
    all
}

#[test]
fn trace_has_interrupts_functions_log_button_and_power() {
    let dir = folder("trace-demo");
    let (elf, file) = (program("demo").display().to_string(), dir.join("demo.pftrace"));
    let trace = file.display().to_string();
    let args = [
        "--elf",
        &elf,
        "--for",
        "500ms",
        "--trace",
        &trace,
        "--at",
        "100ms:press",
        "--at",
        "200ms:release",
        "--at",
        "300ms:uart=x",
        "--at",
        "400ms:power-off",
        "--at",
        "450ms:power-on",
    ];
    texts(&board(&args), 0);
    let tracks = read(&file);
    let exceptions = &tracks[&Track::Exceptions];
    // A tick each millisecond of the 450 with supply, and one character that is echoed.
    let ticks: Vec<_> = exceptions.iter().filter(|slice| slice.name == "SysTick").collect();
    assert!((445..=450).contains(&ticks.len()), "{}", ticks.len());
    for pair in ticks[..390].windows(2) {
        let apart = pair[1].begin - pair[0].begin;
        assert!((999_000..=1_001_000).contains(&apart), "{apart} ns between two ticks");
        assert!(pair[0].end > pair[0].begin && pair[0].end < pair[0].begin + 10_000);
    }
    let uart: Vec<_> = exceptions.iter().filter(|slice| slice.name == "SERCOM2_2").collect();
    assert!(uart.len() == 1 && (300_000_000..301_000_000).contains(&uart[0].begin), "{}", uart.len());
    // Start-up clears memory for a while, and then the processor mostly sleeps.
    let functions = &tracks[&Track::Functions];
    let time = |name: &str| functions.iter().filter(|s| s.name == name).map(|s| s.end - s.begin).sum::<u64>();
    assert!(time("(asleep)") > 400_000_000, "{}", time("(asleep)"));
    assert!(functions.iter().any(|slice| slice.name.contains("reset") || slice.name.contains("write_volatile")));
    let log: Vec<_> = tracks[&Track::Log].iter().map(|line| line.name.as_str()).collect();
    assert_eq!(log, ["demo: ready", "demo: 100 ms", "demo: 100 ms", "demo: 100 ms", "demo: ready"]);
    assert_eq!(tracks[&Track::Log][0].details["program"], "demo");
    let led = &tracks[&Track::Led];
    assert!(led.len() == 1 && (100..102).contains(&(led[0].begin / 1_000_000)) && led[0].end / 1_000_000 / 2 == 100);
    let power: Vec<_> = tracks[&Track::Power].iter().map(|s| (s.name.as_str(), s.begin, s.end)).collect();
    assert_eq!(
        power,
        [("reset: power-on", 0, 0), ("off", 400_000_000, 450_000_000), ("reset: power-on", 450_000_000, 450_000_000)]
    );
}

#[test]
fn trace_of_the_firmware_has_flash_operations_and_frames() {
    let dir = folder("trace-firmware");
    let file = dir.join("firmware.pftrace");
    let (trace, lcov) = (file.display().to_string(), dir.join("firmware.info").display().to_string());
    texts(&board(&["--for", "3s", "--trace", &trace, "--trace-sample", "50us", "--coverage", &lcov]), 0);
    let tracks = read(&file);
    // The bootloader adopts the image in its boot record: quad words of 16 bytes; the firmware formats its store.
    let nvm = &tracks[&Track::Nvm];
    assert!(nvm.iter().any(|slice| slice.name == "program" && slice.end > slice.begin), "{}", nvm.len());
    let nor = &tracks[&Track::Nor];
    let erase = nor.iter().find(|slice| slice.name == "erase").expect("an erase");
    let erase_ms = (erase.end - erase.begin) / 1_000_000;
    assert!(erase.details["bytes"] == "4096" && (200..=260).contains(&erase_ms), "{erase_ms} ms");
    assert!(nor.iter().chain(nvm).all(|slice| slice.depth == 0));
    let frames = &tracks[&Track::Ethernet];
    assert!(frames.iter().any(|frame| frame.name == "sent") && frames.iter().any(|frame| frame.name == "received"));
    assert!(frames.iter().all(|frame| frame.details["bytes"].parse::<u32>().unwrap() >= 60));
    assert!(tracks[&Track::Exceptions].iter().any(|slice| slice.name == "GMAC"));
    assert!(tracks[&Track::Log].iter().any(|line| line.details["program"].starts_with("app")));
    // And the lines of bootloader and firmware, but of no dependency.
    let text = std::fs::read_to_string(&lcov).unwrap();
    let sources: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("SF:")).collect();
    for part in ["bootloader/core/src/", "firmware/app/src/", "firmware/same54/src/"] {
        assert!(sources.iter().any(|path| path.contains(part)), "no {part} in {sources:#?}");
    }
    assert!(sources.iter().all(|path| !path.contains("/registry/") && !path.contains("/rustc/")), "{sources:#?}");
}

/// Counts of the lines of a program's source that have `marker`, by line.
fn marked(lcov: &str, source: &Path, marker: &str) -> Vec<u32> {
    let own = lcov.split("end_of_record").find(|record| record.contains(&format!("SF:{}\n", source.display())));
    let counts: BTreeMap<u32, u32> = own
        .expect("the source is covered")
        .lines()
        .filter_map(|line| line.strip_prefix("DA:")?.split_once(','))
        .map(|(line, count)| (line.parse().unwrap(), count.parse().unwrap()))
        .collect();
    let text = std::fs::read_to_string(source).unwrap();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| line.contains(marker));
    lines.map(|(number, _)| *counts.get(&number).unwrap_or_else(|| panic!("line {number} has no count"))).collect()
}

#[test]
fn taken_and_not_taken_lines_are_told_apart() {
    let dir = folder("coverage");
    let elf = program("exit").display().to_string();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/exit.rs").canonicalize().unwrap();
    let (live, exec) = (dir.join("live.info"), dir.join("exec.info"));
    texts(&board(&["--elf", &elf, "--coverage", &live.display().to_string()]), 7);
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["exec", &elf, "--coverage", &exec.display().to_string()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    let [live, exec] = [live, exec].map(|path| std::fs::read_to_string(path).unwrap());
    assert_eq!(marked(&live, &source, "// taken"), [1]);
    assert_eq!(marked(&live, &source, "// not taken"), [0, 0]);
    for (name, count) in [("choose", 1), ("never", 0), ("reset", 1), ("panic", 0)] {
        let found = live.lines().any(|line| line.starts_with(&format!("FNDA:{count},")) && line.ends_with(name));
        assert!(found || name == "panic" && !live.contains("panic"), "{name}: {count} in\n{live}");
    }
    let count = |key: &str| -> Vec<usize> {
        live.lines().filter_map(|line| line.strip_prefix(key)).map(|text| text.parse().unwrap()).collect()
    };
    let lines = live.lines().filter(|line| line.starts_with("DA:")).count();
    let hit = live.lines().filter(|line| line.starts_with("DA:") && line.ends_with(",1")).count();
    assert_eq!((count("LF:").iter().sum::<usize>(), count("LH:").iter().sum::<usize>()), (lines, hit));
    assert!(live == exec, "both ways to run the program agree");
    assert!(!live.contains("/rustc/") && live.matches("SF:").count() == 1, "the workspace's own file alone");
}

#[test]
fn swo_bytes_are_written_as_packets() {
    let swo = folder("swo").join("swo.bin");
    let elf = program("exit").display().to_string();
    texts(&board(&["--elf", &elf, "--swo", &swo.display().to_string()]), 7);
    assert_eq!(std::fs::read(&swo).unwrap(), b"\x01S\x01W\x01O", "one packet of one byte for each, from port 0");
}

#[test]
fn an_update_covers_bootloader_and_both_versions() {
    let dir = folder("coverage-update");
    let file = dir.join("update.info");
    let output = Command::new(env!("CARGO_BIN_EXE_hil"))
        .args(["run", "update", "--coverage"])
        .arg(&file)
        .arg("--out")
        .arg(&dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&file).unwrap();
    let executed = |path: &str| -> usize {
        let own = text.split("end_of_record").filter(|record| record.contains(path));
        own.flat_map(str::lines).filter(|line| line.starts_with("DA:") && line.ends_with(",1")).count()
    };
    // What an update needs: the agent reads the manifest, the store takes the image, the bootloader swaps it.
    for path in ["firmware/adu-agent/src/", "firmware/update-store/src/", "bootloader/core/src/", "firmware/tls/src/"] {
        assert!(executed(path) > 20, "{path}: {} lines", executed(path));
    }
}
