//! Fuzz target: RDATA between text and wire. The rules are in tests/it/oracle/rdata.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::rdata::any_bytes(bytes));
