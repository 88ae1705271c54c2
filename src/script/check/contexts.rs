//! Contexts and Dockerfiles of builds that are written out and are not there.

use std::{collections::BTreeSet, path::Path};

use rhai::{ASTNode, Expr, Position, Stmt};

use super::{
    Finding,
    program::{Program, Script, may_be_left_out},
    vocabulary::Vocabulary,
};

/// What a path is written with: the words, and where they are.
type Written<'a> = (&'a str, Position);

/// Finds them beside the script, unless a command of this machine that may come before can make them, or only a run knows whether the
/// build is made at all.
pub fn missing(script: &Script, program: &Program, _: &Vocabulary) -> Vec<Finding> {
    let Some(folder) = program.folder() else { return Vec::new() };
    let commands = Commands::of(script, program);
    let unsure = made_in_some_cases(script);
    let mut findings = Vec::new();
    script.each_known_call(|called| {
        let is_own = script.functions.iter().any(|function| function.name == "build");
        let Some(Expr::Map(map, _)) = called.call.args.last().filter(|_| called.call.name == "build" && !called.call.is_qualified()) else {
            return;
        };
        let option = |key: &str| map.0.iter().find(|(name, _)| name.name == key).map(|(_, value)| written(value));
        if commands.may_come_before(called.position) || unsure.contains(&called.position) {
            return;
        }
        // What is put together when the script runs is not known before.
        if let (false, None | Some(Some(_)), None | Some(Some(_))) = (is_own, option("context"), option("dockerfile")) {
            let found = problem(&folder, option("context").flatten(), option("dockerfile").flatten());
            findings.extend(found.map(|(position, message)| {
                program
                    .finding(position, message)
                    .hint("paths of a build are relative: the context's to the script, the Dockerfile's to the context")
            }));
        }
    });
    findings
}

fn problem(folder: &Path, context: Option<Written<'_>>, dockerfile: Option<Written<'_>>) -> Option<(Position, String)> {
    let (name, position) = context.or(dockerfile.map(|(_, position)| (".", position)))?;
    let place = folder.join(context.map_or(".", |(name, _)| name));
    if !place.is_dir() {
        return Some((position, format!("the build context {name:?} is no folder that is there")));
    }
    let (file, position) = dockerfile.unwrap_or(("Dockerfile", position));
    (!place.join(file).is_file()).then(|| (position, format!("there is no {file} in the build context {name:?}")))
}

fn written(expression: &Expr) -> Option<Written<'_>> {
    if let Expr::StringConstant(text, position) = expression { Some((text.as_str(), *position)) } else { None }
}

/// The commands that may be of this machine: all but those in containers of their own.
struct Commands {
    /// Whether a module or a function has one: when that is called only a run knows.
    anywhere: bool,
    /// Those that stand in the script itself, in its closures too.
    in_order: BTreeSet<Position>,
    /// The calls that are made where they stand, once, in a script that nobody imports.
    once: BTreeSet<Position>,
}

impl Commands {
    fn of(script: &Script, program: &Program) -> Self {
        let mut commands = Self { anywhere: false, in_order: BTreeSet::new(), once: BTreeSet::new() };
        for other in program.scripts.iter().filter(|other| !other.name().starts_with("std/")) {
            other.each_call(|called| {
                let is_one_off = !called.method && matches!(called.call.args.first(), Some(Expr::Array(place, _)) if place.len() == 3);
                if called.call.name != "hook" || is_one_off {
                    return;
                }
                if other.name() == script.name() && !script.is_in_a_function(called.position) {
                    commands.in_order.insert(called.position);
                } else {
                    commands.anywhere = true;
                }
            });
        }
        if !program.is_imported(script) {
            commands.once = made_once(script);
        }
        commands
    }

    /// Whether one of them may have run before a call at this place.
    fn may_come_before(&self, place: Position) -> bool {
        let is_in_order = self.once.contains(&place);
        self.anywhere || self.in_order.iter().any(|command| !is_in_order || *command < place)
    }
}

/// The calls that a script makes in some cases only.
fn made_in_some_cases(script: &Script) -> BTreeSet<Position> {
    let mut found = BTreeSet::new();
    script.tree().walk(&mut |path: &[ASTNode<'_>]| {
        if let Some(ASTNode::Expr(Expr::FnCall(_, position)) | ASTNode::Stmt(Stmt::FnCall(_, position))) = path.last()
            && path.iter().any(may_be_left_out)
        {
            found.insert(*position);
        }
        true
    });
    found
}

/// The calls of a script's own statements that are in no loop.
fn made_once(script: &Script) -> BTreeSet<Position> {
    let mut found = BTreeSet::new();
    script.tree().clone_statements_only().walk(&mut |path: &[ASTNode<'_>]| {
        let is_loop = |node: &ASTNode<'_>| matches!(node, ASTNode::Stmt(Stmt::While(..) | Stmt::Do(..) | Stmt::For(..)));
        if let Some(ASTNode::Expr(Expr::FnCall(_, position)) | ASTNode::Stmt(Stmt::FnCall(_, position))) = path.last()
            && !path.iter().any(is_loop)
        {
            found.insert(*position);
        }
        true
    });
    found
}
