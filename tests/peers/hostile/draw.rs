//! What is sent: queries of all kinds, and what can be done to them. All of it follows from a seed.

use failoverd::answer::{Desk, Draw};

/// Longest packet; the daemon reads 4096 bytes.
const LONGEST: usize = 4000;

const NAMES: [&[u8]; 22] = [
    b"\x07hostile\x04test\0",
    b"\x03www\x07hostile\x04test\0",
    b"\x03WwW\x07HOSTILE\x04tEsT\0",
    b"\x03big\x07hostile\x04test\0",
    b"\x04many\x07hostile\x04test\0",
    b"\x05alias\x07hostile\x04test\0",
    b"\x04ring\x07hostile\x04test\0",
    b"\x04dead\x07hostile\x04test\0",
    b"\x01x\x04wild\x07hostile\x04test\0",
    b"\x01a\x01b\x01c\x04wild\x07hostile\x04test\0",
    b"\x01*\x04wild\x07hostile\x04test\0",
    b"\x01x\x03old\x07hostile\x04test\0",
    b"\x01x\x03sub\x07hostile\x04test\0",
    b"\x03sub\x07hostile\x04test\0",
    b"\x01x\x04wide\x07hostile\x04test\0",
    b"\x01c\x04deep\x07hostile\x04test\0",
    b"\x04_sip\x04_tcp\x07hostile\x04test\0",
    b"\x06nobody\x07hostile\x04test\0",
    b"\x06static\x07example\x04test\0",
    b"\x07example\x03org\0",
    b"\x04test\0",
    b"\0",
];

const TYPES: [u16; 26] =
    [1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 41, 43, 46, 47, 48, 50, 64, 65, 128, 249, 250, 251, 252, 255, 257, 65_535];
const SIZES: [u16; 10] = [0, 1, 511, 512, 513, 1231, 1232, 1233, 4096, 65_535];
const OPTIONS: [u16; 12] = [0, 3, 5, 8, 9, 10, 11, 12, 13, 15, 16, 65_001];

/// A stream of packets.
pub(super) struct Hostile {
    draw: Draw,
}

impl Hostile {
    pub(super) fn new(seed: u64) -> Self {
        Self { draw: Desk::new(seed).draw }
    }

