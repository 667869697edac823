//! Who answers, and what version of it: TXT of class CH, which monitoring asks for (RFC 4892).

use crate::answer::query::Ask;
use crate::answer::reply::Writer;
use crate::config::Answering;
use crate::dns::Type;

/// What is told of us.
const VERSION: &str = concat!("failoverd ", env!("CARGO_PKG_VERSION"));

/// What a name of class CH asks for.
#[derive(Clone, Copy)]
enum About {
    Node,
    Version,
}

fn about(name: &[u8]) -> Option<About> {
    match name {
        // RFC 4892 §2, and what BIND called it before.
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => Some(About::Node),
        b"\x07version\x06server\0" | b"\x07version\x04bind\0" => Some(About::Version),
        _ => None,
    }
}

/// True if we could answer it, were it allowed. Knot and NSD refuse all other names and types too.
pub(super) fn knows(ask: &Ask) -> bool {
    matches!(ask.qtype, Type::TXT | Type::ANY) && about(ask.name()).is_some()
}

/// Writes the answer. It is of no zone, and so not authoritative.
pub(super) fn tell(ask: &Ask, by: &Answering, out: &mut Writer<'_>) {
    let text = match about(ask.name()) {
        Some(About::Node) => &by.name,
        Some(About::Version) => VERSION,
        None => return,
    };
    out.is_truncated = out.put_chaos(text).is_err();
}
