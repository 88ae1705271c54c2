//! `podlift tasks`

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{complaint, exit::Exit};
use crate::{
    cli,
    failure::Failure,
    script::{
        documentation::{Documentation, Parameter},
        engine,
    },
    terminal::{Printer, table::Table},
};

/// The folder of a project's tasks.
pub const FOLDER: &str = "deploy";

/// A script that is run by its name.
pub struct Task {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
    /// What it says of itself.
    pub documentation: Documentation,
    /// Whether it can be parsed.
    pub parses: bool,
}

impl Task {
    /// What it does, or that it cannot be run.
    fn words(&self) -> String {
        if self.parses {
            return self.documentation.summary();
        }
        format!("cannot be parsed: see `podlift check {}`", self.file.display())
    }
}

/// Lists the tasks of the project here.
pub fn run(options: &cli::Tasks, printer: &Printer) -> Exit {
    let tasks = match all() {
        Ok(tasks) => tasks,
        Err(failure) => {
            complaint::tell_failure(printer, &failure);
            return Exit::Error;
        }
    };
    if options.json {
        let rows = tasks.iter().map(|task| {
            let Documentation { parameters, .. } = &task.documentation;
            json!({
                "name": task.name, "file": task.file, "summary": task.documentation.summary(), "parameters": parameters,
                "parses": task.parses,
            })
        });
        printer.data(json!(rows.collect::<Vec<_>>()).to_string());
        return Exit::Done;
    }
    if options.names {
        for task in &tasks {
            printer.data(&task.name);
        }
        return Exit::Done;
    }
    if tasks.is_empty() {
        printer.tell("there are no tasks here: a task is a script deploy/NAME.rhai, and `podlift run NAME` runs it");
        return Exit::Done;
    }
    let mut table = Table::new(["TASK", "WHAT IT DOES", "ARGUMENTS"]);
    for task in &tasks {
        let parameters: Vec<String> = task.documentation.parameters.iter().map(argument).collect();
        table.row([task.name.clone(), task.words(), parameters.join(" ")]);
    }
    printer.data(table.render(printer.data_style()));
    Exit::Done
}

/// The tasks of the project here, by name; none where there is no folder of them.
pub fn all() -> Result<Vec<Task>, Failure> {
    let folder = Path::new(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |path: &Path, error: std::io::Error| Failure::failed(format!("{} cannot be read: {error}", path.display()));
    let language = engine::language();
    let mut tasks = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| unreadable(folder, error))? {
        let file = entry.map_err(|error| unreadable(folder, error))?.path();
        let name = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".rhai"));
        // NAME.d.rhai is a definition file, for editors.
        let Some(name) = name.filter(|name| !name.contains('.') && file.is_file()).map(str::to_owned) else { continue };
        let text = fs::read_to_string(&file).map_err(|error| unreadable(&file, error))?;
        let parses = language.compile(&text).is_ok();
        tasks.push(Task { name, documentation: Documentation::of(&text), parses, file });
    }
    tasks.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(tasks)
}

fn argument(parameter: &Parameter) -> String {
    match (&parameter.required, &parameter.default) {
        (Some(_), _) => format!("{}=…", parameter.name),
        (None, Some(default)) => format!("[{}={}]", parameter.name, default.trim_matches('"')),
        (None, None) => format!("[{}=…]", parameter.name),
    }
}
