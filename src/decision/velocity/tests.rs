use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::time::Wall;

fn at(seconds: u64) -> Now {
    let wall = Wall::from_millis(i64::try_from(seconds * 1000).unwrap());
    Now { moment: Moment::from_boot(Duration::from_secs(seconds)), wall }
}

fn confirm(names: usize, per: u64, longer: u64) -> Velocity {
    let beyond = Beyond::Confirm { longer: Duration::from_secs(longer) };
    Velocity::new(Some(Limit { names, per: Duration::from_secs(per), beyond }))
}

fn person(names: usize, per: u64) -> Velocity {
    Velocity::new(Some(Limit { names, per: Duration::from_secs(per), beyond: Beyond::Person }))
}

fn wish(name: u32, to: Place, is_dead: bool) -> Wish {
    Wish { name: SteerId(name), to, is_dead }
}

/// Names whose primary is dead want to go to the backup.
fn fail_over(velocity: &mut Velocity, names: impl IntoIterator<Item = u32>, now: u64) -> Vec<u32> {
    let wishes: Vec<_> = names.into_iter().map(|name| wish(name, Place::Backup(1), true)).collect();
    numbers(velocity.weigh(&wishes, at(now)))
}

/// Names whose backup works want to go back.
fn fail_back(velocity: &mut Velocity, names: impl IntoIterator<Item = u32>, now: u64) -> Vec<u32> {
    let wishes: Vec<_> = names.into_iter().map(|name| wish(name, Place::Primary, false)).collect();
    numbers(velocity.weigh(&wishes, at(now)))
}

fn numbers(names: impl IntoIterator<Item = SteerId>) -> Vec<u32> {
    names.into_iter().map(|name| name.0).collect()
}

fn due(velocity: &Velocity, now: u64) -> Vec<u32> {
    numbers(velocity.due(at(now).moment))
}

fn deadline(velocity: &Velocity) -> Option<u64> {
    velocity.next_deadline().map(|at| at.since_boot().as_secs())
}

#[test]
fn without_a_limit_all_move() {
    let mut velocity = Velocity::default();
    assert_eq!(fail_over(&mut velocity, 0..5, 0), [0, 1, 2, 3, 4]);
    assert_eq!((velocity.len(), velocity.room(at(0).moment), deadline(&velocity)), (0, None, None));
}

#[test]
fn the_first_of_the_file_move_and_the_rest_waits_for_the_window_to_slide() {
    let mut velocity = confirm(2, 60, 30);
    assert_eq!(fail_over(&mut velocity, 0..5, 100), [0, 1]);
    assert_eq!((velocity.len(), velocity.room(at(100).moment)), (3, Some(0)));
    assert_eq!(deadline(&velocity), Some(160));
    assert_eq!((due(&velocity, 159), due(&velocity, 160)), (vec![], vec![2, 3]));
    assert_eq!(fail_over(&mut velocity, [2, 3], 160), [2, 3]);
    assert_eq!(deadline(&velocity), Some(220));
    assert_eq!(fail_over(&mut velocity, [4], 220), [4]);
    assert_eq!((velocity.is_empty(), velocity.room(at(220).moment), deadline(&velocity)), (true, Some(1), None));
    assert_eq!(velocity.room(at(280).moment), Some(2));
}

#[test]
fn room_comes_back_move_by_move() {
    let mut velocity = confirm(2, 60, 1);
    assert_eq!(fail_over(&mut velocity, [0], 100), [0]);
    assert_eq!(fail_over(&mut velocity, [1], 140), [1]);
    assert_eq!(fail_over(&mut velocity, [2, 3], 150), [0; 0]);
    assert_eq!((deadline(&velocity), due(&velocity, 160)), (Some(160), vec![2]));
    assert_eq!(fail_over(&mut velocity, [2], 160), [2]);
    assert_eq!(deadline(&velocity), Some(200));
}

#[test]
fn whoever_waits_needs_longer_confirmation_of_the_same_wish() {
    let mut velocity = confirm(1, 10, 30);
    assert_eq!(fail_over(&mut velocity, 0..2, 100), [0]);
    assert_eq!(deadline(&velocity), Some(130), "there is room at 110, but it has not waited for long enough");
    assert_eq!(fail_over(&mut velocity, [1], 115), [0; 0]);
    // It wants something else now: that is a new wish, and no new name.
    assert_eq!(numbers(velocity.weigh(&[wish(1, Place::Emergency, true)], at(120))), [0; 0]);
    assert_eq!(deadline(&velocity), Some(150));
    assert_eq!(numbers(velocity.weigh(&[wish(1, Place::Emergency, true)], at(150))), [1]);
}

