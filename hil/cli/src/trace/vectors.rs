//! Names of the SAM E54's exceptions and interrupts (ARMv7-M ARM B1.5.2; SAM D5x/E5x datasheet, 10.2.2).

/// Interrupts that are several lines of one block: first line, how many, name. Those between are single or reserved.
const GROUPS: &[(u16, u16, &str)] = &[
    (0, 1, "PM"),
    (1, 1, "MCLK"),
    (2, 2, "OSCCTRL_XOSC"),
    (4, 1, "OSCCTRL_DFLL"),
    (5, 2, "OSCCTRL_DPLL"),
    (7, 1, "OSC32KCTRL"),
    (8, 1, "SUPC_OTHER"),
    (9, 1, "SUPC_BODDET"),
    (10, 1, "WDT"),
    (11, 1, "RTC"),
    (12, 16, "EIC_EXTINT_"),
    (28, 1, "FREQM"),
    (29, 2, "NVMCTRL_"),
    (31, 4, "DMAC_"),
    (35, 1, "DMAC_OTHER"),
    (36, 4, "EVSYS_"),
    (40, 1, "EVSYS_OTHER"),
    (41, 1, "PAC"),
    (45, 1, "RAMECC"),
    (46, 4, "SERCOM0_"),
    (50, 4, "SERCOM1_"),
    (54, 4, "SERCOM2_"),
    (58, 4, "SERCOM3_"),
    (62, 4, "SERCOM4_"),
    (66, 4, "SERCOM5_"),
    (70, 4, "SERCOM6_"),
    (74, 4, "SERCOM7_"),
    (78, 2, "CAN"),
    (80, 1, "USB_OTHER"),
    (81, 1, "USB_SOF_HSOF"),
    (82, 2, "USB_TRCPT"),
    (84, 1, "GMAC"),
    (85, 1, "TCC0_OTHER"),
    (86, 6, "TCC0_MC"),
    (92, 1, "TCC1_OTHER"),
    (93, 4, "TCC1_MC"),
    (97, 1, "TCC2_OTHER"),
    (98, 3, "TCC2_MC"),
    (101, 1, "TCC3_OTHER"),
    (102, 2, "TCC3_MC"),
    (104, 1, "TCC4_OTHER"),
    (105, 2, "TCC4_MC"),
    (107, 8, "TC"),
    (115, 1, "PDEC_OTHER"),
    (116, 2, "PDEC_MC"),
    (118, 1, "ADC0_OTHER"),
    (119, 1, "ADC0_RESRDY"),
    (120, 1, "ADC1_OTHER"),
    (121, 1, "ADC1_RESRDY"),
    (122, 1, "AC"),
    (123, 1, "DAC_OTHER"),
    (124, 2, "DAC_EMPTY_"),
    (126, 2, "DAC_RESRDY_"),
    (128, 1, "I2S"),
    (129, 1, "PCC"),
    (130, 1, "AES"),
    (131, 1, "TRNG"),
    (132, 1, "ICM"),
    (133, 1, "PUKCC"),
    (134, 1, "QSPI"),
    (135, 2, "SDHC"),
];

/// The name of exception `number`.
pub fn name(number: u16) -> String {
    let core = match number {
        1 => "Reset",
        2 => "NMI",
        3 => "HardFault",
        4 => "MemManage",
        5 => "BusFault",
        6 => "UsageFault",
        11 => "SVCall",
        12 => "DebugMonitor",
        14 => "PendSV",
        15 => "SysTick",
        _ => "",
    };
    if !core.is_empty() {
        return core.to_owned();
    }
    let Some(line) = number.checked_sub(16) else { return format!("exception {number}") };
    match GROUPS.iter().find(|(first, count, _)| (*first..first + count).contains(&line)) {
        Some((_, 1, name)) => (*name).to_owned(),
        Some((first, _, name)) => format!("{name}{}", line - first),
        None => format!("interrupt {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn vectors_are_called_as_in_the_datasheet() {
        for (number, expected) in [
            (15, "SysTick"),
            (7, "exception 7"),
            (16 + 12, "EIC_EXTINT_0"),
            (16 + 27, "EIC_EXTINT_15"),
            (16 + 56, "SERCOM2_2"),
            (16 + 84, "GMAC"),
            (16 + 114, "TC7"),
            (16 + 136, "SDHC1"),
            (16 + 43, "interrupt 43"),
        ] {
            assert_eq!(name(number), expected);
        }
    }
}
