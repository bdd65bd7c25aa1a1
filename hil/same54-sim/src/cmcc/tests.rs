use super::tags::{SETS, WAYS};
use super::{Cmcc, Tags};
use crate::arrays::LINE;
use crate::peripheral::{Peripheral, Write};
use crate::rig::Rig;

const KIB: u32 = 1_024;

/// The line's address in all its words.
fn content(line: u32) -> [u8; LINE as usize] {
    std::array::from_fn(|n| line.to_le_bytes()[n % 4])
}

/// Makes the line resident as a read would. The line that had to go.
fn read(tags: &mut Tags, line: u32) -> Option<u32> {
    match tags.find(line) {
        Some(slot) => {
            assert_eq!(tags.bytes(slot), content(line));
            None
        }
        None => tags.fill(line, content(line)).expect("a way that is not locked").1.map(|evicted| evicted.line),
    }
}

fn resident(tags: &Tags) -> Vec<u32> {
    let mut lines: Vec<u32> = tags.lines().map(|(line, _)| line).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn four_kib_are_resident_at_once_wherever_they_begin() {
    for start in [0, 0x130, 0xF_0000] {
        let mut tags = Tags::new();
        let lines: Vec<u32> = (start..start + 4 * KIB).step_by(LINE as usize).collect();
        assert!(lines.iter().all(|line| read(&mut tags, *line).is_none()));
        assert_eq!(resident(&tags), lines);
        // Nothing else has room, and takes that of the line of its set that was read first.
        assert_eq!(read(&mut tags, start + 4 * KIB), Some(start));
    }
}

#[test]
fn victims_come_in_turn_however_often_a_line_is_read() {
    let mut tags = Tags::new();
    for way in 0..4 {
        assert_eq!(read(&mut tags, way * KIB), None);
    }
    for expected in [0, 1, 2, 3, 8, 9] {
        // Read last, as a least recently used one would not be.
        assert_eq!(read(&mut tags, expected * KIB), None);
        assert_eq!(read(&mut tags, (8 + expected) * KIB), Some(expected * KIB));
    }
}

#[test]
fn a_locked_way_keeps_its_lines() {
    let mut tags = Tags::new();
    for way in 0..4 {
        read(&mut tags, way * KIB);
    }
    tags.lock(1 << 1 | 1 << 2);
    let victims: Vec<u32> = (4..8).filter_map(|n| read(&mut tags, n * KIB)).collect();
    assert_eq!(victims, [0, 3 * KIB, 4 * KIB, 5 * KIB]);
    assert_eq!(resident(&tags), [KIB, 2 * KIB, 6 * KIB, 7 * KIB]);
    tags.lock(15);
    assert!(tags.is_all_locked() && tags.fill(0x9000, content(0x9000)).is_none());
    assert_eq!(resident(&tags), [KIB, 2 * KIB, 6 * KIB, 7 * KIB]);
}

#[test]
fn a_smaller_cache_has_fewer_ways() {
    for ways in [1, 2, 4] {
        let mut tags = Tags::new();
        for way in 0..4 {
            read(&mut tags, way * KIB);
        }
        tags.set_ways(ways as usize);
        assert_eq!(resident(&tags), (0..ways).map(|way| way * KIB).collect::<Vec<_>>());
        for n in 4..20 {
            read(&mut tags, n * KIB);
        }
        assert_eq!(resident(&tags), (20 - ways..20).map(|n| n * KIB).collect::<Vec<_>>());
        tags.lock((1 << ways) - 1);
        assert!(tags.is_all_locked());
    }
}

#[test]
fn a_line_that_is_invalidated_is_filled_next() {
    let mut tags = Tags::new();
    for way in 0..4 {
        read(&mut tags, way * KIB + 0x50);
    }
    // Index 5, way 2.
    tags.invalidate_line(5, 2);
    assert_eq!(resident(&tags), [0x50, KIB + 0x50, 3 * KIB + 0x50]);
    assert_eq!(read(&mut tags, 0x8050), None);
    assert_eq!(read(&mut tags, 0x9050), Some(3 * KIB + 0x50));
    tags.invalidate();
    assert!(resident(&tags).is_empty());
    assert_eq!((SETS, WAYS), (64, 4));
}

#[test]
fn changed_memory_is_told_once_and_forgotten_with_the_line() {
    let mut tags = Tags::new();
    for line in [0x100, 0x110, 0x120] {
        read(&mut tags, line);
    }
    assert_eq!(tags.memory_changed(&(0x108..0x111)), [0x100, 0x110]);
    assert_eq!(tags.memory_changed(&(0..0x1000)), [0x120]);
    assert!(tags.has_changed());
    for (line, left) in [(0x100, true), (0x110, true), (0x120, false)] {
        let slot = tags.find(line).expect("it is there");
        assert!(tags.report(slot) && !tags.report(slot));
        tags.invalidate_line((line / LINE) as usize, 0);
        assert_eq!(tags.has_changed(), left);
    }
}

#[test]
fn the_monitor_counts_cycles_at_the_clock_of_the_time() {
    let (mut rig, mut cmcc) = (Rig::new(), Cmcc::new());
    rig.clocks.cpu = 48_000_000;
    cmcc.clocks_changed(&mut rig.cx(0));
    cmcc.write(0x28, Write::full(0), &mut rig.cx(100));
    cmcc.write(0x2C, Write::full(1), &mut rig.cx(1_000));
    assert_eq!(cmcc.read(0x34, &mut rig.cx(11_000)), 480);
    rig.clocks.cpu = 120_000_000;
    cmcc.clocks_changed(&mut rig.cx(11_000));
    assert_eq!(cmcc.read(0x34, &mut rig.cx(12_000)), 480 + 120);
    // Stopped, it stays.
    cmcc.write(0x2C, Write::full(0), &mut rig.cx(12_000));
    assert_eq!(cmcc.read(0x34, &mut rig.cx(20_000)), 600);
    cmcc.write(0x30, Write::full(1), &mut rig.cx(20_000));
    assert_eq!(cmcc.read(0x34, &mut rig.cx(20_000)), 0);
}

#[test]
fn maintenance_and_sizes_are_for_a_cache_that_is_off() {
    let (mut rig, mut cmcc) = (Rig::new(), Cmcc::new());
    for (offset, value, allowed) in
        [(0x20, 1, false), (0x24, 0, false), (0x04, 0, false), (0x04, 2, true), (0x10, 1, true)]
    {
        cmcc.write(0x08, Write::full(0), &mut rig.cx(0));
        cmcc.write(0x04, Write::full(if value == 2 { 0 } else { 0x20 }), &mut rig.cx(0));
        assert_eq!(rig.violations(), [""; 0]);
        cmcc.write(0x08, Write::full(1), &mut rig.cx(0));
        cmcc.write(offset, Write::full(value), &mut rig.cx(0));
        assert_eq!(rig.violations().is_empty(), allowed, "{offset:#x}");
    }
}
