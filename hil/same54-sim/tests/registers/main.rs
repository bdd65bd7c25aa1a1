//! The register table against the definitions that it comes from.

mod definitions;

use std::fs;
use std::path::Path;

#[test]
fn the_table_is_that_of_the_atsame54p_crate() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/registers/atsame54p.tsv");
    let table = definitions::table();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &table).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == table, "the table is stale; run UPDATE=1 cargo test -p same54-sim --test registers");
}
