//! Where what is typed comes from, and where the answers go.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
};

use nix::sys::{
    pthread::{pthread_kill, pthread_self},
    signal::Signal,
};
use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::FileHistory};

use super::editor::Help;
use crate::{
    executor::{Cancellation, Urgency},
    terminal::{Printer, clean, prompt},
};

/// How many lines a history has at most.
const HISTORY: usize = 1000;

/// A person, or a script in a person's place.
pub trait Console: Send + Sync {
    /// Whether a person types, and no pipe or file says what comes next.
    fn is_terminal(&self) -> bool;

    /// The next line, or `None` at the end of the input and where it is told to stop.
    fn ask(&self, prompt: &str) -> Option<String>;

    /// The next lines that belong together; `is_incomplete` tells whether a text goes on.
    fn ask_script(&self, prompt: &str, is_incomplete: &dyn Fn(&str) -> bool) -> Option<String>;

    /// Says something for people.
    fn tell(&self, text: &str);

    /// Shows what was asked for.
    fn show(&self, text: &str);
}

/// This process's terminal; where standard input is none, its lines.
pub struct Standard {
    printer: Printer,
    editors: Option<Mutex<Editors>>,
    history: Option<PathBuf>,
    cancellation: Cancellation,
}

struct Editors {
    /// For script, with help.
    script: Editor<Help, FileHistory>,
    /// For answers and commands.
    plain: Editor<(), FileHistory>,
}

impl Standard {
    /// Helps with script where it is a terminal, and keeps what is typed there in `history`. Nothing more is read once `cancellation`
    /// asks for that: at a terminal ctrl-C gives up the line only.
    pub fn new(printer: Printer, help: Option<Help>, history: Option<&Path>, cancellation: Cancellation) -> Self {
        let editors = || -> rustyline::Result<Editors> {
            let config =
                Config::builder().max_history_size(HISTORY)?.history_ignore_space(true).completion_type(CompletionType::List).build();
            let mut script = Editor::with_config(config.clone())?;
            script.set_helper(help);
            if let Some(history) = history {
                // A history that cannot be read is an empty one.
                let _ = script.load_history(history);
            }
            Ok(Editors { script, plain: Editor::with_config(config)? })
        };
        let editors = if io::stdin().is_terminal() { editors().ok().map(Mutex::new) } else { None };
        Self { printer, editors, history: history.map(Path::to_path_buf), cancellation }
    }

    fn line(&self, prompt: &str) -> Option<String> {
        let line = prompt::line(|| self.cancellation.urgency() > Urgency::None);
        self.printer.tell(format!("{prompt}{}", clean::line(line.as_deref().unwrap_or_default())));
        line
    }

    /// Reads from the terminal until there is an answer: ctrl-C gives up the line, ctrl-D ends.
    fn read(&self, mut readline: impl FnMut() -> rustyline::Result<String>) -> Option<String> {
        let is_off = || self.cancellation.urgency() == Urgency::Now;
        unless(is_off, || {
            loop {
                match readline() {
                    Ok(line) => return Some(line),
                    Err(ReadlineError::Interrupted) if !is_off() => {}
                    Err(_) => {
                        // The end of a terminal that was closed is seen before its signal, or without one.
                        if !io::stdin().is_terminal() {
                            self.cancellation.request(Urgency::Now);
                        }
                        return None;
                    }
                }
            }
        })
    }
}

/// Reads, and looks meanwhile whether there is anything to be read any more. An editor that waits for a key gives up its line where its
/// own thread gets a SIGINT, and the terminal gets its settings back.
fn unless<T>(is_off: impl Fn() -> bool + Send, read: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let (_reading, has_read) = mpsc::channel::<()>();
        let reader = pthread_self();
        scope.spawn(move || {
            while has_read.recv_timeout(prompt::LOOK) == Err(RecvTimeoutError::Timeout) {
                if is_off() {
                    // Between two lines it only says again what is known.
                    let _ = pthread_kill(reader, Signal::SIGINT);
                }
            }
        });
        read()
    })
}

impl Console for Standard {
    fn is_terminal(&self) -> bool {
        self.editors.is_some()
    }

    fn ask(&self, prompt: &str) -> Option<String> {
        let Some(editors) = &self.editors else { return self.line(prompt) };
        let mut editors = editors.lock().unwrap_or_else(PoisonError::into_inner);
        let line = self.read(|| editors.plain.readline(prompt))?;
        let _ = editors.plain.add_history_entry(&line);
        Some(line)
    }

    fn ask_script(&self, prompt: &str, is_incomplete: &dyn Fn(&str) -> bool) -> Option<String> {
        let Some(editors) = &self.editors else {
            let mut text = self.line(prompt)?;
            while !text.starts_with(':') && is_incomplete(&text) {
                // What ends in the middle is evaluated as it is: that tells what is missing.
                let Some(more) = self.line("     ... ") else { break };
                text += &more;
            }
            return Some(text);
        };
        let mut editors = editors.lock().unwrap_or_else(PoisonError::into_inner);
        let text = self.read(|| editors.script.readline(prompt))?;
        let _ = editors.script.add_history_entry(&text);
        if let Some(history) = &self.history {
            // A session goes on without its history.
            let _ = history.parent().map_or(Ok(()), std::fs::create_dir_all);
            let _ = editors.script.save_history(history);
        }
        Some(text)
    }

    fn tell(&self, text: &str) {
        self.printer.tell(clean::styled(text));
    }

    fn show(&self, text: &str) {
        self.printer.data(clean::styled(text));
    }
}
