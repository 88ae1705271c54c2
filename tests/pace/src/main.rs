//! A fixed script, timed. Built with the feature `debugging` and without it, the difference is what stepping costs where nobody steps:
//! no debugger is registered here, as in a run without `--step`.
//!
//! Prints the nanoseconds of the fastest round, as what else a machine does only makes rounds slower: `podlift-pace ROUNDS`.

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use rhai::{AST, Engine, EvalAltResult, OptimizationLevel};

const WORK: &str = include_str!("work.rhai");

/// An engine with podlift's settings, and a way to stop that is asked as often as podlift's.
fn engine() -> Engine {
    let mut engine = Engine::new();
    engine
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        .set_fail_on_invalid_map_property(true)
        .set_max_call_levels(64)
        .set_max_expr_depths(64, 64)
        .set_max_operations(0)
        .set_max_string_size(16 << 20)
        .set_max_array_size(100_000)
        .set_max_map_size(100_000)
        .on_progress(|_| None)
        .register_fn("weigh", |part: i64| part * 2);
    engine
}

fn time(engine: &Engine, work: &AST) -> Result<u128, Box<EvalAltResult>> {
    let begin = Instant::now();
    let sum: i64 = engine.eval_ast(work)?;
    let took = begin.elapsed().as_nanos();
    // The work is the same whatever it is built with.
    if sum == 19_200 { Ok(took) } else { Err(format!("the work came to {sum}").into()) }
}

fn main() -> ExitCode {
    let rounds = env::args().nth(1).map_or(Ok(25), |rounds| rounds.parse::<usize>());
    let Some(rounds) = rounds.ok().filter(|rounds| *rounds > 0) else {
        let _ = writeln!(io::stderr(), "podlift-pace takes a number of rounds");
        return ExitCode::from(2);
    };
    let engine = engine();
    let timed = engine.compile(WORK).map_err(Into::into).and_then(|work| (0..rounds).map(|_| time(&engine, &work)).collect());
    let written = timed.map_err(|error: Box<EvalAltResult>| error.to_string()).and_then(|times: Vec<u128>| {
        let fastest = times.into_iter().min().unwrap_or_default();
        writeln!(io::stdout(), "{fastest}").map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}
