//! Fuzz target: zone files. The rules are in tests/it/oracle/master.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::master::any_file(bytes));
