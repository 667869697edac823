//! Server cookies (RFC 7873) in the interoperable form of RFC 9018: version 1, SipHash-2-4. Nodes that share a secret
//! take each other's, and those of BIND, Knot and NSD.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// Bytes of a client cookie (RFC 7873 §4.1).
const CLIENT: usize = 8;
/// Bytes of the server cookies that are ours (RFC 9018 §4): version, reserved, timestamp, hash.
const SERVER: usize = 16;
/// Bytes of any server cookie (RFC 7873 §4.2).
const SERVER_ANY: std::ops::RangeInclusive<usize> = 8..=32;
/// Of both cookies in a reply.
pub(super) const COOKIES: usize = CLIENT + SERVER;
/// The version, and three reserved bytes (RFC 9018 §4.1, §4.2).
const VERSION: [u8; 4] = [1, 0, 0, 0];

/// RFC 9018 §4.3: "between 1 hour ago and 5 minutes in the future", in seconds.
const AGE_MAX: i32 = 3600;
const AHEAD_MAX: i32 = 300;
/// The same: a new one "if the received Server Cookie is more than half an hour old".
const RENEWED_AFTER: i32 = 1800;

/// The COOKIE option of a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cookie {
    client: [u8; CLIENT],
    server: ServerCookie,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ServerCookie {
    Absent,
    /// Of a length that ours never have.
    Foreign,
    Possible([u8; SERVER]),
}

/// What a query proves of its sender's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Proof {
    /// Nothing was offered: no cookie, or that of the client alone.
    None,
    /// A server cookie that is not ours, not this client's, or too old.
    Wrong,
    /// Not long ago we sent this cookie to this address; a newer one is due or not.
    Right { is_due: bool },
}

impl Proof {
    /// True if the address is not forged: nobody else has seen the cookie.
    pub(super) fn is_proven(self) -> bool {
        matches!(self, Self::Right { .. })
    }
}

impl Cookie {
    /// `None` if the length is none that the option may have (RFC 7873 §5.2.2: FORMERR).
    pub(super) fn read(option: &[u8]) -> Option<Self> {
        let (&client, server) = option.split_first_chunk()?;
        let server = match <[u8; SERVER]>::try_from(server) {
            Ok(server) => ServerCookie::Possible(server),
            Err(_) if server.is_empty() => ServerCookie::Absent,
            Err(_) if SERVER_ANY.contains(&server.len()) => ServerCookie::Foreign,
            Err(_) => return None,
        };
        Some(Self { client, server })
    }

