//! What a service's things at a proxy are called, and which words may stand in the proxy's file.

use core::net::IpAddr;
use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use crate::{
    failure::Failure,
    model::{Endpoint, Front, Mark, ProjectName, RouteTable, ServiceName},
};

/// The address and port where each service shows its generation: on the loopback interface.
pub const PAGE: (&str, u16) = ("127.0.0.1", 19999);

/// The same where nginx has a network of its own. Another port: a reload cannot listen on all addresses of a port while it
/// still listens on one, as when a container went from one network to the other.
pub const OPEN_PAGE: (&str, u16) = ("*", 19998);

/// How many marks may lead to releases at once.
const MOST_PREVIEWS: usize = 9;

/// The longest name that fits nginx's hashes of names at their default bucket size of 64 bytes.
const LONGEST_HASHED: usize = 40;

/// The service's file without its extension. A dot divides the two names because neither may contain one, while both may
/// contain a hyphen.
pub fn base(project: &ProjectName, service: &ServiceName) -> String {
    format!("podlift-{project}.{service}")
}

/// The service's name inside nginx's configuration: its upstream, and what its variables and log format begin with.
pub fn identifier(project: &ProjectName, service: &ServiceName) -> String {
    // A label neither begins nor ends with a hyphen, so the single underscore between the two stays recognisable.
    let readable = format!("podlift_{}_{}", project.as_str().replace('-', "__"), service.as_str().replace('-', "__"));
    if readable.len() <= LONGEST_HASHED - "_connection".len() { readable } else { format!("podlift_{}", digest(project, service)) }
}

/// The server name of the page that shows the service's generation.
pub fn page(project: &ProjectName, service: &ServiceName) -> String {
    let readable = format!("{service}.{project}.podlift");
    if readable.len() <= LONGEST_HASHED { readable } else { format!("{}.podlift", digest(project, service)) }
}

fn digest(project: &ProjectName, service: &ServiceName) -> String {
    let digest = Sha256::digest(format!("{project}/{service}"));
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}

/// Checks every value of the table that goes into the proxy's file: none may end a directive or begin another.
pub fn check(table: &RouteTable) -> Result<(), Failure> {
    check_front(&table.front)?;
    for endpoint in table.shares.values().flatten().flat_map(|share| &share.containers) {
        check_endpoint(endpoint)?;
    }
    for endpoint in table.previews.values().flatten().flat_map(|preview| &preview.containers) {
        check_endpoint(endpoint)?;
    }
    let marks: BTreeSet<&Mark> = table.previews.values().flatten().map(|preview| &preview.mark).collect();
    if let Some(mark) = marks.iter().find(|mark| !mark.is_sound()) {
        return Err(refusal("a preview's header or cookie", &mark.to_string(), "a plain name and value"));
    }
    if marks.len() > MOST_PREVIEWS {
        return Err(Failure::refused(format!("{} has {} previews, and there can be {MOST_PREVIEWS}", table.service, marks.len()))
            .hint("drain the releases that nobody tests any longer: that ends their previews"));
    }
    Ok(())
}

fn check_endpoint(endpoint: &Endpoint) -> Result<(), Failure> {
    if is_address(&endpoint.address) && endpoint.port != 0 {
        return Ok(());
    }
    let address = format!("{}:{}", endpoint.address, endpoint.port);
    Err(refusal("the address of a container", &address, "an IP address or host name with a port"))
}

fn check_front(front: &Front) -> Result<(), Failure> {
    if [0, PAGE.1, OPEN_PAGE.1].contains(&front.listen) {
        let rule = format!("a port from 1 to 65535, and not {} or {}, where services show their generation", PAGE.1, OPEN_PAGE.1);
        return Err(refusal("`listen`", &front.listen.to_string(), &rule));
    }
    if let Some(domain) = front.domain.as_deref().filter(|domain| !is_domain(domain)) {
        return Err(refusal("`domain`", domain, "a DNS name; its first label may be `*`"));
    }
    if let Some(cookie) = front.sticky.as_deref().filter(|cookie| !is_cookie(cookie)) {
        return Err(refusal("`sticky`", cookie, "letters, digits and `_`, at most 64"));
    }
    if let Some(tls) = &front.tls {
        check_path("`tls.certificate`", &tls.certificate)?;
        check_path("`tls.key`", &tls.key)?;
    }
    Ok(())
}

