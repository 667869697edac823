use super::*;
use proptest::prelude::*;

const WATCH: Epoch = Epoch(7);

fn at(millis: u64) -> Moment {
    Moment::from_boot(Duration::from_millis(millis))
}

fn place(last: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], last))
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A pass that opens the wire, which is held at once.
fn hold(wires: &mut Tripwires, watch: Epoch, to: SocketAddr, now: Moment) -> Wire {
    let Some(Order::Open(wire)) = wires.passed(watch, to, || true, now) else { panic!("no wire at {now:?}") };
    assert!(wires.told(News { wire, at: now, what: What::Held }, |_| seconds(5)).is_empty());
    wire
}

fn end(wires: &mut Tripwires, wire: Wire, now: Moment) -> Vec<Epoch> {
    wires.told(News { wire, at: now, what: What::Ended }, |_| seconds(5))
}

#[test]
fn the_end_of_a_wire_asks_its_watches_once() {
    let mut wires = Tripwires::default();
    let wire = hold(&mut wires, WATCH, place(80), at(0));
    assert_eq!(wires.passed(Epoch(8), place(80), || true, at(10)), None, "one wire for both");
    assert_eq!(wires.held(), 1);
    assert_eq!(end(&mut wires, wire, at(60_000)), [WATCH, Epoch(8)]);
    assert!(end(&mut wires, wire, at(60_001)).is_empty(), "it has ended");
    assert_eq!(wires.passed(WATCH, place(80), || true, at(60_500)), None, "it rests");
    assert!(matches!(wires.passed(WATCH, place(80), || true, at(61_000)), Some(Order::Open(next)) if next != wire));
}

#[test]
fn a_watch_is_asked_once_in_its_interval() {
    let mut wires = Tripwires::default();
    let wire = hold(&mut wires, WATCH, place(80), at(0));
    assert_eq!(end(&mut wires, wire, at(1000)), [WATCH]);
    let wire = hold(&mut wires, WATCH, place(80), at(3000));
    assert!(end(&mut wires, wire, at(5999)).is_empty());
    let wire = hold(&mut wires, WATCH, place(80), at(10_000));
    assert_eq!(end(&mut wires, wire, at(17_000)), [WATCH]);
}

#[test]
fn an_age_at_which_wires_always_end_is_a_habit() {
    let mut wires = Tripwires::default();
    let mut now = 0;
    let mut asked = Vec::new();
    for age in [60_000, 60_300, 59_800, 61_000, 20_000] {
        let wire = hold(&mut wires, WATCH, place(443), at(now));
        asked.push(!end(&mut wires, wire, at(now + age)).is_empty());
        now += age + 5000;
    }
    assert_eq!(asked, [true, true, false, false, true]);
}

#[test]
fn a_server_that_wants_no_wires_gets_none() {
    let mut wires = Tripwires::default();
    let mut now = 0;
    let mut opened = 0;
    for _ in 0..1000 {
        if let Some(Order::Open(wire)) = wires.passed(WATCH, place(80), || true, at(now)) {
            opened += 1;
            wires.told(News { wire, at: at(now), what: What::Held }, |_| seconds(5));
            end(&mut wires, wire, at(now + 20));
        }
        now += 1000;
    }
    assert_eq!(opened, 3, "within a quarter of an hour");
    let other = place(81);
    let Some(Order::Open(wire)) = wires.passed(WATCH, other, || true, at(now)) else { panic!("another place") };
    assert!(wires.told(News { wire, at: at(now), what: What::Unfit }, |_| seconds(5)).is_empty());
    assert_eq!(wires.passed(WATCH, other, || true, at(now + 60_000)), None);
}

#[test]
fn a_wire_that_cannot_be_opened_asks_nobody() {
    let mut wires = Tripwires::default();
    let Some(Order::Open(wire)) = wires.passed(WATCH, place(80), || true, at(0)) else { panic!("a wire") };
    assert!(end(&mut wires, wire, at(1)).is_empty());
}

