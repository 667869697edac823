//! One probe against several addresses: it passes as soon as one of them does.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

/// Addresses of one host name that are tried.
pub(super) const RUNNERS: usize = 4;
/// The next address starts this long after the one before it, or as soon as one has failed. A healthy origin answers
/// the connect in less, so a probe of it costs it one connection.
pub(super) const STAGGER: Duration = Duration::from_millis(100);

/// Up to [`RUNNERS`] of `addresses`, the families by turns: a host name with eight IPv6 addresses must not hide that
/// the one IPv4 address works, nor the other way round. Where there are more, each family begins at its `turn`, so that
/// probes of different turns find what works among all of them.
pub(super) fn field(addresses: &[IpAddr], turn: usize) -> Vec<IpAddr> {
    let family = |is_v4: bool| {
        let mut family: Vec<IpAddr> = addresses.iter().copied().filter(|address| address.is_ipv4() == is_v4).collect();
        if addresses.len() > RUNNERS && !family.is_empty() {
            let turn = turn % family.len();
            family.rotate_left(turn);
        }
        family.into_iter()
    };
    let (mut v4, mut v6) = (family(true), family(false));
    let mut field = Vec::with_capacity(RUNNERS);
    while field.len() < RUNNERS {
        let pair = [v4.next(), v6.next()];
        if pair == [None, None] {
            break;
        }
        field.extend(pair.into_iter().flatten());
    }
    field.truncate(RUNNERS);
    field
}

/// For every other confirmation: what a first address of one family could not show, one of the other may at once.
pub(super) fn other_family_first(mut field: Vec<IpAddr>, confirmation: u8) -> Vec<IpAddr> {
    let first = field.first().map(IpAddr::is_ipv4);
    let other = field.iter().position(|address| Some(address.is_ipv4()) != first);
    if let Some(other) = other.filter(|_| confirmation % 2 == 1) {
        field.swap(0, other);
    }
    field
}

/// Runs `attempts`, at most so far apart, until one of them `is_won`; the rest are dropped. All results that came, by the
/// order of `attempts`: the last one that came is the winner, if there is one.
pub(super) async fn run<T, F: Future<Output = T>>(
    attempts: Vec<F>,
    apart: Duration,
    is_won: impl Fn(&T) -> bool,
) -> Race<T> {
    let mut waiting = attempts.into_iter().map(Box::pin).enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    let mut lost: Vec<(usize, T)> = Vec::new();
    loop {
        running.extend(waiting.next());
        if running.is_empty() {
            lost.sort_unstable_by_key(|&(index, _)| index);
            return Race::Lost(lost.into_iter().map(|(_, result)| result).collect());
        }
        let next = first(&mut running);
        let came = if waiting.len() > 0 { timeout(apart, next).await.ok() } else { Some(next.await) };
        match came {
            Some((_, result)) if is_won(&result) => return Race::Won(result),
            Some(result) => lost.push(result),
            None => {}
        }
    }
}

/// How a race ended.
pub(super) enum Race<T> {
    Won(T),
    /// All of them, in the order they were given.
    Lost(Vec<T>),
}

/// The first of `running` to end, taken out.
async fn first<T, F: Future<Output = T>>(running: &mut Vec<(usize, Pin<Box<F>>)>) -> (usize, T) {
    poll_fn(|context| {
        for position in 0..running.len() {
            let (index, attempt) = &mut running[position];
            if let Poll::Ready(result) = attempt.as_mut().poll(context) {
                let index = *index;
                drop(running.swap_remove(position));
                return Poll::Ready((index, result));
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_up_to_four() {
        let all = addresses(&["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"]);
        assert_eq!(field(&all, 0), addresses(&["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"]));
        let v4 = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]);
        assert_eq!(field(&v4, 0), v4[..4]);
        assert!(field(&[], 1).is_empty());
    }

    #[test]
    fn of_more_than_four_each_has_its_turn_and_of_four_the_order_stays() {
        let v4 = addresses(&["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]);
        assert_eq!(field(&v4, 7), addresses(&["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.1"]));
        assert_eq!(field(&v4[..4], 7), v4[..4]);
        let both = [&v4[..3], &addresses(&["2001:db8::1", "2001:db8::2", "2001:db8::3"])].concat();
        assert_eq!(field(&both, 2), addresses(&["192.0.2.3", "2001:db8::3", "192.0.2.1", "2001:db8::1"]));
        let seen: std::collections::BTreeSet<_> = (0..3).flat_map(|turn| field(&both, turn)).collect();
        assert_eq!(seen.len(), both.len());
    }

    #[test]
    fn every_other_confirmation_begins_with_the_other_family() {
        let all = addresses(&["192.0.2.1", "2001:db8::1", "192.0.2.2"]);
        let turned = addresses(&["2001:db8::1", "192.0.2.1", "192.0.2.2"]);
        for (number, expected) in [(1, &turned), (2, &all), (3, &turned)] {
            assert_eq!(other_family_first(all.clone(), number), **expected, "confirmation {number}");
        }
        assert_eq!(other_family_first(all[..1].to_vec(), 1), all[..1], "there is no other");
    }

    #[tokio::test]
    async fn the_first_pass_wins_past_one_that_hangs_and_one_that_fails() {
        let attempts: Vec<Pin<Box<dyn Future<Output = i32>>>> =
            vec![Box::pin(pending()), Box::pin(ready(-1)), Box::pin(ready(7)), Box::pin(pending())];
        let Race::Won(result) = run(attempts, STAGGER, |&result| result > 0).await else { panic!("nobody won") };
        assert_eq!(result, 7);
    }

    #[tokio::test]
    async fn all_failures_come_back_in_the_order_of_the_addresses() {
        let last = tokio::sync::Notify::new();
        let attempts = (0..4).map(|index| {
            let last = &last;
            async move {
                match index {
                    0 => last.notified().await,
                    3 => last.notify_one(),
                    _ => {}
                }
                index
            }
        });
        let Race::Lost(results) = run(attempts.collect(), STAGGER, |_| false).await else { panic!("somebody won") };
        assert_eq!(results, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn a_healthy_first_address_is_the_only_one_asked() {
        let asked = std::cell::Cell::new(0);
        let attempts = (0..4).map(|_| async {
            asked.set(asked.get() + 1);
            tokio::task::yield_now().await;
            true
        });
        assert!(matches!(run(attempts.collect(), STAGGER, |&passed| passed).await, Race::Won(true)));
        assert_eq!(asked.get(), 1);
    }
}
