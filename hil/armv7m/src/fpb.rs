//! Flash Patch and Breakpoint unit, revision 1 (ARMv7-M ARM C1.11): six instruction comparators, two for literals.

/// Instruction comparators of the Cortex-M4's FPB.
const CODE_COMPARATORS: usize = 6;
const LITERAL_COMPARATORS: usize = 2;
/// The Code region, where comparators match.
const CODE_END: u32 = 0x2000_0000;

#[derive(Clone, Debug, Default)]
pub(crate) struct Fpb {
    enabled: bool,
    comparators: [u32; CODE_COMPARATORS + LITERAL_COMPARATORS],
    /// Where remapped words are: FP_REMAP.REMAP, in SRAM.
    remap: u32,
    /// The predecoded code does not yet show the comparators as they are.
    pub(crate) changed: bool,
}

impl Fpb {
    pub(crate) fn read(&self, offset: u32) -> u32 {
        match offset {
            0 => (LITERAL_COMPARATORS << 8 | CODE_COMPARATORS << 4) as u32 | u32::from(self.enabled),
            // Bit 29 is RMPSPT: remapping is there, and its target is in SRAM.
            4 => CODE_END | self.remap,
            8..0x28 => self.comparators[(offset as usize - 8) / 4],
            _ => 0,
        }
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        match offset {
            // Bit 1 is the key.
            0 if value & 2 != 0 => self.enabled = value & 1 != 0,
            4 => self.remap = value & 0x1FFF_FFE0,
            8..0x20 => self.comparators[(offset as usize - 8) / 4] = value & 0xDFFF_FFFD,
            0x20..0x28 => self.comparators[(offset as usize - 8) / 4] = value & 0x1FFF_FFFD,
            _ => return,
        }
        self.changed = true;
    }

    /// Addresses with a breakpoint.
    pub(crate) fn breakpoints(&self) -> impl Iterator<Item = u32> + '_ {
        self.comparators[..CODE_COMPARATORS].iter().filter(|&&value| self.enabled && value & 1 != 0).flat_map(
            |&value| {
                let word = value & 0x1FFF_FFFC;
                let lower = (value >> 30 & 1 != 0).then_some(word);
                let upper = (value >> 31 != 0).then_some(word + 2);
                [lower, upper].into_iter().flatten()
            },
        )
    }

    pub(crate) fn matches(&self, pc: u32) -> bool {
        pc < CODE_END && self.breakpoints().any(|address| address == pc)
    }

    /// Whether a comparator takes words from elsewhere: then every access has to be looked at.
    pub(crate) fn remaps(&self) -> bool {
        (0..self.comparators.len()).any(|index| self.remapping(index))
    }

    /// An enabled instruction comparator with REPLACE = 0, or an enabled literal comparator.
    fn remapping(&self, index: usize) -> bool {
        self.enabled && self.comparators[index] & 1 != 0 && self.comparators[index] >> 30 == 0
    }

    fn remapped(&self, addr: u32, comparators: core::ops::Range<usize>) -> u32 {
        let mut hit = comparators
            .filter(|&index| addr < CODE_END && self.remapping(index))
            .filter(|&index| (addr ^ self.comparators[index]) & 0x1FFF_FFFC == 0);
        match hit.next() {
            // One word for each comparator.
            Some(index) => (CODE_END | self.remap) + 4 * index as u32 + (addr & 3),
            None => addr,
        }
    }

    /// Where an instruction at `addr` is fetched from.
    pub(crate) fn code_address(&self, addr: u32) -> u32 {
        self.remapped(addr, 0..CODE_COMPARATORS)
    }

    /// Where data at `addr` is read from. Any read of data counts: the unit sees a bus, which tells no literal from
    /// other data (assumed).
    pub(crate) fn literal_address(&self, addr: u32) -> u32 {
        self.remapped(addr, CODE_COMPARATORS..CODE_COMPARATORS + LITERAL_COMPARATORS)
    }
}
