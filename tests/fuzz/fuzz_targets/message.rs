//! Fuzz target: the message reader. The rules are in tests/it/oracle/message.rs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| oracle::message::any_bytes(bytes));
