//! Several things at once: the hosts of one call, the branches of `parallel`, and what undoes them.

use std::{
    panic,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// The stack of every thread that runs script code: as much as the deepest script that the engine's limits let through needs in
/// a debug build, twice over. Memory is taken as it is used.
pub const STACK: usize = 64 << 20;

/// How branches and hosts are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branches {
    /// Side by side, at most `max` at once.
    Parallel {
        /// The most at once.
        max: usize,
    },
    /// One after the other: for a dry run and for stepping.
    InOrder,
    /// Branches of a script side by side, each time in the same order; hosts one after the other: for tests.
    InTurns,
}

impl Branches {
    /// The most at once where nothing is said.
    pub const fn most() -> usize {
        8
    }
}

impl Default for Branches {
    fn default() -> Self {
        Self::Parallel { max: Self::most() }
    }
}

/// Does `work` for each item and returns the results in the items' order; after a result that `is_last`, items that have not
/// begun are left out.
pub fn each<T: Sync, R: Send>(
    branches: Branches,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
    is_last: impl Fn(&R) -> bool + Sync,
) -> Vec<Option<R>> {
    let workers = match branches {
        Branches::Parallel { max } => max.clamp(1, items.len().max(1)),
        Branches::InOrder | Branches::InTurns => 1,
    };
    let queue = Queue::of(items);
    let worker = || queue.work_off(&work, &is_last);
    if workers == 1 {
        worker();
    } else {
        thread::scope(|scope| {
            for _ in 0..workers {
                // Where no further thread can be had, the others do its work; the last resort is this one.
                if thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker).is_err() {
                    worker();
                }
            }
        });
    }
    queue.results()
}

/// Items that several workers take one by one, until a result is the last.
pub(super) struct Queue<'a, T, R> {
    items: &'a [T],
    next: AtomicUsize,
    ended: AtomicBool,
    results: Mutex<Vec<Option<R>>>,
}

impl<'a, T, R> Queue<'a, T, R> {
    pub(super) fn of(items: &'a [T]) -> Self {
        let results = Mutex::new(items.iter().map(|_| None).collect());
        Self { items, next: AtomicUsize::new(0), ended: AtomicBool::new(false), results }
    }

    /// What one of the workers does.
    pub(super) fn work_off(&self, work: &impl Fn(usize, &T) -> R, is_last: &impl Fn(&R) -> bool) {
        while !self.ended.load(Ordering::SeqCst) {
            let index = self.next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = self.items.get(index) else { return };
            let result = work(index, item);
            if is_last(&result) {
                self.ended.store(true, Ordering::SeqCst);
            }
            self.results.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(result);
        }
    }

    /// The results in the items' order; none of items that had not begun.
    pub(super) fn results(self) -> Vec<Option<R>> {
        self.results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` for all items at once, however many they are: for what only waits for hosts. In order, one after the other.
pub fn all<T: Send, R: Send>(branches: Branches, items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let work = &work;
    match branches {
        Branches::InOrder | Branches::InTurns => items.into_iter().map(work).collect(),
        Branches::Parallel { .. } => thread::scope(|scope| {
            let running: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))).collect()
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_whatever_is_faster() {
        let items = [30, 0, 15, 0];
        let slow = |index: usize, milliseconds: &u64| {
            thread::sleep(Duration::from_millis(*milliseconds));
            index
        };
        for branches in [Branches::default(), Branches::Parallel { max: 2 }, Branches::InOrder] {
            let results = each(branches, &items, slow, |_| false);
            assert_eq!(results, [Some(0), Some(1), Some(2), Some(3)]);
        }
    }

    #[test]
    fn no_more_than_the_bound_run_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |_: usize, (): &()| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(5));
            now.fetch_sub(1, Ordering::SeqCst);
        };
        each(Branches::Parallel { max: 3 }, &[(); 12], work, |()| false);
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn nothing_begins_after_the_last() {
        let results = each(Branches::InOrder, &[1, 2, 3], |_, item| *item, |item| *item == 2);
        assert_eq!(results, [Some(1), Some(2), None]);
    }
}
