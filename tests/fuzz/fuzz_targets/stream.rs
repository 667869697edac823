//! Fuzz target: TCP framing. The rules are in tests/it/oracle/stream.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::stream::any_bytes(bytes));