    /// What the cookie proves. Every secret's cookies are taken, so that secrets can be rolled over (RFC 9018 §5).
    /// `clock` is in seconds since 1970.
    pub(super) fn proof<'s>(
        &self,
        mut secrets: impl Iterator<Item = &'s [u8; 16]>,
        client: IpAddr,
        clock: u32,
    ) -> Proof {
        let server = match self.server {
            ServerCookie::Absent => return Proof::None,
            ServerCookie::Foreign => return Proof::Wrong,
            ServerCookie::Possible(server) => server,
        };
        let (head, hash) = server.split_at(SERVER / 2);
        let &[version, _, _, _, t0, t1, t2, t3] = head else { return Proof::Wrong };
        // RFC 9018 §4.3: serial number arithmetic (RFC 1982).
        let age = clock.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])).cast_signed();
        if version != VERSION[0] || !(-AHEAD_MAX..=AGE_MAX).contains(&age) {
            return Proof::Wrong;
        }
        match secrets.position(|secret| self.hash(secret, head, client) == hash) {
            Some(place) => Proof::Right { is_due: place > 0 || age > RENEWED_AFTER },
            None => Proof::Wrong,
        }
    }

    /// The option's data in the reply: the client's cookie, and its server cookie or a new one.
    pub(super) fn answered(&self, proof: Proof, secret: &[u8; 16], client: IpAddr, clock: u32) -> [u8; COOKIES] {
        let mut both = [0; COOKIES];
        both[..CLIENT].copy_from_slice(&self.client);
        let server = match (self.server, proof) {
            (ServerCookie::Possible(server), Proof::Right { is_due: false }) => server,
            _ => self.made(secret, client, clock),
        };
        both[CLIENT..].copy_from_slice(&server);
        both
    }

    /// A new server cookie (RFC 9018 §4).
    fn made(&self, secret: &[u8; 16], client: IpAddr, clock: u32) -> [u8; SERVER] {
        let mut server = [0; SERVER];
        server[..4].copy_from_slice(&VERSION);
        server[4..8].copy_from_slice(&clock.to_be_bytes());
        let hash = self.hash(secret, &server[..SERVER / 2], client);
        server[SERVER / 2..].copy_from_slice(&hash);
        server
    }

    /// RFC 9018 §4.4: SipHash-2-4 of client cookie, version, reserved, timestamp and client address, lowest byte first.
    fn hash(&self, secret: &[u8; 16], head: &[u8], client: IpAddr) -> [u8; 8] {
        let mut input = [0; CLIENT + SERVER / 2 + 16];
        input[..CLIENT].copy_from_slice(&self.client);
        input[CLIENT..CLIENT + SERVER / 2].copy_from_slice(head);
        let address = &mut input[CLIENT + SERVER / 2..];
        // A client is the same whether its IPv4 address came to a socket of IPv4 or of both.
        let length = match client.to_canonical() {
            IpAddr::V4(client) => {
                address[..4].copy_from_slice(&client.octets());
                4
            }
            IpAddr::V6(client) => {
                address.copy_from_slice(&client.octets());
                16
            }
        };
        SipHasher24::new_with_key(secret).hash(&input[..CLIENT + SERVER / 2 + length]).to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
    }

    fn cookie(hex: &str) -> Cookie {
        Cookie::read(&(0..hex.len() / 2).map(|at| bytes::<1>(&hex[2 * at..])[0]).collect::<Vec<_>>()).unwrap()
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    const OLD: &str = "dd3bdf9344b678b185a6f5cb60fca715";
    const NEW: &str = "445536bcd2513298075a5d379663c962";

    /// RFC 9018 appendix A: the client, what it sent, the secrets, when, whether that proves it, and what it gets.
    #[test]
    fn the_vectors_of_rfc_9018_appendix_a() {
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        for (client, sent, secrets, clock, proof, reply) in [
            ("198.51.100.100", "2464c4abcf10c957", &[SECRET][..], 1_559_731_985, Proof::None, learned),
            (
                "198.51.100.100",
                learned,
                &[SECRET],
                1_559_734_385,
                Proof::Right { is_due: true },
                "2464c4abcf10c957010000005cf7a871d4a564a1442aca77",
            ),
            (
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                &[NEW, OLD],
                1_559_741_961,
                Proof::Right { is_due: true },
                "22681ab97d52c298010000005cf7c609a6bb79d16625507a",
            ),
        ] {
            let (client, secrets) = (client.parse().unwrap(), secrets.iter().map(|hex| bytes(hex)).collect::<Vec<_>>());
            let asked = cookie(sent);
            assert_eq!(asked.proof(secrets.iter(), client, clock), proof, "{sent}");
            assert_eq!(asked.answered(proof, &secrets[0], client, clock), bytes(reply), "{sent}");
        }
    }

    /// A.3: the reserved bytes are hashed as they came, and are 0 in what is made.
    #[test]
    fn reserved_bytes_are_taken_as_they_are() {
        let (client, secret) = ("203.0.113.203".parse().unwrap(), bytes(SECRET));
        let asked = cookie("fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5");
        let made_at = 0x5cf7_8f71;
        assert_eq!(asked.proof([&secret].into_iter(), client, made_at), Proof::Right { is_due: false });
        let renewed = bytes("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e");
        assert_eq!(asked.answered(Proof::Wrong, &secret, client, 1_559_734_700), renewed);
    }

    #[test]
    fn a_cookie_lives_an_hour_and_is_renewed_after_half_of_it() {
        let (client, secret) = ("192.0.2.1".parse().unwrap(), bytes(SECRET));
        // Across the day on which 32 bits of seconds run over, too.
        for made in [1_800_000_000, u32::MAX - 100, 100] {
            let sent = Cookie::read(&cookie("0102030405060708").answered(Proof::None, &secret, client, made)).unwrap();
            for (age, proof) in [
                (0, Proof::Right { is_due: false }),
                (1800, Proof::Right { is_due: false }),
                (1801, Proof::Right { is_due: true }),
                (3600, Proof::Right { is_due: true }),
                (3601, Proof::Wrong),
                (-300, Proof::Right { is_due: false }),
                (-301, Proof::Wrong),
                (i32::MIN, Proof::Wrong),
            ] {
                let clock = made.wrapping_add_signed(age);
                assert_eq!(sent.proof([&secret].into_iter(), client, clock), proof, "{age}");
            }
        }
    }

    #[test]
    fn lengths_are_those_of_rfc_7873_section_5_2_2() {
        for length in 0..64 {
            let is_good = length == 8 || (16..=40).contains(&length);
            assert_eq!(Cookie::read(&vec![7; length]).is_some(), is_good, "{length}");
        }
    }

    proptest! {
        #[test]
        fn nobody_elses_cookie_is_ours(
            client: [u8; CLIENT], server: [u8; SERVER], secret: [u8; 16], at in 0..COOKIES, flip in 1..=255_u8, clock: u32,
        ) {
            let (ours, theirs) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
            let guessed = Cookie { client, server: ServerCookie::Possible(server) };
            prop_assert!(!guessed.proof([&secret].into_iter(), ours, clock).is_proven());
            let mut sent = guessed.answered(Proof::Wrong, &secret, ours, clock);
            let proof = |sent: &[u8], client| Cookie::read(sent).unwrap().proof([&secret].into_iter(), client, clock);
            prop_assert!(proof(&sent, ours).is_proven());
            prop_assert!(!proof(&sent, theirs).is_proven());
            sent[at] ^= flip;
            prop_assert!(!proof(&sent, ours).is_proven());
        }
    }
}
