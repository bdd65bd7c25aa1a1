//! Drivers for the SAM E54 Xplained Pro: Ethernet, external NOR flash, internal flash, time.
#![no_std]
