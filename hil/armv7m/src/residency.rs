//! Which blocks are known to have all their lines of code resident; see [`timing`](crate::timing). Known means convenience: it
//! may be forgotten at any time, and is when a core is copied.

/// The beginning of a block whose lines of code are all resident, as the run loop needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Resident {
    /// Valid in this era alone.
    pub(crate) era: u64,
    /// See [`Block`](crate::block::Block); with what it may wait for lines that are not resident.
    pub(crate) reach: u32,
    pub(crate) pc: u32,
    /// Its first step, and the one behind its last, for [`Blocks::range`](crate::block::Blocks::range).
    pub(crate) first: u32,
    pub(crate) end: u32,
}

/// Lines are told apart by so many of their address's bits; more is lost than must be where two are taken for one.
const LINES: usize = 1_024;

/// What is resident of each block, by number, and the blocks that rely on a line.
#[derive(Debug, Default)]
pub(crate) struct Residency {
    blocks: Vec<Resident>,
    relying: Vec<Relying>,
}

#[derive(Clone, Debug, Default)]
struct Relying {
    era: u64,
    blocks: Vec<u32>,
}

impl Clone for Residency {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Residency {
    #[inline(always)]
    pub(crate) fn get(&self, number: u32) -> Option<&Resident> {
        self.blocks.get(number as usize)
    }

    /// Block `number` is resident as long as none of `lines` is lost.
    pub(crate) fn keep(&mut self, number: u32, resident: Resident, lines: impl Iterator<Item = u32>) {
        let at = number as usize;
        if self.blocks.len() <= at {
            self.blocks.resize(at + 1, Resident::default());
        }
        self.blocks[at] = resident;
        for line in lines {
            if self.relying.is_empty() {
                self.relying.resize(LINES, Relying::default());
            }
            let relying = &mut self.relying[line as usize % LINES];
            if relying.era != resident.era {
                relying.era = resident.era;
                relying.blocks.clear();
            }
            if !relying.blocks.contains(&number) {
                relying.blocks.push(number);
            }
        }
    }

    /// Line number `line` is not resident any longer.
    pub(crate) fn lose(&mut self, line: u32) {
        let Some(relying) = self.relying.get_mut(line as usize % LINES) else { return };
        for number in relying.blocks.drain(..) {
            if let Some(resident) = self.blocks.get_mut(number as usize) {
                resident.era = 0;
            }
        }
    }
}
