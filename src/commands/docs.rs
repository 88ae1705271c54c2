//! `podlift docs`

use std::{fmt::Write as _, fs, path::Path};

use super::{complaint, exit::Exit, place::Place, tasks};
use crate::{
    cli,
    failure::Failure,
    script::{
        documentation::{Documentation, sentence},
        options::nearest,
        reference::{self, Section},
        signatures, stdlib,
    },
    terminal::{Printer, markdown},
};

/// Shows a page of the documentation, or what pages there are.
pub fn run(options: &cli::Docs, printer: &Printer) -> Exit {
    let page = match &options.name {
        Some(name) => page(name),
        None if options.markdown => Ok(everything()),
        None => contents(),
    };
    match page {
        Ok(page) if options.markdown => printer.data(page),
        Ok(page) => printer.data(markdown::render(&page, printer.data_style())),
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            return Exit::Bad;
        }
    }
    Exit::Done
}

/// The page of a function, a module of the standard library, a script or task, or a part of the reference.
pub fn page(name: &str) -> Result<String, Failure> {
    if let Some(Section { title, text, is_function, .. }) = reference::section(name) {
        let title = if is_function { format!("`{title}`") } else { title.to_owned() };
        return Ok(format!("# {title}\n\n{text}\n"));
    }
    let module = name.split("::").next().unwrap_or(name);
    let module = module.strip_prefix("std/").unwrap_or(module);
    if let Some(text) = stdlib::text(module) {
        return Ok(Documentation::of(text).markdown(&format!("std/{module}")));
    }
    match Place::find(Path::new(name)) {
        Ok(place) => {
            let text = fs::read_to_string(&place.file);
            let text = text.map_err(|error| Failure::refused(format!("the script {} cannot be read: {error}", place.name())))?;
            Ok(Documentation::of(&text).markdown(&place.name()))
        }
        Err(_) => Err(unknown(name)),
    }
}

fn unknown(name: &str) -> Failure {
    let mut known: Vec<String> = reference::sections().iter().map(|section| section.title.to_owned()).collect();
    known.extend(stdlib::MODULES.iter().map(|(module, _)| format!("std/{module}")));
    known.extend(tasks::all().unwrap_or_default().into_iter().map(|task| task.name));
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let failure = Failure::refused(format!("there is no page {name:?}"));
    let failure = match nearest(name, &known) {
        Some(nearest) => failure.hint(format!("did you mean `{nearest}`?")),
        None => failure,
    };
    failure.hint("`podlift docs` lists the pages")
}

/// What pages there are.
fn contents() -> Result<String, Failure> {
    let mut page = "`podlift docs NAME` shows a page, and with `--markdown` as Markdown.\n".to_owned();
    let mut chapter = "";
    for section in reference::sections().iter().filter(|section| section.is_function) {
        if section.chapter != chapter {
            chapter = section.chapter;
            let _ = write!(page, "\n## {chapter}\n\n");
        }
        let does = signatures().find(|function| function.name == section.title).map(|function| sentence(function.doc)).unwrap_or_default();
        let _ = writeln!(page, "- `{}`: {does}", section.title);
    }
    page += "\n## Strategies\n\n";
    for (name, text) in stdlib::MODULES {
        let _ = writeln!(page, "- `std/{name}`: {}", Documentation::of(text).summary());
    }
    let tasks = tasks::all()?;
    if !tasks.is_empty() {
        page += "\n## Tasks\n\n";
    }
    for task in tasks {
        let _ = writeln!(page, "- `{}`: {}", task.name, task.documentation.summary());
    }
    let rest = reference::sections().into_iter().filter(|section| !section.is_function && !section.text.is_empty());
    page += "\n## The language\n\n";
    for section in rest {
        let _ = writeln!(page, "- `{}`", section.title.to_lowercase());
    }
    Ok(page)
}

/// All pages as one.
fn everything() -> String {
    let modules = stdlib::MODULES.iter().map(|(name, text)| Documentation::of(text).markdown(&format!("std/{name}")));
    modules.fold(reference::markdown(), |page, module| format!("{page}\n{module}"))
}
