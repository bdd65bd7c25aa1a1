//! What the cache holds: sixteen-byte lines in four ways, with the data RAM behind them.
//!
//! The victim of a miss is chosen in turn, set by set (11.2: round robin), so that a hit changes nothing. That is what lets
//! the core leave out the touches of lines that are resident.

use std::ops::Range;

use crate::arrays::LINE;

/// Ways of a set; each is a KiB (11.6.7: the size of a way is fixed).
pub(crate) const WAYS: usize = 4;
/// Sets.
pub(crate) const SETS: usize = 64;
/// Data RAM, bytes.
pub(crate) const RAM_SIZE: u32 = LINE * (WAYS * SETS) as u32;

/// No line.
const NONE: u32 = u32::MAX;

/// Where a line is: a set and a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(usize);

#[derive(Clone, Copy, Debug)]
struct Tag {
    /// Address of the line.
    line: u32,
    /// The core has fetched instructions from it.
    code: bool,
    /// The memory behind it, or the line, has changed since it was filled.
    changed: bool,
    /// That it differs has been reported.
    reported: bool,
}

const EMPTY: Tag = Tag { line: NONE, code: false, changed: false, reported: false };

/// A line that had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evicted {
    /// Its address.
    pub(crate) line: u32,
    /// The core has fetched instructions from it.
    pub(crate) code: bool,
    /// The memory behind it may read differently.
    pub(crate) changed: bool,
}

/// Tags and data.
#[derive(Clone, Debug)]
pub(crate) struct Tags {
    /// By set and way.
    tags: Box<[Tag; WAYS * SETS]>,
    data: Box<[u8; RAM_SIZE as usize]>,
    /// The next victim's way, by set.
    next: [u8; SETS],
    ways: usize,
    /// Ways that are not filled, bit by bit.
    locked: u32,
    /// Tags with `changed`.
    changed: usize,
    /// How often lines have gone other than for the sake of others.
    losses: u32,
    /// Those of them that had been code and had changed.
    stale_code: Vec<u32>,
}

impl Tags {
    /// Nothing, with all ways.
    pub(crate) fn new() -> Self {
        Self {
            tags: Box::new([EMPTY; WAYS * SETS]),
            data: Box::new([0; RAM_SIZE as usize]),
            next: [0; SETS],
            ways: WAYS,
            locked: 0,
            changed: 0,
            losses: 0,
            stale_code: Vec::new(),
        }
    }

    fn set(addr: u32) -> usize {
        (addr / LINE) as usize % SETS
    }

    /// Where the line around `addr` is.
    pub(crate) fn find(&self, addr: u32) -> Option<Slot> {
        let (line, set) = (addr & !(LINE - 1), Self::set(addr));
        let tags = &self.tags[set * WAYS..][..WAYS];
        tags[..self.ways].iter().position(|tag| tag.line == line).map(|way| Slot(set * WAYS + way))
    }

    /// The line takes the place of another one, which is returned. Nothing happens, and nothing is returned, if all ways
    /// are locked.
    pub(crate) fn fill(&mut self, addr: u32, bytes: [u8; LINE as usize]) -> Option<(Slot, Option<Evicted>)> {
        let set = Self::set(addr);
        let first = usize::from(self.next[set]);
        let mut ways = (first..first + self.ways).map(|way| way % self.ways);
        let way = ways.find(|way| self.locked >> way & 1 == 0)?;
        self.next[set] = ((way + 1) % self.ways) as u8;
        let slot = Slot(set * WAYS + way);
        let evicted = self.drop_tag(slot);
        self.tags[slot.0] = Tag { line: addr & !(LINE - 1), ..EMPTY };
        self.data[Self::place(slot) as usize..][..LINE as usize].copy_from_slice(&bytes);
        Some((slot, evicted))
    }

    fn drop_tag(&mut self, slot: Slot) -> Option<Evicted> {
        let tag = std::mem::replace(&mut self.tags[slot.0], EMPTY);
        self.changed -= usize::from(tag.changed);
        (tag.line != NONE).then_some(Evicted { line: tag.line, code: tag.code, changed: tag.changed })
    }

    /// The bytes of a line.
    pub(crate) fn bytes(&self, slot: Slot) -> &[u8] {
        &self.data[Self::place(slot) as usize..][..LINE as usize]
    }

    /// Whether no line is ever filled.
    pub(crate) fn is_all_locked(&self) -> bool {
        (0..self.ways).all(|way| self.locked >> way & 1 != 0)
    }

