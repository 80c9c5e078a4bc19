//! The manifest of a pod: a file, or made from the options of `run` and `create`.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::cli::{ContainerCreate, Shape};
use crate::documents;
use crate::failure::Failure;
use crate::given::Given;

/// The manifest's text, and what is given beside it. `once`: the container's standard input, if it has one, ends with the
/// first who is attached to it.
pub fn text(shape: &Shape, once: bool) -> Result<(String, Given), Failure> {
    let (text, mut given) = documents::split(given_or_made(shape, once)?)?;
    given.add(&shape.given)?;
    Ok((text, given))
}

fn given_or_made(shape: &Shape, once: bool) -> Result<String, Failure> {
    match &shape.file {
        Some(file) => read(file),
        // JSON is YAML.
        None => Ok(from_options(shape, once)?.to_string()),
    }
}

/// The text of a file; `-` is standard input.
pub fn read(file: &Path) -> Result<String, Failure> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| Failure::Io("standard input".into(), e))?;
        return Ok(text);
    }
    std::fs::read_to_string(file).map_err(|e| Failure::Io(file.display().to_string(), e))
}

/// The text of a container that is to be made in a running pod.
pub fn container(args: &ContainerCreate) -> Result<String, Failure> {
    if let Some(file) = &args.file {
        return read(file);
    }
    let image = args.image.clone().unwrap_or_default();
    let name = args.name.clone().unwrap_or_else(|| made_up(&image));
    let mut container =
        json!({"name": name, "image": image, "env": environment(&args.env), "args": words(&args.command)});
    if let Some(dir) = &args.workdir {
        container["workingDir"] = json!(dir);
    }
    Ok(container.to_string())
}

fn environment(given: &[String]) -> Vec<Value> {
    let mut env = Vec::new();
    for var in given {
        match var.split_once('=') {
            Some((k, v)) => env.push(json!({"name": k, "value": v.replace('$', "$$")})),
            // As container engines do: a variable that is not set here is not set there.
            None => env.extend(std::env::var(var).ok().map(|v| json!({"name": var, "value": v.replace('$', "$$")}))),
        }
    }
    env
}

/// The shell has expanded what the caller wanted expanded.
fn words(list: &[String]) -> Vec<String> {
    list.iter().map(|w| w.replace('$', "$$")).collect()
}

fn from_options(shape: &Shape, once: bool) -> Result<Value, Failure> {
    let image = shape.image.clone().unwrap_or_default();
    let name = shape.name.clone().unwrap_or_else(|| made_up(&image));
    let mut annotations = Map::new();
    if let Some(mib) = shape.memory {
        annotations.insert("xenpod.org/memory".into(), format!("{mib}Mi").into());
    }
    if let Some(cpus) = shape.cpus {
        annotations.insert("xenpod.org/cpus".into(), cpus.to_string().into());
    }
    for (key, value) in [("kernel", &shape.kernel), ("kernel-args", &shape.kernel_args)] {
        if let Some(value) = value {
            annotations.insert(format!("xenpod.org/{key}"), value.as_str().into());
        }
    }
    let mut labels = Map::new();
    for label in &shape.label {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        labels.insert(key.into(), value.into());
    }
    let env = environment(&shape.env);
    let mut security = Map::new();
    if let Some(user) = &shape.user {
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(u, g)| (u, Some(g)));
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| {
                Failure::Usage(format!("--user {user}: {text:?} is not a number; names are known only in the image"))
            })
        };
        security.insert("runAsUser".into(), number(uid)?.into());
        if let Some(gid) = gid {
            security.insert("runAsGroup".into(), number(gid)?.into());
        }
    }
    if shape.read_only {
        security.insert("readOnlyRootFilesystem".into(), true.into());
    }
    let mut container =
        json!({"name": "main", "image": image, "env": env, "args": words(&shape.command), "securityContext": security});
    if let Some(program) = &shape.entrypoint {
        container["command"] = json!(words(std::slice::from_ref(program)));
    }
    if shape.interactive {
        container["stdin"] = true.into();
        container["stdinOnce"] = once.into();
    }
    if shape.tty {
        container["tty"] = true.into();
    }
    if let Some(dir) = &shape.workdir {
        container["workingDir"] = json!(dir);
    }
    let volumes = volumes(shape, &mut container);
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"restartPolicy": "Never", "containers": [container], "volumes": volumes},
    }))
}

