//! The strategies of the standard library, while something goes wrong: a choice of the faults at all of their calls, so that it
//! takes seconds. `scripts/bench-tests` tries all.

use super::{Bounds, SINGLE, subject, told};
use crate::commands::proof::prove;

/// A choice that is the same each time.
const CHOICE: Bounds = Bounds { runs: 60, seed: 6, ..SINGLE };

#[track_caller]
fn holds(call: &str) {
    let proof = prove(&subject(call), &CHOICE, &|_, _| {}).expect("it works where nothing goes wrong");
    assert!(proof.findings.is_empty(), "{call}: {}", told(&proof));
    assert!(proof.stories > 50, "{call}: {} stories", proof.stories);
}

macro_rules! strategies {
    ($($name:ident: $call:literal;)*) => {
        $(#[test]
        fn $name() {
            holds($call);
        })*
    };
}

strategies! {
    rolling_in_one_batch: "rolling::deploy(web, img, fleet, #{ batch: \"100%\" });";
    rolling_that_skips: "rolling::deploy(web, img, fleet, #{ on_failure: \"skip\" });";
    rolling_that_holds: "rolling::deploy(web, img, fleet, #{ on_failure: \"hold\" });";
    rolling_that_stops_first: "rolling::deploy(web, img, fleet, #{ order: \"stop-first\", allow_downtime: true });";
    recreate_that_holds: "recreate::deploy(web, img, fleet, #{ on_failure: \"hold\" });";
    blue_green_that_holds: "blue_green::deploy(web, img, fleet, #{ on_failure: \"hold\", soak: \"1m\", gates: gates::guide() });";
    canary_that_holds: "canary::deploy(web, img, fleet, #{ steps: [5, 50], on_failure: \"hold\" });";
    recreate: "recreate::deploy(web, img, fleet);";
    blue_green_that_keeps: "blue_green::deploy(web, img, fleet, #{ soak: \"1m\", gates: gates::guide(), standby: true });";
    canary_by_weight: "canary::deploy(web, img, fleet, #{ steps: [5, 50] });";
    canary_by_hosts: "canary::deploy(web, img, fleet, #{ by: \"hosts\", steps: [1] });";
}
