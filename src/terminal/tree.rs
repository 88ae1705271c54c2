//! A run as a live tree: finished calls above, calls in flight below with a spinner each.

use std::{
    collections::HashMap,
    fmt::Write,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::{
    Printer, clean,
    words::{self, Detail, Line},
};
use crate::executor::{Call, Event, Key, Level, Narrator};

/// Tells a run on a terminal. What is finished scrolls away upwards, what is in flight stays at the foot. The cursor is never
/// hidden and no mode of the terminal is changed, so there is nothing to restore however the run ends.
pub struct Tree {
    printer: Printer,
    detail: Detail,
    look: ProgressStyle,
    state: Arc<Mutex<State>>,
    ticker: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Default)]
struct State {
    in_flight: HashMap<Key, ProgressBar>,
    host_width: usize,
    depth: usize,
}

const BAR_WIDTH: u64 = 20;

impl Tree {
    /// Tells `printer` so much of it.
    pub fn new(printer: Printer, detail: Detail) -> Self {
        let mut tree = Self::still(printer, detail);
        let (stop, stopped) = channel();
        let state = Arc::clone(&tree.state);
        let ticker = std::thread::Builder::new().name("tree".into()).spawn(move || {
            while stopped.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                lock(&state).in_flight.values().for_each(ProgressBar::tick);
            }
        });
        // Without a thread the spinners stand still; that is no reason not to deploy.
        tree.ticker = ticker.ok().map(|ticker| (stop, ticker));
        tree
    }

    /// One whose spinners turn only when something happens.
    fn still(printer: Printer, detail: Detail) -> Self {
        let look = ProgressStyle::with_template("{prefix}{spinner} {wide_msg} {since}")
            .expect("the template is a constant that parses")
            .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
            .with_key("since", since);
        Self { printer, detail, look, state: Arc::default(), ticker: None }
    }

    fn live(&self) -> &MultiProgress {
        self.printer.live()
    }

    fn begin(&self, call: &Call) {
        let line = Line::of(&call.op);
        let mut state = lock(&self.state);
        state.host_width = state.host_width.max(line.host.chars().count());
        let bar = ProgressBar::new_spinner().with_style(self.look.clone()).with_prefix("  ".repeat(state.depth));
        let bar = self.live().add(bar.with_message(in_flight(&line, state.host_width, "")));
        bar.tick();
        state.in_flight.insert(call.key.clone(), bar);
    }

    fn progress(&self, call: &Call, what: &str, bytes: Option<(u64, u64)>) {
        let state = lock(&self.state);
        let Some(bar) = state.in_flight.get(&call.key) else { return };
        let what = clean::line(what);
        let doing = match bytes {
            None => what,
            Some((done, of)) => format!("{} {what} {}", byte_bar(done, of), words::amount(done, of)),
        };
        bar.set_message(in_flight(&Line::of(&call.op), state.host_width, &doing));
    }

    fn end(&self, call: &Call, mark: &str, more: Option<String>, took: Duration, told: bool) {
        if let Some(bar) = lock(&self.state).in_flight.remove(&call.key) {
            bar.finish_and_clear();
            self.live().remove(&bar);
        }
        if told {
            self.line(call, mark, more, Some(took));
        }
    }

    fn line(&self, call: &Call, mark: &str, more: Option<String>, took: Option<Duration>) {
        let line = Line::of(&call.op);
        let mut state = lock(&self.state);
        state.host_width = state.host_width.max(line.host.chars().count());
        let style = self.printer.style();
        let (indent, width) = ("  ".repeat(state.depth), state.host_width);
        let more = more.map(|more| format!("  {}", style.faint(more))).unwrap_or_default();
        let took = took.map(|took| format!("  {}", style.faint(words::time(took)))).unwrap_or_default();
        self.printer.tell(format!("{indent}{mark} {:<width$} {:<12} {}{more}{took}", line.host, line.verb, line.description));
    }

    fn say(&self, text: impl std::fmt::Display) {
        let indent = "  ".repeat(lock(&self.state).depth);
        self.printer.tell(format!("{indent}{text}"));
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if let Some((stop, ticker)) = self.ticker.take() {
            drop(stop);
            let _ = ticker.join();
        }
        lock(&self.state).in_flight.drain().for_each(|(_, bar)| bar.finish_and_clear());
        let _ = self.live().clear();
    }
}

