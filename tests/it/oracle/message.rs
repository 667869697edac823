//! The message reader: what it finds is within the message, and reading twice finds the same.

use failoverd::answer::{Defect, read};
use failoverd::dns::message::{HEADER, Header, Opt, record, skip_name};
use failoverd::dns::name::{Name, wire_length};
use failoverd::dns::{Class, Type};

use super::asked::{self, Sense};

/// # Panics
/// If a place is outside the message, or the readers disagree.
pub fn any_bytes(bytes: &[u8]) {
    places(bytes);
    query(bytes);
    names(bytes);
}

fn places(bytes: &[u8]) {
    assert_eq!(Header::read(bytes).is_some(), bytes.len() >= HEADER);
    for at in [0, 1, HEADER, bytes.len() / 2, bytes.len(), bytes.len() + 1, usize::MAX / 2] {
        let end = skip_name(bytes, at);
        assert!(end.is_none_or(|end| at < end && end <= bytes.len() && end - at <= 256));
        let Some(view) = record(bytes, at) else { continue };
        assert!(view.owner == at && end.is_some_and(|end| end + 10 == view.rdata.start));
        assert!(view.rdata.start <= view.rdata.end && view.rdata.end <= bytes.len());
        if let Some(opt) = Opt::read(bytes, &view) {
            assert!(bytes.get(opt.options.clone()).is_some() && opt.size == view.class.0);
        }
    }
}

fn query(bytes: &[u8]) {
    let (ask, slow) = (read(bytes), asked::read(bytes));
    assert_eq!(format!("{ask:?}"), format!("{:?}", read(bytes)), "twice the same");
    assert_eq!(ask.defect == Some(Defect::Unanswerable), slow.sense == Sense::None);
    if ask.defect == Some(Defect::Unanswerable) {
        return;
    }
    assert!(ask.question_end() <= bytes.len());
    assert_eq!((ask.header.id, ask.header.flags), (slow.id, slow.flags));
    if ask.has_question() {
        assert!(wire_length(ask.name()) == Ok(ask.name().len()) && !ask.name().iter().any(u8::is_ascii_uppercase));
    }
    match slow.sense {
        Sense::None | Sense::Doubtful => {}
        Sense::Malformed => assert!(ask.defect.is_some(), "malformed, and taken: {ask:?}"),
        Sense::Fine => {
            assert!(!matches!(ask.defect, Some(Defect::Malformed | Defect::Unanswerable)), "refused: {slow:?}");
            let question = slow.question.as_ref().map(|(name, rtype, class)| (name.folded(), *rtype, Class(*class)));
            let ours = Name::from_wire(ask.name()).ok().map(|name| (name, ask.qtype, ask.qclass));
            assert_eq!(ours, question);
            assert_eq!(ask.question_end(), HEADER + slow.question_bytes.len());
            let said = ask.opt.as_ref().map(|opt| (opt.size, opt.version, opt.wants_dnssec()));
            assert_eq!(said, slow.opt.as_ref().map(|opt| (opt.size, opt.version, opt.wants_dnssec)));
        }
    }
}

/// Names between wire and text.
fn names(bytes: &[u8]) {
    if let Ok(name) = Name::from_wire(bytes) {
        let text = name.to_string();
        let again = Name::parse(text.as_bytes(), None).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(again.as_wire(), bytes, "{text}");
        assert_eq!(name.labels().map(|label| label.len() + 1).sum::<usize>() + 1, bytes.len());
        assert!(name.parent().is_none_or(|parent| name.is_within(&parent) && !parent.is_within(&name)));
    }
    if let Ok(name) = Name::parse(bytes, Some(&Name::root())) {
        assert_eq!(Name::from_wire(name.as_wire()).as_ref(), Ok(&name));
        assert!(name.folded() == name && name.cmp(&name.folded()).is_eq());
    }
    assert!(Type::from_bytes(bytes).is_none_or(|rtype| Type::from_mnemonic(&rtype.to_string()) == Some(rtype)));
}
