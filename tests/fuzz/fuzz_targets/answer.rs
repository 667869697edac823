//! Fuzz target: any bytes against several zones. The rules are in tests/it/oracle/answer.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::answer::any_bytes(bytes));
