//! Certificates of a test's own, made by openssl.

use std::fs;
use std::process::Command;

use crate::rig::output;

/// A CA that lives as long as the test.
pub struct Authority {
    folder: tempfile::TempDir,
}

/// A server's certificate and its key, as PEM.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().expect("there is a temporary directory") };
        let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=CA -days 2";
        authority.openssl(new);
        authority
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.read("ca.pem")
    }

    /// A certificate for a name such as `DNS:db.internal` or `IP:127.0.0.1`, for so many days; it has expired where they are -1.
    pub fn certify(&self, name: &str, days: i32) -> Certificate {
        fs::write(self.folder.path().join("extensions"), format!("basicConstraints=CA:FALSE\nsubjectAltName={name}\n")).expect("written");
        self.sign(&format!("-days {days} -extfile extensions"))
    }

    /// One as `openssl x509 -req` makes it by itself: of version 1, without any name but its subject's.
    pub fn certify_as_of_old(&self) -> Certificate {
        self.sign("-days 2")
    }

    fn sign(&self, how: &str) -> Certificate {
        self.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1");
        self.openssl(&format!("x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out server.pem {how}"));
        Certificate { certificate: self.read("server.pem"), key: self.read("server.key") }
    }

    fn openssl(&self, arguments: &str) {
        output(Command::new("openssl").args(arguments.split(' ')).current_dir(self.folder.path()), "").text();
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).expect("openssl has written it")
    }
}
