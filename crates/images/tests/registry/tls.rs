//! TLS with OpenSSL's own server: whom we believe, and who believes us.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use stockade_images::registry::{
    CertificateError, Credentials, Registries, RegistryError, RegistryOptions, WebError, login,
};
use stockade_testkit::{Call, requires};

/// A folder of keys and certificates.
struct Keys(tempfile::TempDir);

impl Keys {
    /// With the authority `ca`.
    fn new() -> Self {
        let keys = Self(tempfile::tempdir().unwrap());
        std::fs::write(keys.path("openssl.cnf"), "[req]\ndistinguished_name = dn\n[dn]\n").unwrap();
        keys.make("ca", "basicConstraints=critical,CA:TRUE", "DNS:ca.test", None);
        keys
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `NAME.crt` and `NAME.key`, for `names`, signed by an authority or by itself.
    fn make(&self, name: &str, constraints: &str, names: &str, by: Option<&str>) {
        let files = [format!("{name}.key"), format!("{name}.crt")];
        let names = format!("subjectAltName={names}");
        let mut arguments = vec!["req", "-config", "openssl.cnf", "-x509", "-newkey", "ec", "-pkeyopt"];
        arguments.extend(["ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test", "-days", "2"]);
        arguments.extend(["-keyout", &files[0], "-out", &files[1], "-addext", constraints, "-addext", &names]);
        let authority = by.map(|by| [format!("{by}.crt"), format!("{by}.key")]);
        if let Some([certificate, key]) = &authority {
            arguments.extend(["-CA", certificate, "-CAkey", key]);
        }
        Call::new("openssl").args(arguments).within(self.0.path()).run().ok();
    }

    fn leaf(&self, name: &str, names: &str) {
        self.make(name, "basicConstraints=critical,CA:FALSE", names, Some("ca"));
    }

    /// Puts files into the folder for `host`, under other names.
    fn list(&self, folder: &str, host: &str, files: &[(&str, &str)]) -> PathBuf {
        let own = self.path(folder).join(host);
        std::fs::create_dir_all(&own).unwrap();
        for (from, to) in files {
            std::fs::copy(self.path(from), own.join(to)).unwrap();
        }
        self.path(folder)
    }
}

/// `openssl s_server`, which answers every GET.
struct Server {
    child: Child,
    host: String,
    /// Kept, so that it may go on talking.
    _output: BufReader<ChildStdout>,
}

impl Server {
    fn start(keys: &Keys, name: &str, more: &[&str]) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "openssl", "s_server", "-www", "-accept", "127.0.0.1:0"]);
        command.args(["-cert", &format!("{name}.crt"), "-key", &format!("{name}.key")]).args(more);
        command.current_dir(keys.0.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let lines = output.by_ref().lines().map_while(Result::ok);
        let mut lines = lines.filter_map(|line| line.strip_prefix("ACCEPT ").map(str::to_owned));
        let host = lines.next().expect("openssl says where it listens");
        Self { child, host, _output: output }
    }

    /// Whether it is believed, and answers.
    fn ask(&self, certificates: &Path) -> Result<(), RegistryError> {
        let certificates = vec![certificates.to_owned()];
        let registries = Registries::new(RegistryOptions { certificates, ..RegistryOptions::plain() }).unwrap();
        login(&registries, &self.host, &Credentials::Password { user: "a".into(), password: "b".into() })
    }

    fn refused(&self, certificates: &Path) {
        let error = self.ask(certificates).unwrap_err();
        let RegistryError::Web { source, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**source, WebError::Broken { .. }), "{error:?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        assert!(ended.is_ok() || std::thread::panicking(), "openssl could not be ended: {ended:?}");
    }
}

