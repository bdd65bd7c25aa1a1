//! Numbers of event generators, event users and DMA trigger sources (SAM D5x/E5x datasheet, 31.7.8, 31.7.13 and
//! 22.8.16), by block. What is not here is the block's own business.

use std::ops::Range;

use crate::map::Id;

/// CHANNELn.EVGEN of the DMAC's channels 0 to 3.
pub(crate) const GEN_DMAC: u8 = 34;

/// Users of the event system.
pub(crate) const USERS: usize = 67;

/// USERm of the DMAC's channels 0 to 7.
pub(crate) const USER_DMAC: usize = 5;

/// The block behind user multiplexer `user`.
pub(crate) fn user_block(user: usize) -> Option<Id> {
    Some(match user {
        0 => Id::Rtc,
        1..=4 => Id::Port,
        5..=12 => Id::Dmac,
        17..=24 => Id::Tcc0,
        25..=30 => Id::Tcc1,
        31..=35 => Id::Tcc2,
        36..=39 => Id::Tcc3,
        40..=43 => Id::Tcc4,
        44..=51 => TC[user - 44],
        52..=54 => Id::Pdec,
        55 | 56 => Id::Adc0,
        57 | 58 => Id::Adc1,
        59 | 60 => Id::Ac,
        61 | 62 => Id::Dac,
        63..=66 => Id::Ccl,
        _ => return None,
    })
}

/// Where the DMA trigger sources of each block lie.
const TRIGGERS: [(Range<u32>, Id); 32] = [
    (1..2, Id::Rtc),
    (2..4, Id::Dsu),
    (4..6, Id::Sercom0),
    (6..8, Id::Sercom1),
    (8..10, Id::Sercom2),
    (10..12, Id::Sercom3),
    (12..14, Id::Sercom4),
    (14..16, Id::Sercom5),
    (16..18, Id::Sercom6),
    (18..20, Id::Sercom7),
    (20..21, Id::Can0),
    (21..22, Id::Can1),
    (22..29, Id::Tcc0),
    (29..34, Id::Tcc1),
    (34..38, Id::Tcc2),
    (38..41, Id::Tcc3),
    (41..44, Id::Tcc4),
    (44..47, Id::Tc0),
    (47..50, Id::Tc1),
    (50..53, Id::Tc2),
    (53..56, Id::Tc3),
    (56..59, Id::Tc4),
    (59..62, Id::Tc5),
    (62..65, Id::Tc6),
    (65..68, Id::Tc7),
    (68..70, Id::Adc0),
    (70..72, Id::Adc1),
    (72..76, Id::Dac),
    (76..80, Id::I2s),
    (80..81, Id::Pcc),
    (81..83, Id::Aes),
    (83..85, Id::Qspi),
];

const TC: [Id; 8] = [Id::Tc0, Id::Tc1, Id::Tc2, Id::Tc3, Id::Tc4, Id::Tc5, Id::Tc6, Id::Tc7];

/// The block that asserts DMA trigger source `source`.
pub(crate) fn trigger_block(source: u32) -> Option<Id> {
    TRIGGERS.iter().find(|(range, _)| range.contains(&source)).map(|(_, id)| *id)
}

/// The trigger sources of block `id`, as a mask.
pub(crate) fn trigger_mask(id: Id) -> u128 {
    let range = TRIGGERS.iter().find(|(_, block)| *block == id).map_or(0..0, |(range, _)| range.clone());
    range.fold(0, |mask, source| mask | 1 << source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trigger_source_has_one_block() {
        for source in 1..85 {
            let id = trigger_block(source).unwrap();
            assert_eq!(trigger_mask(id) >> source & 1, 1);
        }
        assert_eq!((trigger_block(0), trigger_block(85)), (None, None));
        assert_eq!(trigger_mask(Id::Tcc0), 0x7F << 22);
    }
}
