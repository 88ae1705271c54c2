//! A connection to a port of a host.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

use crate::fleet::ssh::Forward;

/// A connection to a port of a host.
pub struct Stream(Inner);

enum Inner {
    Direct(TcpStream),
    /// The forward may be closed once nobody holds it.
    Forwarded {
        stream: UnixStream,
        _forward: Arc<Forward>,
    },
}

impl Stream {
    pub(super) const fn direct(stream: TcpStream) -> Self {
        Self(Inner::Direct(stream))
    }

    pub(super) const fn forwarded(stream: UnixStream, forward: Arc<Forward>) -> Self {
        Self(Inner::Forwarded { stream, _forward: forward })
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Direct(stream) => Pin::new(stream).poll_read(context, buffer),
            Inner::Forwarded { stream, .. } => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Inner::Direct(stream) => Pin::new(stream).poll_write(context, bytes),
            Inner::Forwarded { stream, .. } => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Direct(stream) => Pin::new(stream).poll_flush(context),
            Inner::Forwarded { stream, .. } => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Inner::Direct(stream) => Pin::new(stream).poll_shutdown(context),
            Inner::Forwarded { stream, .. } => Pin::new(stream).poll_shutdown(context),
        }
    }
}