    /// Evenly from `0..below`.
    pub(super) fn below(&mut self, below: usize) -> usize {
        (self.draw.number() % below.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn word(&mut self) -> [u8; 2] {
        (self.draw.number() as u16).to_be_bytes()
    }

    fn noise(&mut self, into: &mut Vec<u8>, length: usize) {
        into.extend((0..length.div_ceil(8)).flat_map(|_| self.draw.number().to_le_bytes()).take(length));
    }

    /// Writes the next packet.
    pub(super) fn write(&mut self, packet: &mut Vec<u8>) {
        packet.clear();
        match self.below(40) {
            0 => {
                let length = self.below(600);
                self.noise(packet, length);
            }
            1 => {
                let length = self.below(12);
                self.noise(packet, length);
            }
            2 => self.giant(packet),
            _ => self.query(packet),
        }
        for _ in 0..self.pick(&[0, 0, 1, 1, 2, 3]) {
            self.mutate(packet);
        }
        packet.truncate(LONGEST);
    }

    /// A whole query, with OPT or without.
    fn query(&mut self, packet: &mut Vec<u8>) {
        let flags = self.pick(&[0x0000_u16, 0x0100, 0x0110, 0x0120, 0x0140]);
        packet.extend([0, 0]);
        packet.extend(flags.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        match self.below(12) {
            0 => self.long_name(packet),
            1 => {
                packet.push(8);
                self.noise(packet, 8);
                packet.extend(b"\x07hostile\x04test\0");
            }
            _ => packet.extend(self.pick(&NAMES)),
        }
        packet.extend(self.pick(&TYPES).to_be_bytes());
        packet.extend(self.pick(&[1_u16, 1, 1, 1, 1, 1, 3, 4, 254, 255, 0]).to_be_bytes());
        if self.below(2) == 0 {
            self.opt(packet);
        }
    }

    /// 255 bytes, of many labels or of few.
    fn long_name(&mut self, packet: &mut Vec<u8>) {
        let label = self.pick(&[1_usize, 3, 63]);
        let tail = b"\x07hostile\x04test\0";
        let mut left = 255 - tail.len();
        while left > 1 {
            let length = label.min(left - 1);
            packet.push(length as u8);
            packet.extend(std::iter::repeat_n(b'l', length));
            left -= length + 1;
        }
        packet.extend(tail);
    }

    /// A query with far more in it than a query has.
    fn giant(&mut self, packet: &mut Vec<u8>) {
        self.query(packet);
        let end = self.below(LONGEST);
        let mut records = 0_u16;
        while packet.len() < end {
            packet.extend(b"\xc0\x0c\0\x10\0\x01\0\0\0\0\0\x04\x03abc");
            records += 1;
        }
        let section = self.pick(&[6, 8, 10]);
        if let Some(count) = packet.get_mut(section..section + 2) {
            count.copy_from_slice(&records.to_be_bytes());
        }
    }

    /// One more OPT in the additional section, with options that may lie about their length.
    fn opt(&mut self, packet: &mut Vec<u8>) {
        if let Some(count) = packet.get_mut(11) {
            *count = count.wrapping_add(1);
        }
        packet.extend([0, 0, 41]);
        packet.extend(self.pick(&SIZES).to_be_bytes());
        let version = self.pick(&[0, 0, 0, 0, 0, 1, 255]);
        packet.extend([0, version]);
        packet.extend(self.pick(&[0_u16, 0x8000, 0x4000, 0xffff]).to_be_bytes());
        let mut options = Vec::new();
        for _ in 0..self.pick(&[0, 0, 0, 1, 1, 2, 20]) {
            let length = self.pick(&[0, 1, 4, 8, 16, 24, 40, 41, 300]);
            let told = if self.below(10) == 0 { self.word() } else { (length as u16).to_be_bytes() };
            options.extend(self.pick(&OPTIONS).to_be_bytes());
            options.extend(told);
            self.noise(&mut options, length);
        }
        let told = if self.below(20) == 0 { self.word() } else { (options.len() as u16).to_be_bytes() };
        packet.extend(told);
        packet.extend(options);
    }

    /// Does one hostile thing to a packet.
    fn mutate(&mut self, packet: &mut Vec<u8>) {
        let length = packet.len();
        let at = self.below(length);
        match self.below(15) {
            0 => {
                for _ in 0..=self.below(8) {
                    let at = self.below(length);
                    let bit = 1 << self.below(8);
                    packet.get_mut(at).into_iter().for_each(|byte| *byte ^= bit);
                }
            }
            1 => packet.truncate(at),
            2 => {
                let value = self.below(256) as u8;
                packet.get_mut(at).into_iter().for_each(|byte| *byte = value);
            }
            // A count that lies.
            3 => {
                let count = match self.below(4) {
                    0 => [0, 0],
                    1 => [0, 2],
                    2 => [0xff, 0xff],
                    _ => self.word(),
                };
                let at = self.pick(&[4, 6, 8, 10]);
                self.put(packet, at, &count);
            }
            // Any opcode and flags; half of them are replies.
            4 => {
                let flags = self.word();
                self.put(packet, 2, &flags);
            }
            5 => {
                let opcode = (self.below(16) as u8) << 3;
                self.put(packet, 2, &[opcode]);
            }
            // Pointers, to themselves too.
            6 => {
                let target = self.below(length + 4);
                let pointer = (0xc000 | target as u16).to_be_bytes();
                let at = self.pick(&[12, at, target]);
                self.put(packet, at, &pointer);
            }
            // The first label lies about its length.
            7 => {
                let label = self.below(256) as u8;
                self.put(packet, 12, &[label]);
            }
            8 => self.opt(packet),
            // Signed by nobody (RFC 8945).
            9 => {
                packet.get_mut(11).into_iter().for_each(|count| *count = count.wrapping_add(1));
                packet.extend(b"\x03key\0\0\xfa\0\xff\0\0\0\0\0\x2a\x0bhmac-sha256\0\0\0\0\0\0\0\x01\x2c\0\x10");
                self.noise(packet, 16);
                packet.extend([0, 0, 0, 0, 0, 0]);
            }
            10 => {
                let noise = self.below(64);
                self.noise(packet, noise);
            }
            11 => {
                let (rtype, class) = (self.word(), self.word());
                if let Some(end) = packet.get(12..).and_then(|name| name.iter().position(|&byte| byte == 0)) {
                    self.put(packet, 13 + end, &[rtype, class].concat());
                }
            }
            // A part of it twice.
            12 => {
                let end = (at + self.below(64)).min(length);
                let copy = packet[at.min(length)..end].to_vec();
                packet.splice(at..at, copy);
            }
            13 => {
                let end = (at + self.below(16)).min(length);
                packet.drain(at.min(length)..end);
            }
            // A record where a query has none.
            _ => {
                let count = self.pick(&[7, 9, 11]);
                packet.get_mut(count).into_iter().for_each(|count| *count = count.wrapping_add(1));
                packet.extend(b"\xc0\x0c");
                packet.extend(self.pick(&TYPES).to_be_bytes());
                packet.extend([0, 1, 0, 0, 0, 0]);
                let told = if self.below(3) == 0 { self.word() } else { [0, 4] };
                packet.extend(told);
                packet.extend(b"abcd");
            }
        }
    }

    /// Overwrites what is there from `at` on.
    fn put(&mut self, packet: &mut [u8], at: usize, bytes: &[u8]) {
        packet.iter_mut().skip(at).zip(bytes).for_each(|(old, &new)| *old = new);
    }
}

/// The same seed sends the same packets, and few of them are equal.
#[test]
fn packets_follow_from_the_seed() {
    let packets = |seed| {
        let mut hostile = Hostile::new(seed);
        let mut all = Vec::new();
        for _ in 0..2000 {
            let mut packet = Vec::new();
            hostile.write(&mut packet);
            all.push(packet);
        }
        all
    };
    let first = packets(7);
    assert_eq!(first, packets(7));
    let distinct: std::collections::BTreeSet<_> = first.iter().collect();
    assert!(distinct.len() > 1200 && first != packets(8), "{}", distinct.len());
    let mean = first.iter().map(Vec::len).sum::<usize>() / first.len();
    assert!((40..400).contains(&mean), "{mean} bytes");
}
