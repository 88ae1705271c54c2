//! Programs: on the operator's own machine and on hosts, with what they read and write.
#![expect(clippy::disallowed_types, reason = "fleet/ starts programs")]

use std::{io, process::Stdio};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::OUTPUT_LIMIT;
use crate::{
    fleet::{group::Group, ssh::OpenSession},
    op::CommandOutput,
};

/// Runs a program on the operator's own machine; one that is `watched` ends with podlift, however that ends.
pub(super) async fn here(program: &[&str], stdin: &[u8], watched: bool) -> io::Result<CommandOutput> {
    let (program, arguments) = program.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let watched = if watched { Some(Group::watched().await?) } else { None };
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .process_group(watched.as_ref().map_or(0, Group::id))
        .spawn();
    let mut child = match child {
        // As the shell on a host says it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(CommandOutput { code: 127, stdout: String::new(), stderr: format!("{program}: not found\n") });
        }
        child => child?,
    };
    // Dropped before the program and its pipes are.
    let group = watched.unwrap_or_else(|| Group::led_by(&child));
    let streams = (child.stdin.take(), child.stdout.as_mut(), child.stderr.as_mut());
    let (stdout, stderr) = converse(streams, stdin).await?;
    let code = exit_code(child.wait().await?);
    group.leave().await;
    Ok(CommandOutput { code, stdout, stderr })
}

/// Runs a program on a host.
pub(super) async fn there(session: &OpenSession, program: &[&str], stdin: &[u8]) -> Result<CommandOutput, openssh::Error> {
    use openssh::Stdio;
    let line = quoted(program);
    let mut child =
        session.session().arc_raw_command(&line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().await?;
    let streams = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (stdout, stderr) = converse(streams, stdin).await.map_err(openssh::Error::Remote)?;
    let code = match child.wait().await {
        Ok(status) => exit_code(status),
        // The crate takes a shell's "command not found" for an error of its own.
        Err(openssh::Error::Remote(error)) if error.kind() == io::ErrorKind::NotFound => 127,
        // A signal ended it; the protocol does not tell which.
        Err(openssh::Error::RemoteProcessTerminated) if session.is_alive().await => 128,
        Err(error) => return Err(error),
    };
    Ok(CommandOutput { code, stdout, stderr })
}

/// Writes what a program reads, and reads what it writes, at once.
async fn converse<I, O, E>((input, output, error): (Option<I>, Option<O>, Option<E>), stdin: &[u8]) -> io::Result<(String, String)>
where
    I: AsyncWrite + Unpin,
    O: AsyncRead + Unpin,
    E: AsyncRead + Unpin,
{
    let write = async {
        if let Some(mut input) = input {
            // A program may end without having read everything.
            let _ = input.write_all(stdin).await;
            let _ = input.shutdown().await;
        }
    };
    let ((), output, error) = tokio::join!(write, limited(output), limited(error));
    Ok((output?, error?))
}

/// Reads to the end, and keeps the beginning.
async fn limited(stream: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let Some(mut stream) = stream else { return Ok(String::new()) };
    let mut kept = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match stream.read(&mut chunk).await? {
            0 => return Ok(String::from_utf8_lossy(&kept).into_owned()),
            count => kept.extend_from_slice(&chunk[..count.min(OUTPUT_LIMIT - kept.len())]),
        }
    }
}

/// The exit code; a signal counts as 128 and its number.
pub fn exit_code(status: std::process::ExitStatus) -> i64 {
    use std::os::unix::process::ExitStatusExt;
    status.code().map(i64::from).or_else(|| status.signal().map(|signal| 128 + i64::from(signal))).unwrap_or(-1)
}

/// The words as a POSIX shell takes them for exactly these words.
pub fn quoted(program: &[&str]) -> String {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:@%+,".contains(c));
    let quote = |word: &&str| if plain(word) { (*word).to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) };
    program.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// The beginning of a command, for people.
pub(super) fn first_words(program: &[&str]) -> String {
    let line = program.join(" ");
    let line = line.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(60).collect();
    if cut.len() < line.len() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_sees_each_word_as_it_is() {
        assert_eq!(quoted(&["nginx", "-t"]), "nginx -t");
        assert_eq!(
            quoted(&["echo", "", "a b", "$(id)", "it's", "a\nb", ";", "~", "{a,b}"]),
            "echo '' 'a b' '$(id)' 'it'\\''s' 'a\nb' ';' '~' '{a,b}'"
        );
    }
}
