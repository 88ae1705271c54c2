//! `podlift logs`

use super::{
    about::{self, spinner},
    exit::Exit,
    follow::follow,
    look::{self, split, tell_all},
};
use crate::{
    cli,
    model::{Container, ContainerName},
    op::Logs,
    terminal::{Printer, clean},
};

/// Shows what a service's containers wrote.
pub fn run(options: &cli::Logs, printer: &Printer) -> Exit {
    let about = match about::find(&options.place, printer) {
        Ok(about) => about,
        Err(exit) => return exit,
    };
    if options.follow {
        return follow(options, about, printer);
    }
    let (states, mut failures) = split(look::survey(&about, spinner(printer)));
    let wanted = |container: &&Container| container.service == options.service && (options.all || container.is_up());
    let ops: Vec<Logs> = states
        .iter()
        .filter_map(|(host, state)| {
            let containers: Vec<ContainerName> = state.containers.values().filter(wanted).map(|container| container.name.clone()).collect();
            let host = about.inventory.hosts.get(host)?.clone();
            (!containers.is_empty()).then_some(Logs { host, containers, lines: options.tail })
        })
        .collect();
    let count: usize = ops.iter().map(|op| op.containers.len()).sum();
    if count == 0 && failures.is_empty() {
        printer.tell(format!(
            "no container of {} in the project {} runs there; --all shows stopped ones",
            options.service, about.inventory.project
        ));
    }
    for answer in look::read(&about, spinner(printer), ops) {
        match answer {
            Ok(texts) => texts.iter().for_each(|text| {
                let lines = lines(&text.container, &text.text, count > 1);
                if !lines.is_empty() {
                    printer.data(lines);
                }
            }),
            Err(failure) => failures.push(failure),
        }
    }
    about.outside.close();
    tell_all(&failures, printer)
}

/// A container's words, each line with its name where there are several containers.
fn lines(container: &ContainerName, text: &str, several: bool) -> String {
    let text = clean::block(text);
    let lines: Vec<String> = text.lines().map(|line| if several { format!("{container} | {line}") } else { line.to_string() }).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_tell_whose_they_are_where_there_are_several() {
        let name = ContainerName::new("shop-web-v1-0123456789-1").expect("valid");
        assert_eq!(lines(&name, "one\n\u{1b}[31mtwo\n", true), "shop-web-v1-0123456789-1 | one\nshop-web-v1-0123456789-1 | two");
        assert_eq!(lines(&name, "one\ntwo\n", false), "one\ntwo");
        assert_eq!(lines(&name, "", true), "");
    }
}