    /// The ways that are used from now on, one, two or four. Lines in the others are gone.
    pub(crate) fn set_ways(&mut self, ways: usize) {
        for at in (0..self.tags.len()).filter(|at| at % WAYS >= ways) {
            self.lose(Slot(at));
        }
        for next in &mut self.next {
            *next %= ways as u8;
        }
        self.ways = ways;
    }

    /// The ways that keep what they have, bit by bit.
    pub(crate) fn lock(&mut self, ways: u32) {
        self.locked = ways;
    }

    /// How often lines have gone other than for the sake of others.
    pub(crate) fn losses(&self) -> u32 {
        self.losses
    }

    /// Lines that have so gone since the last call, which the core has fetched from and which memory does not have.
    pub(crate) fn take_stale_code(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.stale_code)
    }

    fn lose(&mut self, slot: Slot) {
        self.losses = self.losses.wrapping_add(1);
        if let Some(gone) = self.drop_tag(slot).filter(|gone| gone.code && gone.changed) {
            self.stale_code.push(gone.line);
        }
    }

    /// No line is valid.
    pub(crate) fn invalidate(&mut self) {
        for at in 0..self.tags.len() {
            self.lose(Slot(at));
        }
        self.next = [0; SETS];
    }

    /// One line is not valid, and its place is the next to be filled of its set (11.6.8.1).
    pub(crate) fn invalidate_line(&mut self, set: usize, way: usize) {
        let (set, way) = (set % SETS, way % WAYS);
        self.lose(Slot(set * WAYS + way));
        if way < self.ways {
            self.next[set] = way as u8;
        }
    }

    /// Lines, with whether they may be taken for the memory behind them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (u32, bool)> + '_ {
        self.tags.iter().filter(|tag| tag.line != NONE).map(|tag| (tag.line, !tag.changed))
    }

    /// The core fetches instructions from the line.
    pub(crate) fn set_code(&mut self, slot: Slot) {
        self.tags[slot.0].code = true;
    }

    /// Whether the core has fetched instructions from the line.
    pub(crate) fn is_code(&self, slot: Slot) -> bool {
        self.tags[slot.0].code
    }

    /// See [`Evicted::changed`].
    pub(crate) fn is_changed(&self, slot: Slot) -> bool {
        self.tags[slot.0].changed
    }

    /// Whether any line is [`is_changed`](Self::is_changed).
    pub(crate) fn has_changed(&self) -> bool {
        self.changed != 0
    }

    /// Line and memory may differ from now on, or are found to be equal.
    pub(crate) fn set_changed(&mut self, slot: Slot, changed: bool) {
        let tag = &mut self.tags[slot.0];
        self.changed = self.changed + usize::from(changed) - usize::from(tag.changed);
        tag.changed = changed;
    }

    /// The memory in `range` has changed. The lines of which that is news.
    pub(crate) fn memory_changed(&mut self, range: &Range<u32>) -> Vec<u32> {
        let within = |line: u32| line != NONE && line < range.end && line.saturating_add(LINE) > range.start;
        let mut news = Vec::new();
        for at in 0..self.tags.len() {
            let tag = self.tags[at];
            if within(tag.line) && !tag.changed {
                self.set_changed(Slot(at), true);
                news.push(tag.line);
            }
        }
        news
    }

    /// That the line differs from the memory is reported. False if it already was.
    pub(crate) fn report(&mut self, slot: Slot) -> bool {
        !std::mem::replace(&mut self.tags[slot.0].reported, true)
    }

    /// Bytes of the data RAM from `offset`, which lie in one line.
    pub(crate) fn ram(&self, offset: u32, len: usize) -> &[u8] {
        &self.data[offset as usize..][..len]
    }

    /// Writes the data RAM. The line that this changes, if one is there.
    pub(crate) fn write_ram(&mut self, offset: u32, bytes: &[u8]) -> Option<Slot> {
        self.data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        let line = (offset / LINE) as usize;
        let slot = Slot(line % SETS * WAYS + line / SETS);
        (self.tags[slot.0].line != NONE).then_some(slot)
    }

    /// Where the data RAM has the line.
    pub(crate) fn place(slot: Slot) -> u32 {
        (slot.0 % WAYS * SETS + slot.0 / WAYS) as u32 * LINE
    }

    /// Address of a line.
    pub(crate) fn line(&self, slot: Slot) -> u32 {
        self.tags[slot.0].line
    }
}
