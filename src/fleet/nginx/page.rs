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
    let request = format!("GET / HTTP/1.0\r\nHost: {}\r\n\r\n", names::page(project, service));
    let exchange = async {
        let mut stream = connection.tcp(address, port).await?;
        let mut answer = Vec::new();
        let sent = stream.write_all(request.as_bytes()).await;
        if sent.is_ok() {
            // An error here is a page that is not there: a forwarded connection opens before the other end is tried.
            let _ = (&mut stream).take(4096).read_to_end(&mut answer).await;
        }
        Ok(read(&String::from_utf8_lossy(&answer)))
    };
    timeout(Duration::from_secs(10), exchange).await.unwrap_or(Ok(None))
}

fn read(answer: &str) -> Option<u64> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.split(' ').nth(1).filter(|code| *code == "200")?;
    body.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_is_a_generation() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\n12\n"), Some(12));
        assert_eq!(read("HTTP/1.1 404 Not Found\r\n\r\n12\n"), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\n\r\n<html>"), None);
        assert_eq!(read(""), None);
    }
}
