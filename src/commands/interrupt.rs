//! Ctrl-C and SIGTERM.

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};

use crate::{
    executor::{Cancellation, Urgency},
    terminal::Printer,
};

/// Listens for signals while it lives.
pub struct Interrupt(JoinHandle<()>);

impl Interrupt {
    /// The first ctrl-C asks `cancellation` to finish the op in flight; a second one, SIGTERM or a closed terminal to stop now.
    pub fn listen(runtime: &Handle, cancellation: Cancellation, printer: Printer) -> std::io::Result<Self> {
        Self::heed(runtime, cancellation, printer, Urgency::Now)
    }

    /// The same for what is undone when it was interrupted: a first SIGTERM is as a first ctrl-C, so that what is undone is known.
    pub fn listen_to_undo(runtime: &Handle, cancellation: Cancellation, printer: Printer) -> std::io::Result<Self> {
        Self::heed(runtime, cancellation, printer, Urgency::Finish)
    }

    /// For what changes nothing: `heed` is called at each ctrl-C and SIGTERM.
    pub fn listen_to_look(runtime: &Handle, heed: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let _runtime = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(Self(runtime.spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => heed(),
                    _ = terminate.recv() => heed(),
                }
            }
        })))
    }

    fn heed(runtime: &Handle, cancellation: Cancellation, printer: Printer, end: Urgency) -> std::io::Result<Self> {
        let _runtime = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        Ok(Self(runtime.spawn(async move {
            loop {
                let urgency = tokio::select! {
                    _ = interrupt.recv() => after(cancellation.urgency(), Urgency::Finish),
                    _ = terminate.recv() => after(cancellation.urgency(), end),
                    _ = hangup.recv() => after(cancellation.urgency(), end),
                };
                if urgency == cancellation.urgency() {
                    continue;
                }
                cancellation.request(urgency);
                printer.tell(match urgency {
                    Urgency::None | Urgency::Finish => "stopping after the op in flight; ctrl-C again stops now",
                    Urgency::Now => "stopping now",
                });
            }
        })))
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a signal asks for, whose first one asks for `first`.
const fn after(urgency: Urgency, first: Urgency) -> Urgency {
    match urgency {
        Urgency::None => first,
        Urgency::Finish | Urgency::Now => Urgency::Now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_interrupt_is_more_urgent() {
        assert_eq!(after(Urgency::None, Urgency::Finish), Urgency::Finish);
        assert_eq!(after(Urgency::Finish, Urgency::Finish), Urgency::Now);
        assert_eq!(after(Urgency::Now, Urgency::Finish), Urgency::Now);
    }
}
