//! Questions at the terminal.

use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{Printer, clean};

/// How often it is looked whether the question still stands.
pub const LOOK: Duration = Duration::from_millis(100);

/// Asks for a yes or no until there is one. `None` where nobody sits at the terminal, or once the question no longer stands.
pub fn ask(printer: &Printer, question: &str, is_off: impl Fn() -> bool) -> Option<bool> {
    choose(printer, &format!("{} [y/n]", clean::line(question)), &["yes", "no"], is_off).map(|answer| answer == "yes")
}

/// Asks until one of the answers is typed, or the beginning of one. `None` as for [`ask`].
pub fn choose<'a>(printer: &Printer, question: &str, answers: &[&'a str], is_off: impl Fn() -> bool) -> Option<&'a str> {
    if !printer.is_live() || !io::stdin().is_terminal() {
        return None;
    }
    loop {
        printer.tell(format!("? {question}"));
        let typed = line(&is_off)?.trim().to_lowercase();
        if let Some(answer) = answers.iter().find(|answer| !typed.is_empty() && answer.starts_with(&typed)) {
            return Some(answer);
        }
    }
}

/// The next line of standard input with its end, while the question stands.
pub fn line(is_off: impl Fn() -> bool) -> Option<String> {
    let (sender, answered) = mpsc::channel();
    // A line that nobody waits for any longer is read in vain: the run ends.
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0);
        sender.send(read.then_some(line))
    });
    loop {
        match answered.recv_timeout(LOOK) {
            Ok(line) => return line,
            Err(RecvTimeoutError::Timeout) if !is_off() => {}
            Err(_) => return None,
        }
    }
}
