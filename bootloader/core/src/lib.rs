//! The bootloader's decisions: verify, back up, copy, confirm, roll back; generic over flash.
#![no_std]