#[test]
fn nobody_overtakes_those_that_wait() {
    let mut velocity = confirm(1, 10, 30);
    assert_eq!(fail_over(&mut velocity, 0..2, 100), [0]);
    assert_eq!(fail_over(&mut velocity, [2], 115), [0; 0], "there is room, and another was first");
    assert_eq!(fail_over(&mut velocity, 1..3, 130), [1]);
    assert_eq!(deadline(&velocity), Some(145));
}

#[test]
fn a_failover_comes_before_a_failback() {
    let mut velocity = confirm(1, 60, 1);
    let both = [wish(0, Place::Primary, false), wish(7, Place::Backup(1), true)];
    assert_eq!(numbers(velocity.weigh(&both, at(100))), [7]);
    assert_eq!(fail_over(&mut velocity, [8], 150), [0; 0]);
    assert_eq!(due(&velocity, 160), [8], "though the failback has waited for longer");
    assert_eq!(fail_over(&mut velocity, [8], 160), [8]);
    assert_eq!(fail_back(&mut velocity, [0], 220), [0]);
}

#[test]
fn a_failback_becomes_a_failover_when_its_rung_dies() {
    let mut velocity = confirm(1, 60, 1);
    assert_eq!(fail_back(&mut velocity, 0..4, 100), [0]);
    assert_eq!(numbers(velocity.weigh(&[wish(3, Place::Primary, true)], at(110))), [0; 0]);
    assert_eq!(velocity.waits(SteerId(3)).map(|waits| waits.since), Some(at(100)));
    assert_eq!(due(&velocity, 160), [3]);
}

#[test]
fn who_is_new_does_not_wait_behind_failbacks() {
    let mut velocity = confirm(2, 60, 90);
    assert_eq!(fail_back(&mut velocity, 0..4, 100), [0, 1]);
    assert_eq!(fail_over(&mut velocity, [9], 160), [9]);
    assert_eq!(fail_back(&mut velocity, [8], 161), [0; 0], "but another failback does");
}

#[test]
fn a_person_decides_for_those_that_wait_and_not_for_who_is_new() {
    let mut velocity = person(2, 60);
    assert_eq!(fail_over(&mut velocity, 0..4, 100), [0, 1]);
    assert_eq!((deadline(&velocity), due(&velocity, 999)), (None, vec![]));
    assert_eq!(fail_over(&mut velocity, [2, 3, 4], 160), [4]);
    // Approved: it moves without asking, and takes no room.
    assert!(velocity.withdraw(SteerId(2)));
    assert_eq!(velocity.room(at(160).moment), Some(1));
    // The origin was back for a moment.
    assert!(velocity.withdraw(SteerId(3)) && !velocity.withdraw(SteerId(3)));
    assert_eq!(fail_over(&mut velocity, [3], 170), [3]);
}

#[test]
fn a_reload_keeps_what_moved_and_who_waits() {
    let mut velocity = confirm(3, 60, 1);
    assert_eq!(fail_over(&mut velocity, 0..6, 100), [0, 1, 2]);
    let stricter = Limit { names: 1, per: Duration::from_secs(90), beyond: velocity.limit().unwrap().beyond };
    // The fourth name is gone, those behind it have other numbers.
    let moved = |name: SteerId| (name.0 != 4).then(|| SteerId(name.0 - u32::from(name.0 > 4)));
    velocity.arrange(Some(stricter), moved);
    assert_eq!(numbers(velocity.all()), [3, 4]);
    assert_eq!((deadline(&velocity), velocity.room(at(150).moment)), (Some(190), Some(0)));
    assert_eq!(due(&velocity, 190), [3]);
    velocity.arrange(None, Some);
    assert_eq!((deadline(&velocity), due(&velocity, 500)), (None, vec![]));
    assert_eq!(fail_over(&mut velocity, [3], 191), [3]);
}

