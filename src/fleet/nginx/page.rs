//! The page, on the loopback interface, where a service shows the generation that nginx serves.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    failure::Failure,
    fleet::connection::Connection,
    model::{ProjectName, ServiceName},
    nginx_file::names,
};

/// The generation that nginx at this address serves now; `None` where it serves no such service.
pub async fn generation(
    connection: &Connection,
    (address, port): (&str, u16),
    project: &ProjectName,
    service: &ServiceName,
) -> Result<Option<u64>, Failure> {
    let name = names::page(project, service);
    let request = format!("GET / HTTP/1.0\r\nHost: {name}\r\n\r\n");
    let exchange = async {
        let mut stream = connection.tcp(address, port).await?;
        let mut answer = Vec::new();
        let sent = stream.write_all(request.as_bytes()).await;
        if sent.is_ok() {
            // An error here is a page that is not there: a forwarded connection opens before the other end is tried.
            let _ = (&mut stream).take(4096).read_to_end(&mut answer).await;
        }
        Ok(read(&String::from_utf8_lossy(&answer), &name))
    };
    timeout(Duration::from_secs(10), exchange).await.unwrap_or(Ok(None))
}

/// The generation on the page of this name: what asks for a service that nginx does not serve is answered by another one's.
fn read(answer: &str, name: &str) -> Option<u64> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|code| *code == "200")?;
    body.trim().strip_suffix(name)?.strip_suffix(' ')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_on_the_services_own_page_is_its_generation() {
        let generation = |answer: &str| read(answer, "web.shop.podlift");
        assert_eq!(generation("HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n12 web.shop.podlift\n"), Some(12));
        assert_eq!(generation("HTTP/1.1 404 Not Found\r\n\r\n12 web.shop.podlift\n"), None);
        assert_eq!(generation("HTTP/1.1 200 OK\r\n\r\n12 api.shop.podlift\n"), None, "another service's");
        assert_eq!(generation("HTTP/1.1 200 OK\r\n\r\n<html> web.shop.podlift"), None);
        assert_eq!(generation(""), None);
    }
}