#[test]
fn the_last_watch_takes_its_wire_away() {
    let mut wires = Tripwires::default();
    let wire = hold(&mut wires, WATCH, place(80), at(0));
    wires.passed(Epoch(8), place(80), || true, at(1));
    assert_eq!(wires.down(WATCH), None);
    assert_eq!(wires.arrange(|watch| watch != Epoch(8)), [Order::Close(wire)]);
    assert!(end(&mut wires, wire, at(2)).is_empty());
    assert_eq!(wires.held(), 0);
}

#[test]
fn a_host_name_keeps_its_wire_while_its_addresses_change() {
    let mut wires = Tripwires::default();
    let wire = hold(&mut wires, WATCH, place(80), at(0));
    assert_eq!(wires.passed(WATCH, place(81), || true, at(5000)), None);
    assert_eq!(end(&mut wires, wire, at(9000)), [WATCH]);
    let next = hold(&mut wires, WATCH, place(82), at(9010));
    assert_eq!(wires.down(WATCH), Some(Order::Close(next)), "and nothing is left of the first");
    assert!(wires.places.is_empty());
}

#[test]
fn the_last_of_the_room_is_for_what_is_served() {
    let mut wires = Tripwires::default();
    let mut open = |number: usize, is_served: bool| {
        let watch = Epoch(number as u64);
        wires.passed(watch, place(u16::try_from(number).unwrap()), || is_served, at(0)).is_some()
    };
    assert!((0..STANDBY_MOST).all(|number| open(number, false)));
    assert!(!open(STANDBY_MOST, false));
    assert!((STANDBY_MOST..MOST).all(|number| open(number, true)));
    assert!(!open(MOST, true));
}

proptest! {
    /// Whatever happens: no more wires than there may be, what the edge holds is what is known here, and no watch is
    /// asked twice within its gap.
    #[test]
    fn the_books_are_kept(steps in proptest::collection::vec((0_u8..6, 0_u64..6, 0_u16..4, 1_u64..9000), 1..200)) {
        let mut wires = Tripwires::default();
        let mut edge: BTreeMap<SocketAddr, Wire> = BTreeMap::new();
        let mut asked: BTreeMap<Epoch, Moment> = BTreeMap::new();
        let mut now = 0;
        for (what, watch, port, wait) in steps {
            now += wait;
            let (watch, to) = (Epoch(watch), place(port));
            let mut orders = Vec::new();
            let mut news = None;
            match what {
                0 | 1 => orders.extend(wires.passed(watch, to, || true, at(now))),
                2 => {
                    // One that is gone has nothing to be asked for, and is a new one when it comes back.
                    orders.extend(wires.down(watch));
                    asked.remove(&watch);
                }
                3 => news = edge.get(&to).map(|&wire| (wire, What::Held)),
                4 => news = edge.remove(&to).map(|wire| (wire, What::Ended)),
                _ => news = edge.remove(&to).map(|wire| (wire, What::Unfit)),
            }
            for order in orders {
                match order {
                    Order::Open(wire) => prop_assert!(edge.insert(wire.to, wire).is_none(), "opened twice"),
                    Order::Close(wire) => prop_assert_eq!(edge.remove(&wire.to), Some(wire)),
                }
            }
            if let Some((wire, what)) = news {
                for watch in wires.told(News { wire, at: at(now), what }, |_| seconds(60)) {
                    prop_assert_eq!(wires.watches.get(&watch).map(|one| one.to), Some(wire.to));
                    if let Some(before) = asked.insert(watch, at(now)) {
                        prop_assert!(at(now).since(before) >= GAP, "asked too often");
                    }
                }
            }
            prop_assert_eq!(edge.len(), wires.places.values().filter(|one| !matches!(one.state, State::Rests { .. })).count());
        }
    }
}
