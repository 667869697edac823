//! Who holds a port: told by Linux's own tables, for the error message of who cannot bind it.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::bind::Wire;

/// A socket that stands in the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Holder {
    /// What it is bound to.
    pub address: SocketAddr,
    /// Whose it is, where this process may see that: root sees all, others only their own.
    pub process: Option<Process>,
}

/// A process, as a person looks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    pub name: String,
    pub pid: u32,
}

impl Holder {
    /// The stub of systemd-resolved, which many distributions run.
    pub fn is_resolved(&self) -> bool {
        matches!(self.address.ip(), IpAddr::V4(address) if [[127, 0, 0, 53], [127, 0, 0, 54]].contains(&address.octets()))
            || self.process.as_ref().is_some_and(|process| process.name.starts_with("systemd-resolve"))
    }
}

/// `systemd-resolve (pid 312) on 127.0.0.53:53`
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.process {
            Some(Process { name, pid }) => write!(f, "{name} (pid {pid}) on {}", self.address),
            None if self.is_resolved() => write!(f, "systemd-resolved on {}", self.address),
            None => write!(f, "another process on {}", self.address),
        }
    }
}

/// How often the tables are read: one that changes while it is read may leave out what stands in it.
const READINGS: usize = 5;

/// The socket that keeps us from `wanted`; `None` where the system does not tell.
pub fn find(wire: Wire, wanted: SocketAddr) -> Option<Holder> {
    // Under `self`: with `ProcSubset=pid`, as our service runs, there is no /proc/net.
    let tables = match wire {
        Wire::Udp => ["/proc/self/net/udp", "/proc/self/net/udp6"],
        Wire::Tcp => ["/proc/self/net/tcp", "/proc/self/net/tcp6"],
    };
    let (address, inode) = (0..READINGS).flat_map(|_| tables).find_map(|table| {
        let sockets = bound(&fs::read_to_string(table).ok()?, wire);
        sockets.into_iter().find(|&(address, _)| stands_in_the_way(address, wanted))
    })?;
    Some(Holder { address, process: owner(inode) })
}

/// Same port, and the same address or one of them all addresses.
fn stands_in_the_way(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (ours, theirs) = (wanted.ip().to_canonical(), held.ip().to_canonical());
    let overlaps = if ours.is_ipv4() == theirs.is_ipv4() {
        ours == theirs || ours.is_unspecified() || theirs.is_unspecified()
    } else {
        // A socket for all of IPv6 may hold IPv4 too.
        theirs.is_ipv6() && theirs.is_unspecified()
    };
    held.port() == wanted.port() && overlaps
}

/// Bound addresses and inodes of a table of `/proc/net`; of TCP only those that listen.
fn bound(table: &str, wire: Wire) -> Vec<(SocketAddr, u64)> {
    const LISTENS: &str = "0A";
    let rows = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let &[_, local, _, state, _, _, _, _, _, inode, ..] = &fields[..] else {
            return None;
        };
        let is_bound = wire == Wire::Udp || state == LISTENS;
        is_bound.then_some((address(local)?, inode.parse().ok()?))
    });
    rows.collect()
}

/// `0100007F:0035`: the address in words of 32 bits, each in the byte order of the machine; then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(address.get(8 * at..8 * at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            Ipv6Addr::from(<[u8; 16]>::try_from(words.concat()).ok()?).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

/// The process that has the socket `inode` open.
fn owner(inode: u64) -> Option<Process> {
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|process| Some((process.file_name().to_str()?.parse().ok()?, process.path()))).find_map(
        |(pid, path)| {
            let open = fs::read_dir(path.join("fd")).ok()?.flatten();
            open.map(|descriptor| descriptor.path())
                .any(|descriptor| fs::read_link(descriptor).is_ok_and(|to| to == Path::new(&link)))
                .then(|| fs::read_to_string(path.join("comm")).ok())?
                .map(|name| Process { name: name.trim_end().to_owned(), pid })
        },
    )
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read_as_linux_writes_them() {
        let udp = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             1234: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   101        0 20551 2 0 0\n";
        assert_eq!(bound(udp, Wire::Udp), [("127.0.0.53:53".parse().unwrap(), 20551)]);
        let tcp6 = "  sl  local_address                         remote_address\n\
             0: B80D0120000000000000000001000000:0035 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 77 1\n\
             1: B80D0120000000000000000001000000:0035 00000000000000000000000000000000:1234 01 0:0 0:0 0 0 0 78 1\n\
             broken\n";
        assert_eq!(bound(tcp6, Wire::Tcp), [("[2001:db8::1]:53".parse().unwrap(), 77)]);
    }

    #[test]
    fn what_stands_in_the_way() {
        for (held, wanted, is_so) in [
            ("127.0.0.53:53", "0.0.0.0:53", true),
            ("127.0.0.53:53", "127.0.0.53:53", true),
            ("127.0.0.53:53", "192.0.2.1:53", false),
            ("127.0.0.53:53", "[::]:53", false),
            ("[::]:53", "0.0.0.0:53", true),
            ("0.0.0.0:53", "192.0.2.1:53", true),
            ("0.0.0.0:5353", "192.0.2.1:53", false),
        ] {
            assert_eq!(stands_in_the_way(held.parse().unwrap(), wanted.parse().unwrap()), is_so, "{held} {wanted}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn our_own_sockets_are_found_with_our_own_process() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        for (wire, address) in [(Wire::Udp, udp.local_addr().unwrap()), (Wire::Tcp, tcp.local_addr().unwrap())] {
            let holder = find(wire, address).unwrap();
            assert_eq!(holder.address, address);
            assert_eq!(holder.process.unwrap().pid, std::process::id());
        }
    }
}
