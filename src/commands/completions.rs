//! `podlift completions`

use std::sync::OnceLock;

use clap::{Command, CommandFactory, builder::PossibleValuesParser};
use clap_complete::Shell;

use super::exit::Exit;
use crate::{
    cli::{self, Cli},
    script::{reference, stdlib},
    terminal::Printer,
};

/// Prints a shell's completion script.
pub fn run(options: &cli::Completions, printer: &Printer) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut with_names(Cli::command()), "podlift", &mut script);
    printer.data(with_tasks(options.shell, &String::from_utf8_lossy(&script)));
    Exit::Done
}

/// The command line with the names that there are where any text is taken: a script of completions can list them, and nothing else.
fn with_names(command: Command) -> Command {
    static PAGES: OnceLock<Vec<String>> = OnceLock::new();
    let pages = PAGES.get_or_init(|| {
        let functions = reference::sections().into_iter().filter(|section| section.is_function).map(|section| section.title.to_owned());
        functions.chain(stdlib::MODULES.iter().map(|(module, _)| format!("std/{module}"))).collect()
    });
    let pages = || pages.iter().map(String::as_str);
    let modules = || pages().filter(|page| page.starts_with("std/"));
    command
        .mut_subcommand("docs", |docs| docs.mut_arg("name", |name| name.value_parser(PossibleValuesParser::new(pages()))))
        .mut_subcommand("eject", |eject| eject.mut_arg("module", |module| module.value_parser(PossibleValuesParser::new(modules()))))
}

/// The same with the tasks of the project that the shell is in, which are asked for when they are wanted. The other shells complete
/// files.
fn with_tasks(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}\n{BASH}"),
        Shell::Fish => format!("{script}{FISH}"),
        Shell::Zsh => {
            let line = |line: &str| {
                let is_script = ["'::script -- ", "':script -- ", "'*::words -- "].iter().any(|begin| line.starts_with(begin));
                let action = line.rfind(":_").filter(|_| is_script);
                action.map_or_else(|| format!("{line}\n"), |at| format!("{}:_podlift_scripts' \\\n", &line[..at]))
            };
            let lines: String = script.lines().map(line).collect();
            lines.replacen("if [ \"$funcstack[1]\"", &format!("{ZSH}\nif [ \"$funcstack[1]\""), 1)
        }
        _ => script.to_owned(),
    }
}

const BASH: &str = r#"_podlift_with_tasks() {
    _podlift "$@"
    local current="${COMP_WORDS[COMP_CWORD]}" word kept=()
    # What only says that something may stand there is no completion.
    for word in "${COMPREPLY[@]}"; do
        [[ $word == [\<\[]* ]] || kept+=("$word")
    done
    COMPREPLY=("${kept[@]}")
    case "${COMP_WORDS[1]}:$COMP_CWORD" in
        run:2|plan:2|test:2|repl:2|docs:2|ps:2|check:*)
            [[ $current == -* ]] || COMPREPLY+=($(compgen -W "$(podlift tasks --names 2>/dev/null)" -- "$current")) ;;
    esac
}
complete -F _podlift_with_tasks -o bashdefault -o default podlift
"#;

const FISH: &str = r#"complete -c podlift -n "__fish_seen_subcommand_from run plan test repl docs ps check" -a "(podlift tasks --names 2>/dev/null)" -d "task"
"#;

const ZSH: &str = r#"_podlift_scripts() {
    local tasks=(${(f)"$(podlift tasks --names 2>/dev/null)"})
    compadd -a tasks
    _files
}
"#;
