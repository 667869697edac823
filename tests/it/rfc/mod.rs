//! The protocol as its documents have it: one file per RFC, tests named by section.

mod fuzz; //    any bytes, mutated queries
mod model; //   RFC 1034 §4.3.2 on random zones, against the slow one
mod options; // queries with EDNS options
mod rate; //    response rate limiting
mod rfc1034; // the algorithm, referrals, aliases
mod rfc1035; // messages, compression, truncation
mod rfc2308; // negative answers
mod rfc3597; // unknown types
mod rfc4035; // signed zones, NSEC, DS at the cut
mod rfc4592; // wildcards
mod rfc4892; // who answers, in class CH
mod rfc5001; // NSID
mod rfc5155; // NSEC3
mod rfc6672; // DNAME
mod rfc6891; // EDNS(0)
mod rfc7766; // TCP
mod rfc7828; // edns-tcp-keepalive
mod rfc7830; // padding
mod rfc7871; // client subnet
mod rfc7873; // cookies
mod rfc8020; // nothing below a missing name
mod rfc8482; // ANY
mod rfc8906; // never silence
mod rfc8914; // Extended DNS Errors
mod rfc8945; // signed queries
mod rfc9210; // operating TCP
mod rfc9460; // SVCB and HTTPS
mod rfc9471; // glue
mod rfc9619; // one question
mod signed; //  zones signed elsewhere
mod world; //   zones from text, queries, replies as text
