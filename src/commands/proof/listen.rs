//! What a story tells besides its ops: what the script says, and calls that fail.

use std::sync::Arc;

use super::Desk;
use crate::executor::{Event, Level, Narrator, faults::Faults};

/// Who listens to the runs of a story.
pub fn listener(fleet: &Arc<Faults<Arc<Desk>>>) -> Arc<dyn Narrator> {
    if fleet.notes_steps() { Arc::new(Listening(fleet.clone())) } else { Arc::new(Deaf) }
}

/// Listens to a run of which no steps are noted.
struct Deaf;

impl Narrator for Deaf {
    fn tell(&self, _: Event<'_>) {}
}

/// Notes what the script says, and calls that fail, among the steps of the story.
struct Listening(Arc<Faults<Arc<Desk>>>);

impl Narrator for Listening {
    fn tell(&self, event: Event<'_>) {
        match event {
            Event::Said { level, text, origin } => self.0.said(text, level == Level::Warn, origin),
            Event::Failed { call, failure, .. } => self.0.failed(call, failure),
            _ => {}
        }
    }
}