impl Narrator for Tree {
    fn tell(&self, event: Event<'_>) {
        let style = self.printer.style();
        match event {
            Event::Began { call } => self.begin(call),
            Event::Progressed { call, what, bytes } => self.progress(call, what, bytes),
            Event::Done { call, outcome, took } => {
                let told = self.detail.end(call, took);
                let mark = if outcome.is_skipped() { style.faint("-") } else { style.good("✓") };
                self.end(call, &mark, words::summary(&call.op, outcome), took, told);
            }
            Event::Failed { call, failure, took } => {
                self.end(call, &style.bad("✗"), Some(clean::line(&failure.message)), took, self.detail.failure());
            }
            Event::Replayed { call, result } => {
                if self.detail.replayed() {
                    self.line(call, &style.faint("="), words::result(&call.op, result), None);
                }
            }
            Event::PhaseBegan { .. } | Event::PhaseEnded { .. } if self.detail == Detail::Little => {}
            Event::PhaseBegan { title, depth } => {
                lock(&self.state).depth = depth;
                self.say(style.strong(clean::line(title)));
                lock(&self.state).depth = depth + 1;
            }
            Event::PhaseEnded { title, depth, took } => {
                lock(&self.state).depth = depth;
                self.say(style.faint(format!("{} took {}", clean::line(title), words::time(took))));
            }
            Event::Said { level: Level::Info, text, .. } => self.say(format!("· {}", clean::line(text))),
            Event::Said { level: Level::Warn, text, origin } => {
                self.say(format!("{} {} {}", style.warning("!"), clean::line(text), style.faint(origin)));
            }
            Event::Sent { host, what } => {
                if self.detail.sent() {
                    self.say(style.faint(format!("→ {} {}", clean::line(host), clean::line(what))));
                }
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_flight(line: &Line, width: usize, doing: &str) -> String {
    let Line { host, verb, description } = line;
    if doing.is_empty() {
        return format!("{host:<width$} {verb:<12} {description}");
    }
    format!("{host:<width$} {verb:<12} {doing}  {description}")
}

fn byte_bar(done: u64, of: u64) -> String {
    let full = u128::from(done.min(of)) * u128::from(BAR_WIDTH) / u128::from(of.max(1));
    (0..u128::from(BAR_WIDTH)).map(|place| if place < full { '━' } else { '─' }).collect()
}

/// How long a call has lasted, once that is over a second.
fn since(state: &ProgressState, out: &mut dyn Write) {
    let elapsed = state.elapsed();
    let text = if elapsed < Duration::from_secs(1) { String::new() } else { words::time(elapsed) };
    let _ = write!(out, "{text:>6}");
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            style::Surroundings,
            testing::{Paper, Screen, call, host, ship, stop, tell_a_run},
        },
        *,
    };
    use crate::{executor::Outcome, failure::Failure, op::Reachable};

    fn tree(screen: &Screen, detail: Detail) -> Tree {
        let printer = Printer::drawing(Surroundings::default(), Box::new(Paper::default()), Box::new(screen.clone()), screen.target());
        Tree::still(printer, detail)
    }

    #[test]
    fn what_is_finished_stands_above_and_nothing_is_left_below() {
        let screen = Screen::new(140);
        tell_a_run(&tree(&screen, Detail::Usual));
        assert_eq!(
            screen.text(),
            "\
images
  ✓ 10.0.0.12 ship         shop-web:v2  nothing to send  120ms
  ✓ h1        ship         shop-web:v2  2.0 kB sent, 1.0 MB were there  2.5s
images took 2.6s
· half way
! one host is slow deploy.rhai:4
✓ here      pause        3s  3.0s
✓ h1        healthcheck  shop-web-v2-0123456789-1, at most 30s  healthy after 3 checks  2.0s
✗ 10.0.0.12 healthcheck  shop-web-v2-0123456789-1, at most 30s  shop-web-v2-0123456789-1 is not healthy: connection refused  1m05s"
        );
    }

    #[test]
    fn calls_in_flight_have_a_line_each() {
        let screen = Screen::new(90);
        let tree = tree(&screen, Detail::Usual);
        let (one, two) = (call(ship("h1"), 1, Some(0)), call(stop("h2"), 1, Some(1)));
        tree.tell(Event::Began { call: &one });
        tree.tell(Event::Began { call: &two });
        tree.tell(Event::Progressed { call: &one, what: "sending", bytes: Some((512, 2048)) });
        assert_eq!(
            screen.text(),
            "\
⠙ h1 ship         ━━━━━─────────────── sending 512 B of 2.0 kB, 25%  shop-web:v2
⠙ h2 stop         shop-web-v1-0123456789-1"
        );
        tree.tell(Event::Done { call: &one, outcome: &Outcome::default(), took: Duration::from_secs(1) });
        tree.tell(Event::Failed { call: &two, failure: &Failure::failed("gone"), took: Duration::from_secs(1) });
        assert_eq!(
            screen.text(),
            "\
✓ h1 ship         shop-web:v2  1.0s
✗ h2 stop         shop-web-v1-0123456789-1  gone  1.0s"
        );
    }

    #[test]
    fn what_the_journal_answers_is_told_verbosely_and_marked() {
        let told = |detail| {
            let screen = Screen::new(80);
            let tree = tree(&screen, detail);
            tree.tell(Event::Replayed { call: &call(ship("h1"), 1, None), result: &Err(Failure::failed("no room")) });
            screen.text()
        };
        assert_eq!(told(Detail::Usual), "");
        assert_eq!(told(Detail::All), "= h1 ship         shop-web:v2  no room");
    }

    #[test]
    fn reads_on_the_way_are_told_verbosely_or_when_they_take_long() {
        let told = |detail, seconds| {
            let screen = Screen::new(80);
            let read = call(Reachable { host: host("h1") }, 1, None);
            let tree = tree(&screen, detail);
            tree.tell(Event::Began { call: &read });
            tree.tell(Event::Done { call: &read, outcome: &Outcome::of(true), took: Duration::from_secs(seconds) });
            screen.text()
        };
        assert_eq!(told(Detail::Usual, 0), "");
        assert_eq!(told(Detail::All, 0), "✓ h1 reachable    does it answer?  0ms");
        assert_eq!(told(Detail::Usual, 4), "✓ h1 reachable    does it answer?  4.0s");
    }

    #[test]
    fn many_calls_side_by_side_end_in_as_many_lines() {
        let screen = Screen::new(80);
        let printer = Printer::drawing(Surroundings::default(), Box::new(Paper::default()), Box::new(screen.clone()), screen.target());
        let tree = Tree::new(printer, Detail::Usual);
        std::thread::scope(|scope| {
            for branch in 0..32 {
                let tree = &tree;
                scope.spawn(move || {
                    let call = call(ship(&format!("h{branch}")), 1, Some(branch));
                    tree.tell(Event::Began { call: &call });
                    for done in 0..20 {
                        tree.tell(Event::Progressed { call: &call, what: "sending", bytes: Some((done, 20)) });
                    }
                    tree.tell(Event::Done { call: &call, outcome: &Outcome::default(), took: Duration::from_secs(1) });
                });
            }
        });
        drop(tree);
        let text = screen.text();
        assert_eq!(text.lines().filter(|line| line.starts_with('✓')).count(), 32, "{text}");
        assert_eq!(text.lines().count(), 32, "{text}");
    }
}
