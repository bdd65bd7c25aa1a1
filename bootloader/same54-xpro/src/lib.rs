//! Bootloader for the SAM E54 Xplained Pro.
#![no_std]
