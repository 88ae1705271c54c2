//! Branches that take turns: side by side, and each time in the same order.

use std::{
    cell::RefCell,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    thread,
    time::Duration,
};

use super::{
    Call, Executor, Outcome,
    branches::{Queue, STACK},
};
use crate::{failure::Failure, model::Key};

/// How long one waits for its turn: whoever has it does one call of a model.
const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    /// The groups that this thread takes turns in, from the outermost, with its number there.
    static GROUPS: RefCell<Vec<(Arc<Turns>, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Whose turn it is in a group.
#[derive(Debug)]
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    current: usize,
    works: Vec<bool>,
}

impl Turns {
    fn of(workers: usize) -> Self {
        Self { state: Mutex::new(State { current: 0, works: vec![true; workers] }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, number: usize) {
        let is_anothers = |state: &mut State| state.current != number;
        let waited = self.changed.wait_timeout_while(self.lock(), PATIENCE, is_anothers).unwrap_or_else(PoisonError::into_inner);
        // Whoever has waited so long goes on: nothing hangs. It is a mistake all the same: somebody waits for what another one has.
        debug_assert!(!waited.1.timed_out(), "a turn was not given on");
    }

    /// Gives the turn to the next that works, behind this one.
    fn next(&self, number: usize) {
        let mut state = self.lock();
        let count = state.works.len();
        if let Some(next) = (1..=count).map(|step| (number + step) % count).find(|next| state.works[*next]) {
            state.current = next;
        }
        self.changed.notify_all();
    }

    fn ends(&self, number: usize) {
        self.lock().works[number] = false;
        self.next(number);
    }
}

/// Lets the others have their turn, and returns when this thread has it again.
fn pass() {
    let groups = GROUPS.with_borrow(Clone::clone);
    for (turns, number) in groups.iter().rev() {
        turns.next(*number);
        turns.wait(*number);
    }
}

/// Locks what a thread may hold while it makes a call: another one that takes turns with it lets it have its own meanwhile.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    if GROUPS.with_borrow(Vec::is_empty) {
        return mutex.lock().unwrap_or_else(PoisonError::into_inner);
    }
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(error)) => return error.into_inner(),
            Err(TryLockError::WouldBlock) => pass(),
        }
    }
}

/// Does `work` for each item, `workers` at once, of which one after the other comes to its next call; returns the results in the items'
/// order. After a result that `is_last`, items that have not begun are left out.
pub fn each_in_turns<T: Sync, R: Send>(
    workers: usize,
    items: &[T],
    work: impl Fn(usize, &T) -> R + Sync,
    is_last: impl Fn(&R) -> bool + Sync,
) -> Vec<Option<R>> {
    let workers = workers.clamp(1, items.len().max(1));
    let queue = Queue::of(items);
    let turns = Arc::new(Turns::of(workers));
    let outer = GROUPS.with_borrow(Clone::clone);
    let worker = |number: usize| {
        GROUPS.set(outer.iter().cloned().chain([(turns.clone(), number)]).collect());
        let _ends = Ends(&turns, number);
        turns.wait(number);
        queue.work_off(&work, &is_last);
    };
    let worker = &worker;
    thread::scope(|scope| {
        for number in 0..workers {
            let spawned = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, move || worker(number));
            spawned.expect("a thread can be had: a run has several too");
        }
    });
    queue.results()
}

/// Gives the turn on when its thread ends, however it does.
struct Ends<'a>(&'a Turns, usize);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.ends(self.1);
    }
}

/// Passes its thread's turn before each call.
pub struct InTurns<E>(pub E);

impl<E: Executor> Executor for InTurns<E> {
    fn perform(&self, call: &Call) -> Result<Outcome, Failure> {
        pass();
        self.0.perform(call)
    }

    fn remembers(&self, call: &Call) -> bool {
        self.0.remembers(call)
    }

    fn recall(&self, call: &Call, outcome: &Outcome) {
        self.0.recall(call, outcome);
    }

    fn reach_again(&self) {
        self.0.reach_again();
    }

    fn forgo(&self, key: &Key) {
        self.0.forgo(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(workers: usize, items: usize) -> (Vec<String>, Vec<Option<usize>>) {
        let said = Mutex::new(Vec::new());
        let numbers: Vec<usize> = (0..items).collect();
        let work = |_: usize, number: &usize| {
            for step in ["a", "b"] {
                pass();
                said.lock().expect("says").push(format!("{number}{step}"));
            }
            *number
        };
        let results = each_in_turns(workers, &numbers, work, |result| *result == 9);
        (said.into_inner().expect("said"), results)
    }

    #[test]
    fn one_after_the_other_comes_to_its_next_call() {
        for _ in 0..20 {
            assert_eq!(told(3, 3), (["0a", "1a", "2a", "0b", "1b", "2b"].map(str::to_owned).into(), vec![Some(0), Some(1), Some(2)]));
        }
        assert_eq!(told(1, 2).0, ["0a", "0b", "1a", "1b"]);
        assert_eq!(told(2, 3).0, ["0a", "1a", "0b", "1b", "2a", "2b"]);
    }

    #[test]
    fn a_group_within_a_group_takes_turns_with_those_beside_it() {
        let said = Mutex::new(Vec::new());
        let say = |text: String| {
            pass();
            said.lock().expect("says").push(text);
        };
        let inner = |outer: usize| {
            each_in_turns(2, &[0, 1], |_, number: &usize| (0..2).for_each(|step| say(format!("{outer}{number}{step}"))), |()| false);
        };
        each_in_turns(2, &[0, 1], |_, outer: &usize| inner(*outer), |()| false);
        let said = said.into_inner().expect("said");
        assert_eq!(said.len(), 8);
        let first_of = |outer: char| said.iter().position(|text| text.starts_with(outer)).expect("it says something");
        let last_of = |outer: char| said.iter().rposition(|text| text.starts_with(outer)).expect("it says something");
        assert!(first_of('1') < last_of('0') && first_of('0') < last_of('1'), "{said:?}");
    }

    #[test]
    fn what_one_holds_over_its_turn_is_waited_for_by_turns() {
        let (held, said) = (Mutex::new(0), Mutex::new(Vec::new()));
        let work = |_: usize, number: &usize| {
            let mut count = lock(&held);
            pass();
            *count += 1;
            said.lock().expect("says").push(*number);
        };
        each_in_turns(3, &[0, 1, 2], work, |()| false);
        assert_eq!((held.into_inner().expect("counted"), said.into_inner().expect("said").len()), (3, 3));
    }

    #[test]
    fn nothing_begins_behind_the_last() {
        let results = each_in_turns(1, &[1, 9, 3], |_, item: &usize| *item, |result| *result == 9);
        assert_eq!(results, [Some(1), Some(9), None]);
    }
}
