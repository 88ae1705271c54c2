//! Questions at the terminal.

use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{Printer, clean};

/// How often it is looked whether the question still stands.
const LOOK: Duration = Duration::from_millis(100);

/// Asks for a yes or no until there is one. `None` where nobody sits at the terminal, or once the question no longer stands.
pub fn ask(printer: &Printer, question: &str, is_off: impl Fn() -> bool) -> Option<bool> {
    if !printer.is_live() || !io::stdin().is_terminal() {
        return None;
    }
    loop {
        printer.tell(format!("? {} [y/n]", clean::line(question)));
        let (sender, answered) = mpsc::channel();
        // A line that nobody waits for any longer is read in vain: the run ends.
        thread::spawn(move || {
            let mut line = String::new();
            let read = io::stdin().read_line(&mut line).is_ok_and(|bytes| bytes > 0);
            sender.send(read.then_some(line))
        });
        let line = loop {
            match answered.recv_timeout(LOOK) {
                Ok(line) => break line?,
                Err(RecvTimeoutError::Timeout) if !is_off() => {}
                Err(_) => return None,
            }
        };
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => return Some(true),
            "n" | "no" => return Some(false),
            _ => {}
        }
    }
}
