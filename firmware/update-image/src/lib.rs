//! Image format, flash layout and boot record shared by application, bootloader and hil.
#![no_std]
