//! What the model makes of each block's registers, gathered from the blocks.

use super::Ledger;

/// The ledger of the kind of block called `block`.
pub(crate) fn ledger(block: &str) -> Ledger {
    match block {
        "AC" | "ADC0" | "AES" | "CAN0" | "CCL" | "DAC" | "DMAC" | "EVSYS" | "FREQM" | "I2S" | "ICM" | "PCC"
        | "PDEC" | "SDHC0" | "TCC0" | "USB" => Ledger::STORED,
        _ => Ledger::MODELLED,
    }
}
