//! Where what is typed comes from, and where the answers go.

use std::{
    io::{self, BufRead, IsTerminal},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rustyline::{Config, Editor, error::ReadlineError, history::FileHistory};

use super::editor::Help;
use crate::terminal::{Printer, clean};

/// How many lines a history has at most.
const HISTORY: usize = 1000;

/// A person, or a script in a person's place.
pub trait Console: Send + Sync {
    /// Whether a person types, and no pipe or file says what comes next.
    fn is_terminal(&self) -> bool;

    /// The next line, or `None` at the end of the input.
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
}

struct Editors {
    /// For script, with help.
    script: Editor<Help, FileHistory>,
    /// For answers and commands.
    plain: Editor<(), FileHistory>,
}

impl Standard {
    /// Helps with script where it is a terminal, and keeps what is typed there in `history`.
    pub fn new(printer: Printer, help: Option<Help>, history: Option<&Path>) -> Self {
        let editors = || -> rustyline::Result<Editors> {
            let config = Config::builder().max_history_size(HISTORY)?.history_ignore_space(true).build();
            let mut script = Editor::with_config(config.clone())?;
            script.set_helper(help);
            if let Some(history) = history {
                // A history that cannot be read is an empty one.
                let _ = script.load_history(history);
            }
            Ok(Editors { script, plain: Editor::with_config(config)? })
        };
        let editors = if io::stdin().is_terminal() { editors().ok().map(Mutex::new) } else { None };
        Self { printer, editors, history: history.map(Path::to_path_buf) }
    }

    fn line(&self, prompt: &str) -> Option<String> {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line).ok().filter(|read| *read > 0);
        self.printer.tell(format!("{prompt}{}", clean::line(&line)));
        read.map(|_| line)
    }
}

/// Reads from the terminal until there is an answer: ctrl-C gives up the line, ctrl-D ends.
fn read(mut readline: impl FnMut() -> rustyline::Result<String>) -> Option<String> {
    loop {
        match readline() {
            Ok(line) => return Some(line),
            Err(ReadlineError::Interrupted) => {}
            Err(_) => return None,
        }
    }
}

impl Console for Standard {
    fn is_terminal(&self) -> bool {
        self.editors.is_some()
    }

    fn ask(&self, prompt: &str) -> Option<String> {
        let Some(editors) = &self.editors else { return self.line(prompt) };
        let mut editors = editors.lock().unwrap_or_else(PoisonError::into_inner);
        let line = read(|| editors.plain.readline(prompt))?;
        let _ = editors.plain.add_history_entry(&line);
        Some(line)
    }

    fn ask_script(&self, prompt: &str, is_incomplete: &dyn Fn(&str) -> bool) -> Option<String> {
        let Some(editors) = &self.editors else {
            let mut text = self.line(prompt)?;
            while !text.starts_with(':') && is_incomplete(&text) {
                text += &self.line("     ... ")?;
            }
            return Some(text);
        };
        let mut editors = editors.lock().unwrap_or_else(PoisonError::into_inner);
        let text = read(|| editors.script.readline(prompt))?;
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
