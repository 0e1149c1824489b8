//! What configurations say, honestly and otherwise.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn document(config: &Value) -> Value {
    json!({ "architecture": machine(), "os": "linux", "config": config,
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"x").to_string()] } })
}

fn read(config: &Value) -> Result<ImageConfig, ConfigError> {
    parse(document(config).to_string().as_bytes()).map(|(config, diff_ids)| {
        assert_eq!(diff_ids, [Digest::of(b"x")]);
        config
    })
}

#[test]
fn every_wish_is_read() {
    let config = read(&json!({
        "User": "user:group", "ExposedPorts": { "80/tcp": {}, "53/UDP": {}, "8000-8010": {} },
        "Env": ["PATH=/bin", "EMPTY=", "LINES=a\nb=c"], "Entrypoint": ["/init", ""], "Cmd": ["-x"],
        "Volumes": { "/data/": {}, "//var/./lib//x": {} }, "WorkingDir": "srv/../work//dir/", "Labels": { "a": "b" },
        "StopSignal": "SIGQUIT", "Healthcheck": { "Test": ["NONE"] }, "ArgsEscaped": true, "OnBuild": null
    }))
    .unwrap();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(config.env, words(&["PATH=/bin", "EMPTY=", "LINES=a\nb=c"]));
    assert_eq!((config.entrypoint, config.cmd), (words(&["/init", ""]), words(&["-x"])));
    assert_eq!(config.volumes.into_iter().collect::<Vec<_>>(), words(&["/data", "/var/lib/x"]));
    assert_eq!(config.exposed_ports.into_iter().collect::<Vec<_>>(), words(&["53/udp", "80/tcp", "8000-8010"]));
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("user:group", "/work/dir"));
    assert_eq!((config.labels["a"].as_str(), config.stop_signal.as_str()), ("b", "SIGQUIT"));
}

#[test]
fn what_is_empty_may_be_null_or_missing() {
    let nulls = json!({ "User": null, "ExposedPorts": null, "Env": null, "Entrypoint": null, "Cmd": null, "Volumes": null,
                        "WorkingDir": null, "Labels": null, "StopSignal": null });
    for config in [Value::Null, json!({}), nulls] {
        assert_eq!(read(&config).unwrap(), ImageConfig::default());
    }
    let mut without = document(&Value::Null);
    without.as_object_mut().unwrap().remove("config");
    assert!(parse(without.to_string().as_bytes()).is_ok());
}

#[test]
fn cve_2022_23648_no_volume_leaves_the_container() {
    for path in ["../../etc", "/../../etc", "/data/../../etc", "/data/..", "data", "", "/", "//", "/.", "/a\0b"] {
        let error = read(&json!({ "Volumes": { path: {} } })).unwrap_err();
        assert!(matches!(error, ConfigError::Property { property: "Volumes", .. }), "{path}");
    }
}

#[test]
fn what_is_out_of_form_is_refused() {
    for (property, value) in [
        ("Env", json!(["NAME"])),
        ("Env", json!(["=x"])),
        ("Env", json!([""])),
        ("Env", json!(["A=\u{0}"])),
        ("Cmd", json!(["a\u{0}b"])),
        ("Entrypoint", json!(["\u{0}"])),
        ("User", json!("root\u{0}")),
        ("WorkingDir", json!("/\u{0}")),
        ("StopSignal", json!("\u{0}")),
        ("ExposedPorts", json!({ "0/tcp": {} })),
        ("ExposedPorts", json!({ "65536": {} })),
        ("ExposedPorts", json!({ "80/icmp": {} })),
        ("ExposedPorts", json!({ "90-80/tcp": {} })),
        ("ExposedPorts", json!({ "+80/tcp": {} })),
        ("ExposedPorts", json!({ "": {} })),
    ] {
        let error = read(&json!({ property: value })).unwrap_err();
        assert!(
            matches!(&error, ConfigError::Property { property: found, .. } if *found == property),
            "{property} {value}"
        );
    }
    for (property, value) in [
        ("Env", json!("A=b")),
        ("Cmd", json!("sh")),
        ("User", json!(0)),
        ("Labels", json!({ "a": 1 })),
        ("Volumes", json!(["/a"])),
    ] {
        assert!(matches!(read(&json!({ property: value })), Err(ConfigError::Json(_))), "{property} {value}");
    }
}

#[test]
fn another_machine_s_image_is_named() {
    for (property, value) in [("architecture", "s390x"), ("os", "windows"), ("architecture", "")] {
        let mut document = document(&json!({}));
        document[property] = json!(value);
        assert!(matches!(parse(document.to_string().as_bytes()), Err(ConfigError::Platform(..))), "{value}");
    }
    let mut other = document(&json!({}));
    other["rootfs"]["type"] = json!("layers+base");
    assert!(matches!(parse(other.to_string().as_bytes()), Err(ConfigError::RootFsType(_))));
    let mut other = document(&json!({}));
    other["rootfs"]["diff_ids"] = json!(["sha256:../../etc"]);
    assert!(matches!(parse(other.to_string().as_bytes()), Err(ConfigError::DiffId(_))));
    assert!(matches!(parse(br#"{"os":"linux","os":"linux"}"#), Err(ConfigError::Json(_))), "said twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    /// What is accepted keeps its promises, whatever was changed in the document.
    #[test]
    fn any_change_is_refused_or_harmless(place in any::<prop::sample::Index>(), with in "[\\x00-\\x7f]{0,3}", cut in 0..4_usize) {
        let whole = document(&json!({ "User": "u", "Env": ["A=b"], "Volumes": { "/a/b": {} }, "WorkingDir": "/w",
                                      "ExposedPorts": { "80/tcp": {} }, "Cmd": ["x"], "Labels": { "k": "v" } })).to_string();
        let start = place.index(whole.len());
        let end = (start + cut).min(whole.len());
        let changed = format!("{}{with}{}", &whole[..start], &whole[end..]);
        if let Ok((config, _)) = parse(changed.as_bytes()) {
            prop_assert!(config.env.iter().all(|variable| variable.find('=').is_some_and(|place| place > 0)));
            for volume in &config.volumes {
                prop_assert!(volume.starts_with('/') && volume.len() > 1 && !volume.split('/').any(|part| part == ".."));
            }
            prop_assert!(config.working_dir.is_empty() || config.working_dir.starts_with('/'));
            prop_assert!(!config.working_dir.split('/').any(|part| part == ".."));
        }
    }
}