/// Checks an absolute path that goes into a file or a script of the proxy.
pub fn check_path(what: &str, path: &str) -> Result<(), Failure> {
    let plain = |character: char| character.is_alphanumeric() || " /._+@:,=~-".contains(character);
    if path.starts_with('/') && path.chars().all(plain) {
        return Ok(());
    }
    Err(refusal(what, path, "an absolute path of letters, digits, spaces and `/._+@:,=~-`"))
}

fn is_domain(domain: &str) -> bool {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
    };
    domain.len() <= 253 && name.split('.').all(label) && name != "_"
}

fn is_cookie(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

fn is_address(address: &str) -> bool {
    address.parse::<IpAddr>().is_ok() || (is_domain(address) && !address.starts_with('*'))
}

fn refusal(what: &str, value: &str, rule: &str) -> Failure {
    Failure::refused(format!("{what} is {value:?}, which cannot stand in nginx's configuration")).hint(format!("write it as {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tls;

    fn names(project: &str, service: &str) -> (ProjectName, ServiceName) {
        (ProjectName::new(project).expect("valid"), ServiceName::new(service).expect("valid"))
    }

    #[test]
    fn hyphens_do_not_make_two_services_one() {
        let (left, right) = (names("a-b", "c"), names("a", "b-c"));
        assert_eq!(base(&left.0, &left.1), "podlift-a-b.c");
        assert_eq!(base(&right.0, &right.1), "podlift-a.b-c");
        assert_eq!(identifier(&left.0, &left.1), "podlift_a__b_c");
        assert_eq!(identifier(&right.0, &right.1), "podlift_a_b__c");
    }

    #[test]
    fn long_names_still_fit_nginxs_hashes() {
        let (project, service) = names(&"p".repeat(40), &"s".repeat(40));
        assert_eq!(identifier(&project, &service).len(), "podlift_".len() + 16);
        assert!(format!("{}_connection", identifier(&project, &service)).len() <= LONGEST_HASHED);
        assert!(page(&project, &service).len() <= LONGEST_HASHED);
    }

    #[test]
    fn hostile_values_are_refused() {
        let front = || Front { domain: None, listen: 80, tls: None, server: true, sticky: None };
        for domain in ["", "a b", "a;b", "a{", "a\nb", "\"a\"", "$host", "a..b", "-a", "*.*", "~^a$", "_"] {
            assert!(check_front(&Front { domain: Some(domain.into()), ..front() }).is_err(), "{domain:?}");
        }
        for path in ["", "relative", "/a;b", "/a\"b", "/a'b", "/a\nb", "/$a", "/a{b}", "/a\\", "/a#b"] {
            let tls = Some(Tls { certificate: path.into(), key: "/k".into() });
            assert!(check_front(&Front { tls, ..front() }).is_err(), "{path:?}");
        }
        for cookie in ["", "a-b", "a;b", "a b", "$a"] {
            assert!(check_front(&Front { sticky: Some(cookie.into()), ..front() }).is_err(), "{cookie:?}");
        }
        assert!(check_front(&Front { listen: 0, ..front() }).is_err());
        assert!(check_front(&Front { listen: PAGE.1, ..front() }).is_err());
        assert!(check_front(&Front { listen: OPEN_PAGE.1, ..front() }).is_err());
        for address in ["", "a b", "127.0.0.1; }", "unix:/x", "*.a", "[::1]"] {
            assert!(!is_address(address), "{address:?}");
        }
        assert!(check_front(&Front { domain: Some("*.shop.example.com".into()), ..front() }).is_ok());
        assert!(is_address("::1") && is_address("10.0.0.1") && is_address("node-1.internal"));
    }
}
