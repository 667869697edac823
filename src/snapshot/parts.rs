//! A persistent vector: cloning and replacing one element cost the square root of its length.

use std::sync::Arc;

/// Elements per chunk: at 10,000 elements the root has 157 chunks, about as many pointers as a chunk has.
const CHUNK: usize = 64;

/// A vector of shared parts. [`Parts::set`] copies the root and one chunk, unless they are this clone's own already;
/// all else stays shared with the clone before.
#[derive(Debug)]
pub struct Parts<T> {
    chunks: Arc<[Arc<[Arc<T>]>]>,
}

impl<T> Clone for Parts<T> {
    fn clone(&self) -> Self {
        Self { chunks: Arc::clone(&self.chunks) }
    }
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { chunks: Arc::new([]) }
    }
}

impl<T> FromIterator<Arc<T>> for Parts<T> {
    fn from_iter<I: IntoIterator<Item = Arc<T>>>(parts: I) -> Self {
        let all: Vec<_> = parts.into_iter().collect();
        Self { chunks: all.chunks(CHUNK).map(Arc::from).collect() }
    }
}

impl<T> Parts<T> {
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&Arc<T>> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The elements, with their index, that are not shared with `before`. Whole shared chunks are skipped.
    pub fn unshared<'p>(&'p self, before: Option<&'p Self>) -> impl Iterator<Item = (usize, &'p Arc<T>)> {
        self.chunks.iter().enumerate().flat_map(move |(row, chunk)| {
            let former = before.and_then(|before| before.chunks.get(row));
            let shared = former.is_some_and(|former| Arc::ptr_eq(former, chunk));
            let parts = if shared { &[][..] } else { &chunk[..] };
            parts.iter().enumerate().filter_map(move |(column, part)| {
                let same = former.and_then(|former| former.get(column)).is_some_and(|same| Arc::ptr_eq(same, part));
                (!same).then_some((row * CHUNK + column, part))
            })
        })
    }

    /// Replaces many elements, given by their index in ascending order; other clones keep theirs. Copies the root and
    /// each chunk once, and reads no element that is replaced. An index that is not below [`Parts::len`] is passed over.
    pub fn replace(&mut self, parts: impl IntoIterator<Item = (usize, T)>) {
        let mut parts = parts.into_iter().peekable();
        let mut chunks = self.chunks.to_vec();
        while let Some(&(first, _)) = parts.peek() {
            let row = first / CHUNK;
            let Some(chunk) = chunks.get_mut(row) else { break };
            let mut copy = Vec::with_capacity(chunk.len());
            while let Some((index, part)) = parts.next_if(|&(index, _)| index / CHUNK == row) {
                copy.extend(chunk.iter().take(index % CHUNK).skip(copy.len()).cloned());
                if index % CHUNK < chunk.len() {
                    copy.push(Arc::new(part));
                }
            }
            copy.extend(chunk.iter().skip(copy.len()).cloned());
            *chunk = copy.into();
        }
        self.chunks = chunks.into();
    }

    /// Replaces one element in place; other clones keep theirs. Many in a row copy the root and each chunk once.
    ///
    /// # Panics
    /// If `index` is not below [`Parts::len`].
    pub fn set(&mut self, index: usize, part: T) {
        let root = Arc::make_mut(&mut self.chunks);
        let chunk = Arc::make_mut(&mut root[index / CHUNK]);
        chunk[index % CHUNK] = Arc::new(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_one_leaves_clones_alone_and_shares_the_rest() {
        let mut parts: Parts<usize> = (0..1000).map(Arc::new).collect();
        let before = parts.clone();
        parts.set(700, 7);
        assert_eq!((**before.get(700).unwrap(), **parts.get(700).unwrap()), (700, 7));
        assert_eq!(parts.len(), 1000);
        assert_eq!(parts.unshared(Some(&before)).map(|(index, part)| (index, **part)).collect::<Vec<_>>(), [(700, 7)]);
        assert_eq!(parts.unshared(None).count(), 1000);
        assert!(parts.get(1000).is_none());
    }

    #[test]
    fn replacing_many_is_setting_each() {
        let before: Parts<usize> = (0..1000).map(Arc::new).collect();
        for changed in
            [vec![], vec![0], vec![999], vec![5, 6, 63, 64, 130, 131, 999], (0..1000).collect(), vec![7, 1000, 2000]]
        {
            let mut replaced = before.clone();
            replaced.replace(changed.iter().map(|&index| (index, index + 5000)));
            let mut set = before.clone();
            changed.iter().filter(|&&index| index < 1000).for_each(|&index| set.set(index, index + 5000));
            assert_eq!(replaced.len(), 1000);
            assert!(replaced.iter().zip(set.iter()).all(|(one, other)| one == other), "{changed:?}");
            assert_eq!(replaced.unshared(Some(&before)).count(), changed.iter().filter(|&&index| index < 1000).count());
        }
        assert!(before.iter().zip(0..).all(|(part, index)| **part == index));
    }

    #[test]
    fn setting_many_copies_the_root_and_each_chunk_once() {
        let mut parts: Parts<usize> = (0..1000).map(Arc::new).collect();
        let before = parts.clone();
        let rows = [10, 11];
        let place =
            |parts: &Parts<usize>| (Arc::as_ptr(&parts.chunks), rows.map(|row| Arc::as_ptr(&parts.chunks[row])));
        rows.iter().for_each(|row| parts.set(row * CHUNK, 0));
        let copied = place(&parts);
        for index in 10 * CHUNK..12 * CHUNK {
            parts.set(index, 0);
            assert_eq!(place(&parts), copied, "copied again at {index}");
        }
        assert_eq!(before.iter().map(|part| **part).collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
        let changed: Vec<_> = parts.unshared(Some(&before)).map(|(index, _)| index).collect();
        assert_eq!(changed, (10 * CHUNK..12 * CHUNK).collect::<Vec<_>>());
        let shared = |&row: &usize| Arc::ptr_eq(&parts.chunks[row], &before.chunks[row]);
        assert_eq!((0..parts.chunks.len()).filter(shared).count(), parts.chunks.len() - rows.len());
    }
}
