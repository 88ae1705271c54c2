//! The standard library: the files of `stdlib/`, embedded and imported as `std/NAME`.

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../stdlib/", $name, ".rhai")))),*]
    };
}

/// Every module of the standard library: its name without `std/`, and its text.
#[rustfmt::skip]
pub const MODULES: &[(&str, &str)] = embedded![
    "backup",
    "blue_green",
    "canary",
    "dependencies",
    "deploy",
    "expand_contract",
    "gates",
    "migrations",
    "notify",
    "places",
    "policy",
    "recreate",
    "restart",
    "rollback",
    "rolling",
    "verify",
    "workers",
];

/// What a new strategy begins as; `NAME` and `PATH` stand for its name and the path that it is imported by.
pub const STRATEGY: &str = include_str!("templates/strategy.rhai");

/// The text of the module `std/NAME`.
pub fn text(name: &str) -> Option<&'static str> {
    MODULES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_of_stdlib_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("stdlib");
        let files: BTreeSet<String> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok()?.strip_suffix(".rhai").map(Into::into))
            .collect();
        let embedded: BTreeSet<String> = MODULES.iter().map(|(name, _)| (*name).into()).collect();
        assert_eq!(files, embedded, "add the file's name to MODULES");
    }
}
