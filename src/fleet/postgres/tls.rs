//! TLS for Postgres, as libpq's `sslmode` means it.

use std::{io, pin::Pin, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use rustls_platform_verifier::Verifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::{
    address::{Address, Check},
    session::Wire,
};
use crate::{failure::Failure, model::Database};

/// Makes TLS sessions with one server.
pub struct Tls {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Tls {
    /// With what the address asks of the server's certificate.
    pub fn new(database: &Database, server: &str, address: &Address) -> Result<Self, Failure> {
        let provider = Arc::new(ring::default_provider());
        let said = |error: &dyn std::error::Error| Failure::refused(format!("there is no TLS with the database {database}: {error}"));
        let inner: Option<Arc<dyn ServerCertVerifier>> = match (address.check, &address.roots) {
            (Check::Nothing, _) => None,
            (_, None) => Some(Arc::new(Verifier::new(provider.clone()).map_err(|error| said(&error))?)),
            (_, Some(roots)) => {
                let mut store = RootCertStore::empty();
                for certificate in &roots.certificates {
                    store.add(certificate.clone()).map_err(|error| roots.refused(database, &format!("cannot be used: {error}")))?;
                }
                let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone());
                Some(builder.build().map_err(|error| said(&error))?)
            }
        };
        let verifier = Arc::new(Checked { check: address.check, inner, provider: provider.clone() });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| said(&error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let server = ServerName::try_from(server.to_owned()).map_err(|error| said(&error))?;
        Ok(Self { config: Arc::new(config), server })
    }
}

/// Why there is no encrypted session with the server, where that is it: what is wrong with its certificate, and what to do.
pub fn refusal(database: &Database, address: &Address, error: &tokio_postgres::Error) -> Option<Failure> {
    let cause = std::error::Error::source(error)?;
    if cause.to_string().contains("server does not support TLS") {
        let failure = Failure::refused(format!("the server of the database {database} does not encrypt, and its URL asks for that"));
        return Some(failure.hint("turn `ssl` on in postgresql.conf; `sslmode=disable` in the URL goes without"));
    }
    let rustls::Error::InvalidCertificate(wrong) = cause.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>()? else {
        return None;
    };
    let signers = address.signers();
    let (why, hint) = match wrong {
        // A bad signature: there is a CA of that name, and it is another one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            format!("is signed by nobody in {signers}"),
            "name the CA that has signed it: `sslrootcert=FILE` in the URL, relative to the script's folder",
        ),
        CertificateError::NotValidForName => ("is for another name".into(), NAME),
        CertificateError::NotValidForNameContext { expected, presented } => {
            (format!("is for {}, and not for {}", names(presented), expected.to_str()), NAME)
        }
        CertificateError::Expired => ("has expired".into(), "renew it on the server"),
        CertificateError::ExpiredContext { not_after, .. } => (format!("has expired, at {}", date(*not_after)), "renew it on the server"),
        CertificateError::NotValidYet => ("is not valid yet".into(), CLOCKS),
        CertificateError::NotValidYetContext { not_before, .. } => (format!("is not valid before {}", date(*not_before)), CLOCKS),
        other => (format!("cannot be used: {other}"), "make one of version 3, with a subjectAltName, and signed by a CA and not by itself"),
    };
    Some(Failure::refused(format!("the certificate of the database {database} {why}")).hint(hint))
}

const NAME: &str = "put a name of the certificate into the URL; `sslmode=verify-ca` with `sslrootcert` does not look at the name";
const CLOCKS: &str = "compare the clocks of this machine and of the server";

/// Names as people write them; the library has `DnsName("db")` and `IpAddress(127.0.0.1)`.
fn names(presented: &[String]) -> String {
    let bare =
        |name: &String| name.split_once('(').map_or(name.as_str(), |(_, name)| name.trim_end_matches(')')).trim_matches('"').to_owned();
    let names: Vec<String> = presented.iter().map(bare).collect();
    if names.is_empty() { "no name at all (it has no subjectAltName)".into() } else { names.join(", ") }
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map_or_else(|_| "some time".into(), |time| time.to_string())
}

impl TlsConnect<Wire> for Tls {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, stream: Wire) -> Self::Future {
        Box::pin(async move { Ok(Encrypted(Box::new(TlsConnector::from(self.config).connect(self.server, stream).await?))) })
    }
}

/// An encrypted connection.
pub struct Encrypted(Box<tokio_rustls::client::TlsStream<Wire>>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>, bytes: &[u8]) -> std::task::Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        Pin::new(&mut *self.0).poll_shutdown(context)
    }
}

/// Checks what an address asks for.
#[derive(Debug)]
struct Checked {
    check: Check,
    /// None where nothing is checked. Then signatures are not either: that a server holds the key of a certificate which anyone could
    /// have made says nothing, and old certificates (of version 1) could not even be read.
    inner: Option<Arc<dyn ServerCertVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        match inner.verify_server_cert(certificate, between, name, ocsp, now) {
            // The name is looked at last: everything else is in order.
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
                if self.check == Check::Issuer =>
            {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let asserted = || Ok(HandshakeSignatureValid::assertion());
        self.inner.as_ref().map_or_else(asserted, |inner| inner.verify_tls12_signature(message, certificate, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let asserted = || Ok(HandshakeSignatureValid::assertion());
        self.inner.as_ref().map_or_else(asserted, |inner| inner.verify_tls13_signature(message, certificate, signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
