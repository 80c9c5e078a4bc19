use xenpod_protocol::message::Variable;

use super::*;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn variable(name: &str, value: Value) -> Variable {
    Variable { name: name.into(), value: Some(value) }
}

fn file(path: &str, optional: bool) -> VolumeFile {
    VolumeFile { volume: "_env".into(), path: path.into(), optional }
}

/// Volumes with one for files, whose files are in a folder of the test.
fn volumes(files: &[(&str, &[u8])]) -> (Volumes, std::path::PathBuf) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let root = std::env::temp_dir().join(format!("xenpod-variables-{}-{number}", std::process::id()));
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    (Volumes::for_test("_env", &root), root)
}

#[test]
fn values_come_from_files_and_later_ones_are_expanded() {
    let (volumes, root) =
        volumes(&[("secret/db/password", b"a$b"), ("configmap/app/B", b"2"), ("configmap/app/A", b"1")]);
    let process = Process {
        argv: words(&["/run", "--url=$(URL)", "$(NONE)", "$$(URL)"]),
        env: words(&["PATH=/bin", "A=image"]),
        variables: vec![
            variable("P_", Value::Directory(file("configmap/app", false))),
            variable("PASSWORD", Value::File(file("secret/db/password", false))),
            variable("URL", Value::Text("db://u:$(PASSWORD)@h".into())),
            variable("A", Value::Text("mine".into())),
            variable("ABSENT", Value::File(file("secret/db/none", true))),
        ],
        expand_argv: true,
        ..Process::default()
    };
    let done = resolve(&process, &volumes).unwrap();
    assert_eq!(done.argv, words(&["/run", "--url=db://u:a$b@h", "$(NONE)", "$(URL)"]));
    assert_eq!(
        done.env,
        words(&["PATH=/bin", "P_A=1", "P_B=2", "PASSWORD=a$b", "URL=db://u:a$b@h", "A=mine"]),
        "what the image says gives way"
    );
    assert!(done.variables.is_empty());
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_is_missing_or_no_text_is_named_and_never_shown() {
    let (volumes, root) = volumes(&[("secret/db/binary", b"hush\0hush")]);
    let with = |value| Process { argv: words(&["x"]), variables: vec![variable("V", value)], ..Process::default() };
    let error = resolve(&with(Value::File(file("secret/db/none", false))), &volumes).unwrap_err().to_string();
    assert_eq!(error, "cannot read secret/db/none of volume _env: no such file or directory");
    let error = resolve(&with(Value::File(file("secret/db/binary", false))), &volumes).unwrap_err().to_string();
    assert_eq!(error, "file \"secret/db/binary\": not a text, so no variable can be set to it");
    let error = resolve(&with(Value::File(file("../../etc/passwd", false))), &volumes).unwrap_err().to_string();
    assert!(error.contains("not a path within the volume"), "{error}");
    assert!(resolve(&with(Value::Directory(file("configmap/none", true))), &volumes).unwrap().env.is_empty());
    let elsewhere = VolumeFile { volume: "data".into(), path: "x".into(), optional: false };
    assert_eq!(resolve(&with(Value::File(elsewhere)), &volumes).unwrap_err().to_string(), "no volume \"data\"");
    fs::remove_dir_all(root).unwrap();
}
