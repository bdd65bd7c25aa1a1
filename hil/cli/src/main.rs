//! Hardware-in-the-loop runner for over-the-air updates.
fn main() {}
