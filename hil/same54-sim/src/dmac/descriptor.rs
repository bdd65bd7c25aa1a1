//! Transfer descriptors (SAM D5x/E5x datasheet, 22.6.2.3 and 22.10).

use armv7m::{BusFault, Size};

use crate::peripheral::Context;

/// Address bits that count. Assumed: the vendor's drivers align descriptors to 64 bits, so the chip takes those.
const ALIGNED: u32 = !7;

/// A transfer descriptor: 16 bytes of RAM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    pub(super) btctrl: u16,
    pub(super) btcnt: u16,
    pub(super) srcaddr: u32,
    pub(super) dstaddr: u32,
    pub(super) descaddr: u32,
}

/// What happens after a block (BTCTRL.BLOCKACT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockAction {
    pub(super) interrupt: bool,
    pub(super) suspend: bool,
}

impl Descriptor {
    pub(super) fn fetch(addr: u32, cx: &Context<'_>) -> Result<Self, BusFault> {
        let mut words = [0; 4];
        for (n, word) in (0..).zip(&mut words) {
            *word = cx.dma_read_word((addr & ALIGNED).wrapping_add(4 * n))?;
        }
        let [head, srcaddr, dstaddr, descaddr] = words;
        Ok(Self { btctrl: head as u16, btcnt: (head >> 16) as u16, srcaddr, dstaddr, descaddr })
    }

    pub(super) fn write_back(&self, addr: u32, cx: &mut Context<'_>) -> Result<(), BusFault> {
        let head = u32::from(self.btcnt) << 16 | u32::from(self.btctrl);
        for (n, word) in (0..).zip([head, self.srcaddr, self.dstaddr, self.descaddr]) {
            cx.dma_write_word((addr & ALIGNED).wrapping_add(4 * n), word)?;
        }
        Ok(())
    }

    pub(super) fn is_valid(&self) -> bool {
        self.btctrl & 1 != 0
    }

    pub(super) fn beat(&self) -> Size {
        match self.btctrl >> 8 & 3 {
            0 => Size::Byte,
            1 => Size::Half,
            _ => Size::Word,
        }
    }

    /// EVOSEL: 1 is an event after each block, 3 after each burst.
    pub(super) fn event_output(&self) -> u16 {
        self.btctrl >> 1 & 3
    }

    pub(super) fn block_action(&self) -> BlockAction {
        let action = self.btctrl >> 3 & 3;
        BlockAction { interrupt: action & 1 != 0, suspend: action & 2 != 0 }
    }

    /// From one beat to the next, in bytes: at the source, at the destination (STEPSEL, STEPSIZE).
    pub(super) fn steps(&self) -> (u32, u32) {
        let beat = self.beat() as u32;
        let step = beat << (self.btctrl >> 13 & 7);
        let source_steps = self.btctrl >> 12 & 1 != 0;
        let source = if source_steps { step } else { beat };
        let destination = if source_steps { beat } else { step };
        (if self.btctrl >> 10 & 1 != 0 { source } else { 0 }, if self.btctrl >> 11 & 1 != 0 { destination } else { 0 })
    }

    /// Where the next beat is read: SRCADDR of an incrementing transfer is one behind the block's last beat
    /// (22.6.2.7).
    pub(super) fn source(&self) -> u32 {
        self.srcaddr.wrapping_sub(u32::from(self.btcnt).wrapping_mul(self.steps().0))
    }

    /// Where the next beat is written.
    pub(super) fn destination(&self) -> u32 {
        self.dstaddr.wrapping_sub(u32::from(self.btcnt).wrapping_mul(self.steps().1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_ends_of_blocks_and_one_side_may_step_wider() {
        // Word beats, both sides step, the source by four beats.
        let btctrl = 1 | 2 << 8 | 1 << 10 | 1 << 11 | 1 << 12 | 2 << 13;
        let mut block = Descriptor { btctrl, btcnt: 3, srcaddr: 0x1030, dstaddr: 0x200C, descaddr: 0 };
        assert_eq!((block.source(), block.destination()), (0x1000, 0x2000));
        block.btcnt = 1;
        assert_eq!((block.source(), block.destination()), (0x1020, 0x2008));
        block.btctrl &= !(1 << 12);
        assert_eq!(block.steps(), (4, 16));
    }
}