/// What may happen to a crowd of names.
#[derive(Clone, Debug)]
enum Act {
    Pass(u64),
    /// These names want to go there.
    Want(Vec<u32>, u8, bool),
    /// Its wish is gone, or a person approved it.
    Withdraw(u32),
    Limit(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0u64..40).prop_map(Act::Pass),
        (vec(0u32..20, 1..12), 1u8..3, any::<bool>()).prop_map(|(names, to, dead)| Act::Want(names, to, dead)),
        (0u32..20).prop_map(Act::Withdraw),
    ];
    vec(prop_oneof![12 => act, 1 => (1usize..6).prop_map(Act::Limit)], 1..60)
}

/// The crowd as the controller handles it: who is due is weighed again, and moves are counted.
struct Crowd {
    velocity: Velocity,
    now: u64,
    /// What each name wants.
    wants: BTreeMap<u32, Wish>,
    /// When each move was, and the limit then.
    moves: Vec<(u64, usize)>,
}

impl Crowd {
    fn weigh(&mut self, wishes: &[Wish]) {
        let names = self.velocity.limit().unwrap().names;
        for name in self.velocity.weigh(wishes, at(self.now)) {
            assert!(self.wants.remove(&name.0).is_some(), "only who wants to moves");
            self.moves.push((self.now, names));
        }
        let waiting: Vec<u32> = numbers(self.velocity.all());
        assert_eq!(waiting, self.wants.keys().copied().collect::<Vec<_>>(), "who wants to and did not waits");
    }

    /// As the control loop: wakes at each deadline up to then.
    fn pass(&mut self, seconds: u64) {
        let end = self.now + seconds;
        while let Some(at) = deadline(&self.velocity).filter(|&at| at <= end) {
            self.now = self.now.max(at);
            let due: Vec<Wish> = due(&self.velocity, self.now).iter().map(|name| self.wants[name]).collect();
            assert!(!due.is_empty(), "woken for nothing");
            let before = self.moves.len();
            self.weigh(&due);
            assert_eq!(self.moves.len() - before, due.len(), "all that are due move");
        }
        self.now = end;
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Pass(seconds) => self.pass(seconds),
            Act::Want(names, to, is_dead) => {
                self.wants.extend(names.iter().map(|&name| (name, wish(name, Place::Backup(to), is_dead))));
                let names: BTreeSet<u32> = names.into_iter().chain(due(&self.velocity, self.now)).collect();
                let wishes: Vec<Wish> = names.iter().map(|name| self.wants[name]).collect();
                self.weigh(&wishes);
            }
            Act::Withdraw(name) => {
                assert_eq!(self.velocity.withdraw(SteerId(name)), self.wants.remove(&name).is_some());
            }
            Act::Limit(names) => {
                let limit = self.velocity.limit().map(|limit| Limit { names, ..limit });
                self.velocity.arrange(limit, Some);
            }
        }
    }

    /// No window of this length holds more moves than its last move was allowed.
    fn is_never_exceeded(&self, per: u64) {
        for (index, &(at, names)) in self.moves.iter().enumerate() {
            let recent = self.moves[..=index].iter().filter(|&&(other, _)| other + per > at).count();
            assert!(recent <= names, "{recent} moves in the {per} s until {at}, {names} are allowed: {:?}", self.moves);
        }
    }
}

proptest! {
    #[test]
    fn the_limit_is_never_exceeded_and_nothing_waits_while_there_is_room(
        acts in acts(), names in 1usize..6, per in 1u64..50, longer in 1u64..50, is_person in any::<bool>(),
    ) {
        let velocity = if is_person { person(names, per) } else { confirm(names, per, longer) };
        let mut crowd = Crowd { velocity, now: 1000, wants: BTreeMap::new(), moves: Vec::new() };
        for act in acts {
            crowd.act(act);
            crowd.is_never_exceeded(per);
            if !is_person {
                // Who is first in line waits for room, or for its time.
                let next = deadline(&crowd.velocity);
                prop_assert_eq!(next.is_some(), !crowd.velocity.is_empty());
            }
        }
        // When nothing happens any more, all that wait move: in so many windows as they need.
        let left = crowd.velocity.len() as u64;
        crowd.pass(longer + per * (left + 1));
        crowd.is_never_exceeded(per);
        prop_assert_eq!(crowd.velocity.len() as u64, if is_person { left } else { 0 });
    }
}
