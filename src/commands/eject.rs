//! `podlift eject`

use super::{complaint, exit::Exit, module::Module};
use crate::{
    cli,
    failure::Failure,
    script::{options::nearest, stdlib},
    terminal::Printer,
};

/// Copies a module of the standard library into the project.
pub fn run(options: &cli::Eject, printer: &Printer) -> Exit {
    let name = options.module.strip_prefix("std/").unwrap_or(&options.module);
    let Some(text) = stdlib::text(name) else {
        complaint::tell_failure(printer, &unknown(name));
        return Exit::Bad;
    };
    let copied = |module: &Module| own(text, name, &module.path());
    write(name, &options.place, copied, printer)
}

/// Writes a module of the project's own and tells how to import it.
pub fn write(name: &str, place: &cli::ModulePlace, text: impl Fn(&Module) -> String, printer: &Printer) -> Exit {
    let written = Module::find(name, place).and_then(|module| module.write(&text(&module), place.force).map(|()| module));
    match written {
        Ok(module) => {
            printer.tell(format!("{} wrote {}; import it with", printer.style().good("✓"), module.file().display()));
            module.imports().iter().for_each(|line| printer.data(line));
            Exit::Done
        }
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            Exit::Bad
        }
    }
}

/// The text as a module of the project: what its head shows is imported from where it now is.
fn own(text: &str, name: &str, path: &str) -> String {
    let (standard, own) = (format!("import \"std/{name}\""), format!("import \"{path}\""));
    let line = |line: &str| if line.starts_with("//!") { line.replace(&standard, &own) } else { line.to_owned() };
    text.lines().map(|text| line(text) + "\n").collect()
}

fn unknown(name: &str) -> Failure {
    let known: Vec<String> = stdlib::MODULES.iter().map(|(name, _)| format!("std/{name}")).collect();
    let names: Vec<&str> = stdlib::MODULES.iter().map(|(name, _)| *name).collect();
    let failure = Failure::refused(format!("the standard library has no module \"std/{name}\""));
    let failure = match nearest(name, &names) {
        Some(nearest) => failure.hint(format!("did you mean `std/{nearest}`?")),
        None => failure,
    };
    failure.hint(format!("there are {}", known.join(", ")))
}
