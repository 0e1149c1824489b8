//! A real registry, Debian's `docker-registry`, on a loopback port of its own.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::call::{Call, eventually};

/// Who may do something at a registry with [`Registry::with_login`].
pub const LOGIN: (&str, &str) = ("tester", "pass:word with spaces");

/// A registry with storage of its own, which ends with the test.
pub struct Registry {
    folder: tempfile::TempDir,
    child: Child,
    address: String,
}

/// How a registry is to be.
#[derive(Clone, Copy, Default)]
struct Manner {
    tls: bool,
    login: bool,
}

impl Registry {
    /// One that speaks HTTP and lets everybody in.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn plain() -> Self {
        Self::start(Manner::default())
    }

    /// One that speaks HTTPS, with the certificate [`Self::ca`], which is for 127.0.0.1 and localhost.
    ///
    /// # Panics
    /// As [`Self::plain`], and if openssl makes no certificate.
    #[must_use]
    pub fn with_tls() -> Self {
        Self::start(Manner { tls: true, login: false })
    }

    /// The same that wants [`LOGIN`], by basic authentication.
    ///
    /// # Panics
    /// As [`Self::with_tls`], and if htpasswd fails.
    #[must_use]
    pub fn with_login() -> Self {
        Self::start(Manner { tls: true, login: true })
    }

    fn start(manner: Manner) -> Self {
        let folder =
            tempfile::Builder::new().prefix("stockade-test-registry-").tempdir().expect("a folder can be made");
        let config = folder.path().join("config.yml");
        std::fs::write(&config, configuration(folder.path(), manner)).expect("a file can be written");
        let log = File::options().create(true).truncate(true).read(true).write(true).open(folder.path().join("log"));
        let log = log.expect("a log can be made");
        // A registry whose test was killed must not stay.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "docker-registry", "serve"]).arg(&config).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(log.try_clone().expect("a file can be duplicated"));
        let child = command.spawn().expect("docker-registry starts");
        let mut found = None;
        eventually("docker-registry to say its port", Duration::from_secs(30), || {
            found = port(&log);
            found.is_some()
        });
        let port = found.expect("it was just there");
        Self { folder, child, address: format!("127.0.0.1:{port}") }
    }

    /// `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The certificate that it shows, which is its own authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("tls.crt")
    }

    /// The folder with all that it keeps.
    #[must_use]
    pub fn storage(&self) -> PathBuf {
        self.folder.path().join("storage")
    }

    /// Puts an image there by skopeo, from `source` in skopeo's words (`oci:FOLDER:TAG`), with blobs as they are; its whole
    /// name.
    ///
    /// # Panics
    /// If skopeo fails.
    #[track_caller]
    pub fn put(&self, source: &str, name: &str) -> String {
        let full = format!("{}/{name}", self.address);
        let (user, password) = LOGIN;
        let call = Call::new("skopeo").args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        let call = call.args(["--preserve-digests", "--dest-creds", &format!("{user}:{password}")]);
        call.args([source, &format!("docker://{full}")]).limit(Duration::from_secs(300)).run().ok();
        full
    }
}

/// The port in the line that says that it listens.
fn port(log: &File) -> Option<u16> {
    let mut text = vec![0; 64 << 10];
    let count = log.read_at(&mut text, 0).ok()?;
    let text = String::from_utf8_lossy(&text[..count]).into_owned();
    let rest = text.split_once("listening on 127.0.0.1:")?.1;
    let digits = rest.split_once(|letter: char| !letter.is_ascii_digit())?.0;
    digits.parse().ok()
}

/// The registry's configuration, and the files that it names.
fn configuration(folder: &Path, manner: Manner) -> String {
    let shown = folder.display();
    let mut text = format!(
        "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: {shown}/storage}}, delete: {{enabled: true}}}}\n\
         http:\n  addr: 127.0.0.1:0\n"
    );
    if manner.tls {
        certificate(folder);
        text += &format!("  tls: {{certificate: {shown}/tls.crt, key: {shown}/tls.key}}\n");
    }
    if manner.login {
        let (user, password) = LOGIN;
        let made = Call::new("htpasswd").args(["-Bbn", user, password]).run().ok();
        std::fs::write(folder.join("htpasswd"), made.stdout).expect("a file can be written");
        text += &format!("auth: {{htpasswd: {{realm: tests, path: {shown}/htpasswd}}}}\n");
    }
    text
}

/// `tls.crt` and `tls.key`.
fn certificate(folder: &Path) {
    let call = Call::new("openssl").args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    let call = call.args(["-nodes", "-days", "30", "-subj", "/CN=127.0.0.1", "-keyout", "tls.key", "-out", "tls.crt"]);
    let call = call.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
    call.within(folder).run().ok();
}

impl Drop for Registry {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "docker-registry could not be ended: {ended:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there() {
        crate::requires!(docker_registry, skopeo, openssl, htpasswd, busybox_packed);
        let folder = crate::programs::images().join("busybox/oci");
        for registry in [Registry::plain(), Registry::with_tls(), Registry::with_login()] {
            let name = registry.put(&format!("oci:{}:latest", folder.display()), "busybox:latest");
            assert!(name.ends_with("/busybox:latest"), "{name}");
            assert!(registry.storage().join("docker/registry/v2/repositories/busybox").is_dir());
        }
    }
}