/// Without a manifest a secret is seen at /run/secrets/NAME and a config map at /run/configs/NAME.
fn volumes(shape: &Shape, container: &mut Value) -> Vec<Value> {
    let (mut volumes, mut mounts) = (Vec::new(), Vec::new());
    let given = [("secret", "secretName", &shape.given.secret), ("configMap", "name", &shape.given.config_map)];
    for (kind, name_key, list) in given {
        let mut names: Vec<&str> = list.iter().map(|g| g.split('=').next().unwrap_or_default()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let volume = format!("given-{}", volumes.len());
            let source = Map::from_iter([(name_key.to_string(), Value::from(name))]);
            volumes.push(json!({"name": volume, kind: source}));
            let folder = if kind == "secret" { "secrets" } else { "configs" };
            mounts.push(json!({"name": volume, "mountPath": format!("/run/{folder}/{name}")}));
        }
    }
    container["volumeMounts"] = json!(mounts);
    volumes
}

/// A name for a pod that was given none: the image's last part and something random.
fn made_up(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or_default();
    let base: String = last
        .split([':', '@'])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    let base = base.trim_matches('-');
    let random = uuid::Uuid::new_v4().simple().to_string();
    format!("{}-{}", if base.is_empty() { "pod" } else { base }, &random[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn shape(line: &str) -> Shape {
        match crate::cli::Cli::parse_from(line.split(' ')).command {
            crate::cli::Command::Create(create) => create.shape,
            _ => panic!("not create"),
        }
    }

    #[test]
    fn options_become_a_manifest() {
        let line = "xenpodctl create --name web --memory 32 --cpus 2 -e A=$x -l app=w -u 5:6 -it img -- sh -c $HOME";
        let pod = from_options(&shape(line), true).unwrap();
        assert_eq!(pod["metadata"]["annotations"]["xenpod.org/memory"], "32Mi");
        let c = &pod["spec"]["containers"][0];
        assert_eq!(c["env"], json!([{"name": "A", "value": "$$x"}]));
        assert_eq!(c["args"], json!(["sh", "-c", "$$HOME"]));
        assert_eq!([&c["stdin"], &c["stdinOnce"], &c["tty"]], [&json!(true), &json!(true), &json!(true)]);
        assert_eq!(c["securityContext"], json!({"runAsUser": 5, "runAsGroup": 6}));
        assert_eq!(pod["metadata"]["labels"], json!({"app": "w"}));
        let error = from_options(&shape("xenpodctl create -u www img"), false).unwrap_err().to_string();
        assert!(error.contains("\"www\" is not a number"), "{error}");
    }

    #[test]
    fn options_become_a_container() {
        let line = "xenpodctl container create --name tool -w /srv -e A=$x web img -- sh -c $HOME";
        let crate::cli::Command::Container(crate::cli::ContainerCommand::Create(args)) =
            crate::cli::Cli::parse_from(line.split(' ')).command
        else {
            panic!("not container create");
        };
        let made: Value = serde_json::from_str(&container(&args).unwrap()).unwrap();
        let env = json!([{"name": "A", "value": "$$x"}]);
        let args = ["sh", "-c", "$$HOME"];
        assert_eq!(made, json!({"name": "tool", "image": "img", "env": env, "args": args, "workingDir": "/srv"}));
    }

    #[test]
    fn what_is_given_without_a_manifest_has_its_place() {
        let pod =
            from_options(&shape("xenpodctl create --secret db=pw=/x --secret db=u=/y --config-map app=/z img"), false)
                .unwrap();
        assert_eq!(
            pod["spec"]["volumes"],
            json!([{"name": "given-0", "secret": {"secretName": "db"}}, {"name": "given-1", "configMap": {"name": "app"}}])
        );
        let mounts = &pod["spec"]["containers"][0]["volumeMounts"];
        assert_eq!(mounts[0], json!({"name": "given-0", "mountPath": "/run/secrets/db"}));
        assert_eq!(mounts[1]["mountPath"], "/run/configs/app");
    }

    #[test]
    fn made_up_names_are_labels() {
        let name = made_up("registry.example:5000/Some_App@sha256:00");
        assert!(name.starts_with("some-app-") && name.len() == 17, "{name}");
        assert!(made_up("").starts_with("pod-"));
    }
}
