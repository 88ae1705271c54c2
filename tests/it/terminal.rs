//! podlift at a real pseudo-terminal, and who types at it.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use podlift::terminal::clean;

use crate::until::until;

/// How long it is waited for words on the screen.
const PATIENCE: Duration = Duration::from_secs(120);

/// A terminal with a program in it. The program is ended with it.
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    /// How much of the screen's text was looked at.
    seen: usize,
}

impl Terminal {
    /// Runs a command in a terminal of 150 columns, by util-linux' `script`: it passes on what is typed and what is shown.
    pub fn open(command: &Command) -> Self {
        let mut line = String::from("stty cols 150 rows 40; exec");
        for word in std::iter::once(command.get_program()).chain(command.get_args()) {
            let _ = write!(line, " '{}'", word.to_str().expect("words of tests are text").replace('\'', r"'\''"));
        }
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("util-linux has `script`");
        let keyboard = child.stdin.take().expect("it is piped");
        let mut shown = child.stdout.take().expect("it is piped");
        let screen = Arc::<(Mutex<Vec<u8>>, Condvar)>::default();
        let written = screen.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut buffer) {
                written.0.lock().unwrap_or_else(PoisonError::into_inner).extend(&buffer[..count]);
                written.1.notify_all();
            }
        });
        Self { child, keyboard, screen, seen: 0 }
    }

    /// All that was shown, as it came.
    pub fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// All that was shown, without colours and movements of the cursor.
    pub fn text(&self) -> String {
        clean::block(&self.screen().replace('\r', "\n"))
    }

    /// Waits until these words are shown behind those that were waited for before.
    #[track_caller]
    pub fn sees(&mut self, words: &str) {
        let mut screen = self.screen.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let text = clean::block(&String::from_utf8_lossy(&screen).replace('\r', "\n"));
            if let Some(index) = text.get(self.seen..).and_then(|rest| rest.find(words)) {
                self.seen += index + words.len();
                return;
            }
            let (more, timeout) = self.screen.1.wait_timeout(screen, PATIENCE).unwrap_or_else(PoisonError::into_inner);
            assert!(!timeout.timed_out(), "{words:?} was not shown behind the first {} bytes of\n{text}", self.seen);
            screen = more;
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        self.presses(&format!("{line}\r"));
    }

    /// Presses keys; control-C is `"\u{3}"`.
    pub fn presses(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).and_then(|()| self.keyboard.flush()).expect("the terminal takes keys");
    }

    /// Waits until the program ends; its exit code.
    #[track_caller]
    pub fn ends(&mut self) -> i32 {
        let mut code = None;
        until("the program ends", || {
            code = self.child.try_wait().expect("it is a child");
            code.is_some()
        });
        code.and_then(|status| status.code()).unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
