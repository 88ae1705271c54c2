//! `prometheus`, and what `query` asks it.

use rhai::Dynamic;

use super::{Arguments, Caller, Function, Trouble, declare::variables};
use crate::{
    failure::{Failure, FailureKind},
    model::{Host, Prometheus},
    op::{self, Measured, Series},
    script::options::Options,
};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "prometheus",
    parameters: &["url", "options?"],
    returns: "Prometheus",
    doc: "A Prometheus server, for `query`: \"http://10.0.0.9:9090\".",
    body: prometheus,
}];

fn prometheus(caller: &Caller<'_>, arguments: &Arguments<'_>) -> Result<Dynamic, Trouble> {
    let options = arguments.options()?;
    let via = options.get("via").and_then(|host| host.clone().try_cast::<Host>());
    let headers = variables(&caller.session, &options.map("headers"))?;
    Ok(Dynamic::from(Prometheus::new(&arguments.plain(0)?, via, headers)?))
}

/// The value of an expression that has one series. Without data it is `empty`, where that was given.
pub(super) fn query(caller: &Caller<'_>, prometheus: Prometheus, arguments: &Arguments<'_>, options: &Options) -> Result<Dynamic, Trouble> {
    let promql = arguments.plain(1)?;
    if promql.trim().is_empty() {
        return Err(Failure::refused("there is no expression").into());
    }
    let measured = caller.perform(op::Measure { prometheus, promql: promql.clone(), assume: options.number("assume") })?;
    Ok(value(&promql, &measured, options.number("empty"))?.into())
}

fn value(promql: &str, measured: &Measured, empty: Option<f64>) -> Result<f64, Failure> {
    if measured.count > 1 {
        let some: Vec<&str> = measured.series.iter().map(|series| series.labels.as_str()).collect();
        return Err(Failure::new(FailureKind::NoData, format!("{promql} has {} series, and is to have one", measured.count))
            .detail("the first of them", some.join("\n"))
            .hint("make them one with sum(…), max(…) or another aggregation, or choose one by its labels"));
    }
    let number = measured.series.first().map(|Series { value, .. }| value.parse::<f64>());
    match (number, empty) {
        (Some(Ok(number)), _) if !number.is_nan() => Ok(number),
        (Some(Err(_)), _) => Err(Failure::failed(format!("{promql} has a value that is no number: {}", measured.series[0].value))),
        (_, Some(empty)) => Ok(empty),
        (Some(Ok(_)), None) => Err(no_data(format!("{promql} is NaN: there was nothing to divide by"))),
        (None, None) => Err(no_data(format!("{promql} has no data"))),
    }
}

fn no_data(message: String) -> Failure {
    Failure::new(FailureKind::NoData, message).hint("where that means something, say what: .query(promql, #{ empty: 0.0 })")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str], empty: Option<f64>) -> Result<f64, String> {
        let one = |value: &&str| Series { labels: "up{}".into(), value: (*value).into() };
        let measured = Measured { count: values.len() as u64, series: values.iter().map(one).collect() };
        value("x", &measured, empty).map_err(|failure| format!("{} {}", failure.kind.word(), failure.message))
    }

    #[test]
    fn one_number_is_a_value_and_nothing_else_is() {
        assert_eq!(of(&["0.25"], None), Ok(0.25));
        assert_eq!(of(&["+Inf"], Some(1.0)), Ok(f64::INFINITY));
        assert_eq!(of(&[], Some(0.0)), Ok(0.0));
        assert_eq!(of(&["NaN"], Some(1.0)), Ok(1.0));
        assert_eq!(of(&[], None), Err("no_data x has no data".into()));
        assert_eq!(of(&["NaN"], None), Err("no_data x is NaN: there was nothing to divide by".into()));
        assert_eq!(of(&["1", "2"], Some(0.0)), Err("no_data x has 2 series, and is to have one".into()));
    }
}
