//! What commands about tasks, the library and editors are called with.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// List the project's tasks.
///
/// A task is a script deploy/NAME.rhai; `//!` at its top says what it does, and params what arguments it takes.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift tasks
  podlift tasks --json")]
pub struct Tasks {
    /// Print a JSON array with an object for each task.
    #[arg(long)]
    pub json: bool,
    /// Print only the names, one a line.
    #[arg(long, conflicts_with = "json")]
    pub names: bool,
}

/// Show the documentation of a function, a strategy or a task.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift docs                     what there is
  podlift docs set_weights
  podlift docs std/rolling
  podlift docs failures
  podlift docs --markdown          everything, as one document")]
pub struct Docs {
    /// A function, std/NAME, a script, a task, or a part of the language reference.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// Write definition files, so that editors complete and document podlift's functions.
///
/// Editors with the Rhai language server read them: podlift's functions, those of Rhai that scripts can call, and the standard
/// library. Run it again after an update; what it writes replaces what it wrote.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift definitions deploy")]
pub struct Definitions {
    /// The folder that the scripts are in.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// Copy a module of the standard library into the project, to change it.
///
/// Prints the line that imports the copy.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift eject std/rolling                          lib/rolling.rhai, in deploy/ if there is one
  podlift eject std/rolling --for ops/nightly.rhai   beside that script, imported as it has to be there
  podlift eject std/rolling --to deploy/lib/careful.rhai")]
pub struct Eject {
    /// The module.
    #[arg(value_name = "std/NAME")]
    pub module: String,
    /// Where it goes.
    #[command(flatten)]
    pub place: ModulePlace,
}

/// Begin something.
#[derive(Clone, Debug, Subcommand)]
pub enum New {
    /// Begin a strategy: a module with a function that works, to change as you need it.
    ///
    /// Prints the line that imports it.
    #[command(after_help = "\
Examples:
  podlift new strategy careful
  podlift new strategy careful --for deploy.rhai")]
    Strategy {
        /// Its name: letters, digits and `_`.
        #[arg(value_name = "NAME")]
        name: String,
        /// Where it goes.
        #[command(flatten)]
        place: ModulePlace,
    },
}

/// Where a module of the project goes.
#[derive(Clone, Debug, Args)]
pub struct ModulePlace {
    /// The script or task that will import it; not given, those of deploy/, or of this folder where there is none.
    #[arg(long = "for", value_name = "SCRIPT|TASK", value_hint = ValueHint::FilePath)]
    pub script: Option<PathBuf>,
    /// The file to write; not given, lib/NAME.rhai beside the script.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
}

/// Print a shell's completion script.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  podlift completions bash > ~/.local/share/bash-completion/completions/podlift
  podlift completions zsh > ~/.zfunc/_podlift
  podlift completions fish > ~/.config/fish/completions/podlift.fish")]
pub struct Completions {
    /// The shell.
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}
