//! `confirm` and `notify`: people who are asked, and told.

use rhai::{Dynamic, ImmutableString};

use super::{Arguments, Caller, Function, Trouble};
use crate::{executor::Level, model::Period, op, script::values::json};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        name: "confirm",
        parameters: &["question", "options?"],
        returns: "bool",
        doc: "Asks a person. `--yes` answers all questions, `--yes=NAME` the one of that name; where nobody can be asked, `otherwise`\n\
              is the answer, and without it the run is suspended.",
        body: confirm,
    },
    Function {
        name: "notify",
        parameters: &["url", "payload"],
        returns: "",
        doc: "Posts a payload to a URL: a string as it is, anything else as JSON. It never fails a run, and waits 10 seconds at most.",
        body: notify,
    },
];

/// How long an address may take to answer.
const PATIENCE: Period = Period::seconds(10);

fn confirm(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let question = caller.session.circumstances().placeholders.show(&arguments.string(0)?);
    let ask = op::Confirm { question, name: options.text("name"), otherwise: options.bool("otherwise") };
    Ok(caller.perform(ask)?.into())
}

fn notify(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let (url, payload) = (arguments.string(0)?, arguments.value(1));
    let (payload, media_type) = match payload.read_lock::<ImmutableString>() {
        Some(text) => (text.to_string(), "text/plain; charset=utf-8"),
        None => (json::plain(&payload).to_string(), op::Notify::JSON),
    };
    let text = |text: &str| caller.session.text(text);
    let notify = op::Notify { url: text(&url), payload: text(&payload), media_type: media_type.into(), timeout: PATIENCE };
    match caller.session.perform(&caller.origin, notify) {
        Err(failure) if !failure.kind.ends_the_run() => {
            caller.session.say(Level::Warn, &format!("nobody was told: {}", failure.message), &caller.origin);
            Ok(Dynamic::UNIT)
        }
        other => Ok(other.map(Dynamic::from)?),
    }
}
