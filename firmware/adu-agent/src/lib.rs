//! Device Update agent: verifies a deployment and drives it, without IO.
#![no_std]
