//! Which rows of a table are to be looked at: marking one costs the same however many are marked, and twice is once.

use std::marker::PhantomData;

/// A set of ids, which are indices into one table.
#[derive(Debug)]
pub(crate) struct Marked<Id> {
    is_marked: Vec<bool>,
    rows: Vec<u32>,
    ids: PhantomData<Id>,
}

impl<Id> Default for Marked<Id> {
    fn default() -> Self {
        Self { is_marked: Vec::new(), rows: Vec::new(), ids: PhantomData }
    }
}

impl<Id: Into<u32> + From<u32>> Marked<Id> {
    pub(crate) fn insert(&mut self, id: Id) {
        let row: u32 = id.into();
        let at = row as usize;
        if at >= self.is_marked.len() {
            self.is_marked.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.is_marked[at], true) {
            self.rows.push(row);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.is_marked.clear();
        self.rows.clear();
    }

    /// Those that are marked, in order; none is from now on.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Id> + use<Id> {
        let mut rows = std::mem::take(&mut self.rows);
        for &row in &rows {
            self.is_marked[row as usize] = false;
        }
        rows.sort_unstable();
        rows.into_iter().map(Id::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_once_and_in_order() {
        let mut marked = Marked::<u32>::default();
        [7, 2, 7, 900, 2].into_iter().for_each(|row| marked.insert(row));
        assert!(!marked.is_empty());
        assert_eq!(marked.take().collect::<Vec<_>>(), [2, 7, 900]);
        assert!(marked.is_empty() && marked.take().next().is_none());
        [7, 1].into_iter().for_each(|row| marked.insert(row));
        marked.clear();
        marked.insert(7);
        assert_eq!(marked.take().collect::<Vec<_>>(), [7]);
    }
}
