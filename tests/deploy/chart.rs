//! Goal: the Helm chart gives what Kubernetes takes, at its strictest, and what the program takes.
//! Method: Helm itself renders `tests/cases/chart/*.values.yaml`; the result is compared with the
//! file beside it, judged by Kubernetes' own schemas, and held against the rules of the pod
//! security standard `restricted`. The program is run with the rendered arguments and files.
//! `UPDATE_EXPECT=1` writes the expected files anew.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use headwater_test_support::process::{free_address, get, signal};
use headwater_test_support::wait;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::tools::{demand_same, is_real, read, root, run, tool};
use crate::world::PATIENCE;

const CHART: &str = "deploy/helm/headwater";
const CASES: [&str; 3] = ["minimal", "secure", "existing"];

/// The oldest version that the chart names, one that many run, the newest there are schemas of.
const KUBERNETES: [&str; 3] = ["1.25", "1.31", "1.37"];

fn values(case: &str) -> String {
    format!("tests/cases/chart/{case}.values.yaml")
}

fn template(arguments: &[&str]) -> Command {
    let mut command = Command::new(tool("helm").expect("scripts/tools has it"));
    command.args(["template", "streams", CHART, "--namespace", "live"]);
    command.args(["--kube-version", "1.31.0"]).args(arguments).current_dir(root());
    command
}

fn rendered(case: &str) -> Result<String> {
    run(&mut template(&["-f", &values(case)]))
}

/// The rendered objects; Python, which the schemas' program brings, reads the YAML.
fn objects(case: &str) -> Result<Vec<Json>> {
    const SCRIPT: &str = "import json, sys, yaml; \
                          print(json.dumps([it for it in yaml.safe_load_all(sys.stdin) if it]))";
    let python = tool("kubernetes-validate")?.with_file_name("python3");
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("it was piped")?.write_all(rendered(case)?.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the rendered YAML cannot be read");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn of_kind<'a>(objects: &'a [Json], kind: &str) -> Result<&'a Json> {
    objects.iter().find(|it| it["kind"] == kind).with_context(|| format!("no {kind}"))
}

fn demand(pod: &Json, path: &str, expected: &Json) -> Result<()> {
    let found = pod.pointer(path).unwrap_or(&Json::Null);
    ensure!(found == expected, "{path} is {found}, not {expected}");
    Ok(())
}

#[test]
fn the_chart_is_rendered_as_expected_and_lints() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    for case in CASES {
        run(Command::new(tool("helm")?)
            .args(["lint", "--strict", "--quiet", CHART])
            .args(["-f", &values(case)]))?;
        demand_same(&format!("tests/cases/chart/{case}.rendered.yaml"), &rendered(case)?)?;
    }
    Ok(())
}

#[test]
fn kubernetes_schemas_take_every_object() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let folder = TempDir::new()?;
    for case in CASES {
        let file = folder.path().join(format!("{case}.yaml"));
        fs::write(&file, rendered(case)?)?;
        for version in KUBERNETES {
            let mut validate = Command::new(tool("kubernetes-validate")?);
            validate.args(["--strict", "--no-warn", "--quiet", "-k", version]).arg(&file);
            run(&mut validate)?;
        }
    }
    Ok(())
}

/// The pod security standard `restricted`, rule by rule.
#[test]
fn pods_keep_the_restricted_standard() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    for case in CASES {
        let objects = objects(case)?;
        let pod = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"];
        for absent in ["hostNetwork", "hostPID", "hostIPC"] {
            demand(pod, &format!("/{absent}"), &Json::Null)?;
        }
        demand(pod, "/automountServiceAccountToken", &json!(false))?;
        demand(pod, "/securityContext/runAsNonRoot", &json!(true))?;
        demand(pod, "/securityContext/runAsUser", &json!(65_532))?;
        demand(pod, "/securityContext/seccompProfile/type", &json!("RuntimeDefault"))?;
        let containers = pod["containers"].as_array().context("containers")?;
        for container in containers {
            demand(container, "/securityContext/allowPrivilegeEscalation", &json!(false))?;
            demand(container, "/securityContext/readOnlyRootFilesystem", &json!(true))?;
            demand(container, "/securityContext/capabilities", &json!({ "drop": ["ALL"] }))?;
            ensure!(
                container["ports"].as_array().is_some_and(|ports| {
                    ports.iter().all(|port| port.get("hostPort").is_none())
                })
            );
        }
        let allowed = ["configMap", "secret", "persistentVolumeClaim", "emptyDir", "projected"];
        for volume in pod["volumes"].as_array().context("volumes")? {
            let is_allowed =
                |(key, _): (&String, &Json)| key == "name" || allowed.contains(&key.as_str());
            ensure!(volume.as_object().is_some_and(|it| it.iter().all(is_allowed)), "{volume}");
        }
    }
    Ok(())
}

