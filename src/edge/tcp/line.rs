//! Lines that numbered places stand in: joining, leaving and asking who is first are a few reads or writes each.
//!
//! They take no memory but the links of the places, so that a connection that comes and goes allocates nothing for them.

/// Stands for nobody.
const NOBODY: u32 = u32::MAX;

/// Of each place, who stands before and behind it, in the one line that it stands in.
#[derive(Default)]
pub(super) struct Links(Vec<Link>);

#[derive(Clone, Copy)]
struct Link {
    before: u32,
    behind: u32,
}

impl Links {
    /// Makes room for one more place.
    pub(super) fn add(&mut self) {
        self.0.push(Link { before: NOBODY, behind: NOBODY });
    }

    fn at(&mut self, place: u32) -> Option<&mut Link> {
        self.0.get_mut(place as usize)
    }
}

/// Who came first stands first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line {
    first: u32,
    last: u32,
}

impl Default for Line {
    fn default() -> Self {
        Self { first: NOBODY, last: NOBODY }
    }
}

impl Line {
    pub(super) fn first(self) -> Option<u32> {
        (self.first != NOBODY).then_some(self.first)
    }

    /// `place`, which stands in no line of these links, comes last.
    pub(super) fn join(&mut self, place: u32, links: &mut Links) {
        let Some(own) = links.at(place) else { return };
        *own = Link { before: self.last, behind: NOBODY };
        match links.at(self.last) {
            Some(last) => last.behind = place,
            None => self.first = place,
        }
        self.last = place;
    }

    /// `place`, which stands in this line, leaves it.
    pub(super) fn leave(&mut self, place: u32, links: &mut Links) {
        let Some(&mut Link { before, behind }) = links.at(place) else { return };
        match links.at(before) {
            Some(link) => link.behind = behind,
            None => self.first = behind,
        }
        match links.at(behind) {
            Some(link) => link.before = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Who stands in the line, read from either end.
    fn both_ways(line: Line, links: &mut Links) -> (Vec<u32>, Vec<u32>) {
        let (mut there, mut back) = (Vec::new(), Vec::new());
        let mut at = line.first;
        while let Some(link) = links.at(at) {
            there.push(at);
            at = link.behind;
        }
        at = line.last;
        while let Some(link) = links.at(at) {
            back.push(at);
            at = link.before;
        }
        back.reverse();
        (there, back)
    }

    proptest! {
        /// Two lines over the same links, beside two plain lists.
        #[test]
        fn lines_stand_as_lists_would(steps in prop::collection::vec((0_u32..12, any::<bool>()), 0..200)) {
            let (mut lines, mut links) = ([Line::default(); 2], Links::default());
            let mut lists = [Vec::new(), Vec::new()];
            (0..12).for_each(|_| links.add());
            for (place, which) in steps {
                match lists.iter().position(|list| list.contains(&place)) {
                    Some(standing) => {
                        lists[standing].retain(|&one| one != place);
                        lines[standing].leave(place, &mut links);
                    }
                    None => {
                        lists[usize::from(which)].push(place);
                        lines[usize::from(which)].join(place, &mut links);
                    }
                }
                for (line, list) in lines.iter().zip(&lists) {
                    prop_assert_eq!(line.first(), list.first().copied());
                    prop_assert_eq!(both_ways(*line, &mut links), (list.clone(), list.clone()));
                }
            }
        }
    }
}
