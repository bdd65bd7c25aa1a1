//! The provisioning record: who a device is and whom it trusts.
#![no_std]