#[test]
fn only_what_is_vouched_for_is_believed() {
    requires!(openssl, setpriv);
    let keys = Keys::new();
    keys.leaf("right", "IP:127.0.0.1");
    keys.leaf("other", "DNS:other.test,IP:127.0.0.2");
    keys.make("own", "basicConstraints=critical,CA:TRUE", "IP:127.0.0.1", None);
    keys.make("own-other", "basicConstraints=critical,CA:TRUE", "DNS:other.test", None);
    let right = Server::start(&keys, "right", &[]);
    right.ask(&keys.list("a", &right.host, &[("ca.crt", "ca.crt")])).unwrap();
    right.refused(&keys.list("b", &right.host, &[("own.crt", "ca.crt")]));
    // Another name than it is asked by.
    let other = Server::start(&keys, "other", &[]);
    other.refused(&keys.list("c", &other.host, &[("ca.crt", "ca.crt")]));
    // Certificates that are listed themselves are for whom they name, too.
    let own = Server::start(&keys, "own", &[]);
    own.ask(&keys.list("d", &own.host, &[("own.crt", "ca.crt")])).unwrap();
    let own_other = Server::start(&keys, "own-other", &[]);
    own_other.refused(&keys.list("e", &own_other.host, &[("own-other.crt", "ca.crt")]));
    // What is listed for one host is not believed of another.
    let error = right.ask(&keys.list("d", &right.host, &[("other.crt", "ca.crt")])).unwrap_err();
    assert!(matches!(error, RegistryError::Web { .. }), "{error:?}");
}

#[test]
fn old_versions_are_not_spoken() {
    requires!(openssl, setpriv);
    let keys = Keys::new();
    keys.leaf("right", "IP:127.0.0.1");
    for (version, spoken) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false)] {
        let server = Server::start(&keys, "right", &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        let listed = keys.list("certs.d", &server.host, &[("ca.crt", "ca.crt")]);
        match spoken {
            true => server.ask(&listed).unwrap(),
            false => server.refused(&listed),
        }
    }
}

#[test]
fn clients_show_their_own_certificate() {
    requires!(openssl, setpriv);
    let keys = Keys::new();
    keys.leaf("right", "IP:127.0.0.1");
    keys.leaf("client", "DNS:client.test");
    keys.make("stranger", "basicConstraints=critical,CA:FALSE", "DNS:client.test", None);
    let wanted = ["-Verify", "2", "-verify_return_error", "-CAfile", "ca.crt"];
    let server = Server::start(&keys, "right", &wanted);
    let ca = ("ca.crt", "ca.crt");
    let with = |folder: &str, files: &[(&str, &str)]| server.ask(&keys.list(folder, &server.host, files));
    with("a", &[ca, ("client.crt", "me.cert"), ("client.key", "me.key")]).unwrap();
    assert!(with("b", &[ca]).is_err());
    assert!(with("c", &[ca, ("stranger.crt", "me.cert"), ("stranger.key", "me.key")]).is_err());
    // What cannot be shown is said before anybody is asked.
    let wrong = |folder: &str, files: &[(&str, &str)]| match with(folder, files).unwrap_err() {
        RegistryError::Web { source, .. } => match *source {
            WebError::Certificate(error) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let half = wrong("d", &[ca, ("client.crt", "me.cert")]);
    assert!(matches!(half, CertificateError::Half { .. }), "{half:?}");
    let half = wrong("e", &[ca, ("client.key", "me.key")]);
    assert!(matches!(half, CertificateError::Half { .. }), "{half:?}");
    let pair = wrong("f", &[ca, ("client.crt", "me.cert"), ("right.key", "me.key")]);
    assert!(matches!(pair, CertificateError::Pair(_)), "{pair:?}");
    let form = wrong("g", &[("openssl.cnf", "ca.crt")]);
    assert!(matches!(form, CertificateError::Form { .. }), "{form:?}");
    let form = wrong("h", &[ca, ("client.crt", "me.cert"), ("client.crt", "me.key")]);
    assert!(matches!(form, CertificateError::Form { .. }), "{form:?}");
}
