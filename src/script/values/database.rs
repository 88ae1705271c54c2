//! `Database`: `.name`.

use rhai::Module;

use super::{describe, property, text};
use crate::model::Database;

pub(super) fn register(module: &mut Module) {
    describe::<Database>(module, "Database", "A Postgres database.", ToString::to_string);
    property::<Database>(module, "name", |database| text(database));
}
