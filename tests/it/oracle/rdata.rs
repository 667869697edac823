//! RDATA between wire and text: what is well formed comes back as it was.

use failoverd::dns::schema::ROWS;
use failoverd::dns::{Name, Type, rdata};

use super::input::Input;

/// The first byte says which type, or that two more do, and whether the rest is wire or text.
///
/// # Panics
/// If a record does not come back.
pub fn any_bytes(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (choice, form) = (usize::from(input.byte()), input.byte());
    let rtype = ROWS.get(choice).map_or_else(|| Type(input.word()), |row| row.rtype);
    if form & 1 == 0 {
        wire(rtype, input.rest());
    } else if let Ok(text) = std::str::from_utf8(input.rest())
        && let Ok(read) = rdata::parse(rtype, text, &Name::absolute("example.com").expect("a name"))
    {
        assert_eq!(rdata::check(rtype, &read), Ok(()), "{rtype} {text}");
        wire(rtype, &read);
    }
}

fn wire(rtype: Type, bytes: &[u8]) {
    let text = rdata::print(rtype, bytes);
    assert!(!text.contains(['\n', '\r']) && text.trim_ascii() == text, "{rtype} {text:?}");
    // Canonical or not, its length is the same, and being canonical is lasting.
    let canonical = rdata::canonical(rtype, bytes);
    assert_eq!(canonical.len(), bytes.len());
    assert_eq!(rdata::canonical(rtype, &canonical), canonical);
    if rdata::check(rtype, bytes).is_err() {
        assert!(text.starts_with(r"\#"), "{rtype} {text}");
        return;
    }
    assert_eq!(rdata::check(rtype, &canonical), Ok(()));
    match rdata::parse(rtype, &text, &Name::root()) {
        Ok(again) => assert_eq!(again, bytes, "{rtype} {text}"),
        Err(fault) => panic!("{rtype} {text}: {}", fault.text),
    }
}