/// A value that cannot be right is refused before anything is applied.
#[test]
fn values_that_cannot_be_right_are_refused() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let minimal = values("minimal");
    for (set, word) in [
        ("replicas=3", "replicas"),
        ("replica=1", "replica"),
        ("strategy=OnDelete", "strategy"),
        ("terminationGracePeriodSeconds=30", "terminationGracePeriodSeconds"),
        ("metrics.port=80", "port"),
        ("image.digest=latest", "digest"),
        ("logFormat=xml", "logFormat"),
        ("secrets[0]=Not_A_Name", "secrets"),
        ("existingConfigMap=theirs", "existingPipelines"),
        ("service.enabled=false,serviceMonitor.enabled=true", "podMonitor"),
    ] {
        let output = template(&["-f", &minimal, "--set", set]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && said.contains(word), "{set}: {said}");
    }
    let output = template(&[]).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && said.contains("there is nothing to run"), "{said}");
    Ok(())
}

/// What stands in the chart twice is the same, and the chart is of the program's version.
#[test]
fn the_chart_brings_the_current_rules_dashboard_and_version() -> Result<()> {
    for (copy, original) in [
        ("files/alerts.yaml", "deploy/prometheus/alerts.yaml"),
        ("files/headwater.json", "deploy/grafana/headwater.json"),
    ] {
        let (copy, original) = (format!("{CHART}/{copy}"), read(original)?);
        demand_same(&copy, &original)?;
    }
    let chart = read(&format!("{CHART}/Chart.yaml"))?;
    let version = format!("appVersion: \"{}\"", env!("CARGO_PKG_VERSION"));
    ensure!(chart.contains(&version), "{chart}");
    Ok(())
}

/// A process that is killed with this.
struct Pod(Child);

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The files of the ConfigMap, laid where the rendered arguments will find them.
fn lay(objects: &[Json], folder: &TempDir) -> Result<PathBuf> {
    let files = of_kind(objects, "ConfigMap")?["data"].as_object().context("data")?;
    for (name, text) in files {
        fs::write(folder.path().join(name), text.as_str().context("a text")?)?;
    }
    Ok(folder.path().to_owned())
}

#[test]
fn the_program_takes_the_rendered_files_and_arguments_and_answers_the_probes() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let objects = objects("minimal")?;
    let folder = TempDir::new()?;
    let laid = lay(&objects, &folder)?.display().to_string();
    let address = free_address()?;
    let container = &of_kind(&objects, "Deployment")?["spec"]["template"]["spec"]["containers"][0];
    let here = |argument: &str| {
        let argument = argument.replace("/etc/headwater/pipelines", &laid);
        argument.replace("0.0.0.0:9464", &address.to_string())
    };
    let arguments = container["args"].as_array().context("args")?;
    let arguments: Vec<String> = arguments.iter().filter_map(Json::as_str).map(here).collect();
    ensure!(arguments.contains(&address.to_string()), "{arguments:?}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater"));
    let child = command.args(&arguments).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut pod = Pod(child);
    let status = |address: SocketAddr, probe: &str| {
        let path = container[probe]["httpGet"]["path"].as_str().unwrap_or_default();
        get(address, path).map_or(0, |it| it.status)
    };
    wait::until_ok("it to live", PATIENCE, || {
        ensure!(pod.0.try_wait()?.is_none(), "it ended: {arguments:?}");
        Ok(status(address, "livenessProbe") == 200)
    })?;
    ensure!(status(address, "readinessProbe") == 503, "there is no server and no Kafka");
    signal(pod.0.id(), "TERM")?;
    let mut end = None;
    wait::until_ok("its end", PATIENCE, || {
        end = pod.0.try_wait()?;
        Ok(end.is_some())
    })?;
    ensure!(end.is_some_and(|it| it.success()), "{end:?}");
    Ok(())
}
