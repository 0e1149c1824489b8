//! `process` and what is said of no platform in particular.

use serde_json::{Value, json};
use stockade_testkit::requires;

use super::{Case, Prints, Refused, Warned, case, try_all};

pub(super) const GENERAL: &[Case] = &[
    case("ociVersion", |c| c["ociVersion"] = json!("2.0.0"), Refused("ociVersion")),
    case("ociVersion", |c| c["ociVersion"] = json!("1.3.0"), Prints("echo yes", "yes")),
    case("root", |c| c["root"] = Value::Null, Refused("root")),
    case("root.path", |c| c["root"]["path"] = json!("missing"), Refused("missing")),
    case(
        "root.readonly",
        |c| c["root"]["readonly"] = json!(true),
        Prints("touch /x 2>&1 | grep -o Read-only", "Read-only"),
    ),
    case("hostname", |c| c["hostname"] = json!("name"), Prints("hostname", "name")),
    case("domainname", |c| c["domainname"] = json!("domain"), Prints("cat /proc/sys/kernel/domainname", "domain")),
    case("annotations", |c| c["annotations"] = json!({ "a": 1 }), Refused("annotations")),
    case("vm", |c| c["vm"] = json!({ "kernel": { "path": "/x" } }), Warned("vm")),
    case("windows", |c| c["windows"] = json!({ "layerFolders": [] }), Warned("windows")),
    case("solaris", |c| c["solaris"] = json!({}), Warned("solaris")),
    case("zos", |c| c["zos"] = json!({}), Warned("zos")),
    case("freebsd", |c| c["freebsd"] = json!({}), Warned("freebsd")),
    case("linux", |c| c["linux"] = Value::Null, Refused("linux")),
    case("process.colour", |c| c["process"]["colour"] = json!(1), Warned("colour")),
];

#[test]
fn general_properties() {
    requires!(root, stake, busybox_image);
    try_all(GENERAL);
}

pub(super) const PROCESS: &[Case] = &[
    case("process.args", |c| c["process"]["args"] = json!(["/bin/echo", "a b", ""]), Prints("", "a b")),
    case("process.args", |c| c["process"]["args"] = json!([]), Refused("process.args")),
    case("process.commandLine", |c| c["process"]["commandLine"] = json!("x"), Warned("process.commandLine")),
    case("process.cwd", |c| c["process"]["cwd"] = json!("/new/folder"), Prints("pwd", "/new/folder")),
    case("process.cwd", |c| c["process"]["cwd"] = json!("tmp"), Refused("process.cwd")),
    case(
        "process.env",
        |c| c["process"]["env"] = json!(["PATH=/bin", "A=1", "A=2"]),
        Prints("echo $A; env | grep -c ^A=", "2\n1"),
    ),
    case("process.env", |c| c["process"]["env"] = json!(["A"]), Refused("process.env[0]")),
    case("process.user.uid", |c| c["process"]["user"]["uid"] = json!(7), Prints("id -u", "7")),
    case("process.user.gid", |c| c["process"]["user"]["gid"] = json!(8), Prints("id -g", "8")),
    case("process.user.umask", |c| c["process"]["user"]["umask"] = json!(0o27), Prints("umask", "0027")),
    case("process.user.umask", |c| c["process"]["user"]["umask"] = json!(0o1000), Refused("process.user.umask")),
    case(
        "process.user.additionalGids",
        |c| c["process"]["user"]["additionalGids"] = json!([3, 9]),
        Prints("grep Groups: /proc/self/status | tr '\\t' ' '", "Groups: 3 9"),
    ),
    case("process.user.username", |c| c["process"]["user"]["username"] = json!("x"), Warned("process.user.username")),
    case(
        "process.rlimits",
        |c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_FSIZE", "soft": 512, "hard": 1024 }]),
        Prints("ulimit -S -f; ulimit -H -f", "1\n2"),
    ),
    case(
        "process.rlimits",
        |c| c["process"]["rlimits"] = json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
        Refused("process.rlimits[0].type"),
    ),
    case(
        "process.oomScoreAdj",
        |c| c["process"]["oomScoreAdj"] = json!(321),
        Prints("cat /proc/self/oom_score_adj", "321"),
    ),
    case("process.oomScoreAdj", |c| c["process"]["oomScoreAdj"] = json!(1001), Refused("process.oomScoreAdj")),
    case(
        "process.noNewPrivileges",
        |c| c["process"]["noNewPrivileges"] = json!(true),
        Prints("grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"),
    ),
    case("process.selinuxLabel", |c| c["process"]["selinuxLabel"] = json!("x"), Refused("process.selinuxLabel")),
    case("process.capabilities.bounding", three_bounding, Prints(CAPABILITIES, "Inh:0 Prm:7 Eff:7 Bnd:7 Amb:0")),
    case("process.capabilities.permitted", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case(
        "process.capabilities.effective",
        |c| c["process"]["capabilities"]["permitted"] = json!([]),
        Refused("process.capabilities.effective"),
    ),
    // Neither loaded here nor, where the kernel has no AppArmor, to be had at all.
    case(
        "process.apparmorProfile",
        |c| c["process"]["apparmorProfile"] = json!("no-such-profile"),
        Refused("AppArmor profile no-such-profile"),
    ),
    case("process.capabilities.inheritable", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case("process.capabilities.ambient", ambient, Prints(CAPABILITIES, "Inh:1 Prm:1 Eff:1 Bnd:1 Amb:1")),
    case(
        "process.capabilities.bounding",
        |c| c["process"]["capabilities"]["bounding"] = json!(["CAP_X"]),
        Refused("process.capabilities.bounding[0]"),
    ),
];

/// The five sets.
const CAPABILITIES: &str = "while read name value; do case $name in Cap*) \
    echo -n \"${line:+ }${name#Cap}$(printf %x 0x$value)\"; line=1;; esac; done < /proc/self/status";

/// Root's exec fills the other sets from the bounding one (`capabilities(7)`).
fn three_bounding(config: &mut Value) {
    config["process"]["capabilities"] = json!({
        "bounding": ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH"],
        "permitted": ["CAP_CHOWN", "CAP_DAC_OVERRIDE"],
        "effective": ["CAP_CHOWN"],
    });
}

/// What only ambient capabilities do: a user other than root keeps one through exec.
fn ambient(config: &mut Value) {
    let one = json!(["CAP_CHOWN"]);
    config["process"]["user"]["uid"] = json!(1);
    config["process"]["capabilities"] =
        json!({ "bounding": one, "permitted": one, "effective": one, "inheritable": one, "ambient": one });
}

#[test]
fn process_properties() {
    requires!(root, stake, busybox_image);
    try_all(PROCESS);
}
