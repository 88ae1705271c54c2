//! The one that prints.

use std::{
    fmt,
    io::{self, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{MultiProgress, ProgressDrawTarget};

use super::style::{Style, Surroundings};

/// Owns standard output and standard error. A deploy goes on without either: a reader that has gone away (a closed pipe) is no error,
/// and data that could not be written otherwise is told of at the end ([`Printer::lost`]).
#[derive(Clone)]
pub struct Printer(Arc<Streams>);

struct Streams {
    surroundings: Surroundings,
    output: Mutex<Box<dyn Write + Send>>,
    error: Mutex<Box<dyn Write + Send>>,
    live: MultiProgress,
    /// Why data was lost, the first time that it was.
    lost: Mutex<Option<io::Error>>,
    /// Whether whoever reads the data has gone away.
    is_closed: AtomicBool,
}

impl Printer {
    /// The process's own streams.
    pub fn standard() -> Self {
        Self::new(Surroundings::read(), Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Any two streams.
    pub fn new(surroundings: Surroundings, output: Box<dyn Write + Send>, error: Box<dyn Write + Send>) -> Self {
        let target = if surroundings.is_live() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self::drawing(surroundings, output, error, target)
    }

    /// Any two streams, and where lines that are redrawn go.
    pub fn drawing(
        surroundings: Surroundings,
        output: Box<dyn Write + Send>,
        error: Box<dyn Write + Send>,
        target: ProgressDrawTarget,
    ) -> Self {
        let live = MultiProgress::with_draw_target(target);
        Self(Arc::new(Streams {
            surroundings,
            output: Mutex::new(output),
            error: Mutex::new(error),
            live,
            lost: Mutex::default(),
            is_closed: AtomicBool::new(false),
        }))
    }

    /// Prints a line of data.
    pub fn data(&self, text: impl fmt::Display) {
        let written = self.0.live.suspend(|| write(&self.0.output, &text.to_string()));
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.0.is_closed.store(true, Ordering::SeqCst),
            Err(error) => drop(self.0.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error)),
        }
    }

    /// Whether whoever read the data has gone away: there is no use in more of it.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::SeqCst)
    }

    /// Why data could not be written, if some could not: a full disk, but not a reader that has gone away.
    pub fn lost(&self) -> Option<String> {
        self.0.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ToString::to_string)
    }

    /// Prints a line for people.
    pub fn tell(&self, text: impl fmt::Display) {
        // There is nobody left to tell of it.
        let _ = self.0.live.suspend(|| write(&self.0.error, &text.to_string()));
    }

    /// Tells something, behind which nothing that is live is shown any more: for whoever ends the process.
    pub fn tell_last(&self, text: impl fmt::Display) {
        // What cannot be cleared is not there.
        let _ = self.0.live.clear();
        self.0.live.set_draw_target(ProgressDrawTarget::hidden());
        let _ = write(&self.0.error, &text.to_string());
    }

    /// Asks a person and waits for a line; `None` where nobody is there to answer.
    pub fn ask(&self, question: &str) -> Option<String> {
        if !(io::IsTerminal::is_terminal(&io::stdin()) && self.is_live()) {
            return None;
        }
        self.tell(question);
        let mut line = String::new();
        io::stdin().read_line(&mut line).ok().filter(|read| *read > 0)?;
        Some(line)
    }

    /// How data looks.
    pub fn data_style(&self) -> Style {
        self.0.surroundings.output()
    }

    /// How lines for people look.
    pub fn style(&self) -> Style {
        self.0.surroundings.error()
    }

    /// Whether lines for people can be redrawn.
    pub fn is_live(&self) -> bool {
        self.0.surroundings.is_live()
    }

    /// The lines at the foot of the terminal that are redrawn; what is printed meanwhile goes above them.
    pub fn live(&self) -> &MultiProgress {
        &self.0.live
    }
}

fn write(stream: &Mutex<Box<dyn Write + Send>>, text: &str) -> io::Result<()> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    // One write for a line keeps lines of several processes apart.
    stream.write_all(format!("{text}{end}").as_bytes()).and_then(|()| stream.flush())
}

#[cfg(test)]
mod tests {
    use super::{super::testing::Paper, *};

    #[test]
    fn data_and_words_go_their_own_ways() {
        let (output, error) = (Paper::default(), Paper::default());
        let printer = Printer::new(Surroundings::default(), Box::new(output.clone()), Box::new(error.clone()));
        printer.data("rows");
        printer.tell("words\n");
        assert_eq!((output.text(), error.text()), ("rows\n".into(), "words\n".into()));
    }

    #[test]
    fn a_closed_pipe_ends_nothing() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }
        let error = Paper::default();
        let printer = Printer::new(Surroundings::default(), Box::new(Closed), Box::new(error.clone()));
        printer.data("nobody reads this");
        printer.tell("still here");
        assert_eq!((error.text().as_str(), printer.lost()), ("still here\n", None));
    }
}
