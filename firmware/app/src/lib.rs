//! The application firmware: network, cloud, update and heartbeat tasks.
#![no_std]
