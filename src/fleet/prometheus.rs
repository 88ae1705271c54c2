//! What a Prometheus server says, by its HTTP API (`/api/v1/query`).

use std::time::Duration;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use serde_json::Value;

use super::{Fleet, Secrets, http};
use crate::{
    failure::{Failure, FailureKind},
    model::Prometheus,
    op::{Measure, Measured, Series},
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many series are told of more than one.
const TOLD: usize = 5;

/// Asks for the value of an expression, now.
pub async fn query(fleet: &Fleet, op: &Measure) -> Result<Measured, Failure> {
    let server = &op.prometheus;
    let url = format!("{}/api/v1/query?query={}", server.url, http::query(&op.promql));
    let headers = headers(server, fleet.secrets())?;
    let asked = http::ask(fleet, server.via.as_ref(), &url, &headers, PATIENCE).await;
    let late = || Failure::new(FailureKind::Timeout, format!("{server} did not answer within {} s", PATIENCE.as_secs()));
    // The URL that did not answer is told without the expression, which is in the script.
    let (code, body) = asked
        .unwrap_or_else(|_| Err(late()))
        .map_err(|failure| Failure { message: failure.message.replace(&url, &server.url), ..failure })?;
    read(server, code, &body, fleet.secrets())
}

fn headers(server: &Prometheus, secrets: &Secrets) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for (name, value) in &server.headers {
        let invalid = || Failure::refused(format!("the header {name} for {server} has a line's end or a control character in its value"));
        let mut value = HeaderValue::from_str(&secrets.resolve(value)?).map_err(|_| invalid())?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?, value);
    }
    Ok(headers)
}

/// Reads an answer of the API: a vector or a scalar; what says why it has none is told.
/// Its words are told without secrets.
fn read(server: &Prometheus, code: u16, body: &str, secrets: &Secrets) -> Result<Measured, Failure> {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    if let Some(error) = json["error"].as_str() {
        return Err(Failure::failed(format!("{server} refused the query")).detail("Prometheus", secrets.redact(error)));
    }
    let foreign = || {
        let failure = Failure::failed(format!("{server} answered {code}, and not as Prometheus does"));
        match code {
            401 | 403 => failure.hint("give it who asks: prometheus(url, #{ headers: #{ Authorization: `Bearer ${secret(\"TOKEN\")}` } })"),
            300..=399 => failure.hint("give the address that it leads to: it is not followed"),
            200 => failure.hint("an answer over 1 MB is cut off: let the expression have one series, with sum(…) or another aggregation"),
            _ => failure.hint("its URL is what stands before /api/v1/query"),
        }
    };
    let (kind, result) = (json["data"]["resultType"].as_str().ok_or_else(foreign)?, &json["data"]["result"]);
    let series = match kind {
        "scalar" => vec![Series { labels: "{}".into(), value: number(result).ok_or_else(foreign)? }],
        "vector" => {
            let all = result.as_array().ok_or_else(foreign)?;
            let one =
                |series: &Value| Some(Series { labels: secrets.redact(&labels(&series["metric"])), value: number(&series["value"])? });
            all.iter().map(|series| one(series).ok_or_else(foreign)).collect::<Result<_, _>>()?
        }
        other => {
            return Err(Failure::refused(format!("the expression has a {other} for its value, and is to have one number"))
                .hint("a range such as x[5m] goes into a function: rate(x[5m])"));
        }
    };
    Ok(Measured { count: series.len() as u64, series: series.into_iter().take(TOLD).collect() })
}

/// `[TIME, "VALUE"]`.
fn number(sample: &Value) -> Option<String> {
    sample[1].as_str().map(str::to_owned)
}

fn labels(metric: &Value) -> String {
    let name = metric["__name__"].as_str().unwrap_or_default();
    let others = metric.as_object().into_iter().flatten().filter(|(label, _)| *label != "__name__");
    let others: Vec<String> = others.map(|(label, value)| format!("{label}={value}")).collect();
    format!("{name}{{{}}}", others.join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Text, text::Part};

    fn read(code: u16, body: &str) -> Result<Measured, Failure> {
        let secrets = Secrets::new(|_| Some("hunter22hunter".into()));
        secrets.resolve(&Text::new([Part::Secret { secret: "TOKEN".into() }])).expect("set");
        super::read(&Prometheus::new("http://metrics:9090", None, BTreeMap::new()).expect("valid"), code, body, &secrets)
    }

    #[test]
    fn a_secret_in_its_words_is_not_told() {
        let series =
            r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"key":"hunter22hunter"},"value":[1,"1"]}]}}"#;
        let labels = &read(200, series).expect("a number").series[0].labels;
        assert!(labels.starts_with("{key=") && !labels.contains("hunter22"), "{labels}");
        let failure = read(400, r#"{"status":"error","error":"no hunter22hunter here"}"#).expect_err("refused");
        assert!(failure.details[0].text.contains("here") && !failure.details[0].text.contains("hunter22"), "{failure:?}");
    }

    #[test]
    fn a_vector_and_a_scalar_are_series() {
        let one = read(200, r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"NaN"]}}"#).expect("a number");
        assert_eq!((one.count, one.series[0].value.as_str()), (1, "NaN"));
        let series = r#"{"metric":{"__name__":"up","job":"a"},"value":[1.5,"1"]},"#.repeat(7);
        let body = format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{}]}}}}"#, series.trim_end_matches(','));
        let many = read(200, &body).expect("series");
        assert_eq!((many.count, many.series.len(), many.series[0].labels.as_str()), (7, 5, r#"up{job="a"}"#));
    }

    #[test]
    fn what_is_no_number_is_told() {
        let told = |code, body| {
            let failure = read(code, body).expect_err("no number");
            format!("{} {:?} {:?}", failure.message, failure.details.iter().map(|detail| &detail.text).collect::<Vec<_>>(), failure.hints)
        };
        let bad = told(400, r#"{"status":"error","errorType":"bad_data","error":"parse error: unclosed left parenthesis"}"#);
        assert!(bad.contains("refused the query") && bad.contains("unclosed"), "{bad}");
        assert!(told(401, "Unauthorized").contains("Authorization"));
        assert!(told(302, "").contains("give the address that it leads to"));
        assert!(told(404, "<html>").contains("/api/v1/query"));
        assert!(told(200, r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#).contains("rate("));
        assert!(told(200, r#"{"status":"success","data":{"resultType":"vector","result":[{}]}}"#).contains("not as Prometheus"));
    }
}
