//! Files on external NOR flash: littlefs behind the calls that an update needs.
#![no_std]
