//! Fuzz target: configurations. The rules are in tests/it/oracle/config.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::config::any_text(bytes));
