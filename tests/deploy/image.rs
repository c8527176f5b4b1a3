//! Goal: what the image holds is all that the program needs, and the image runs as Kubernetes'
//! strictest rules want it.
//! Method: `deploy/container/rootfs`, which the Containerfile runs, lays out the image's content;
//! the program runs in it as user 65532 on a read-only root, without capabilities, with nothing of
//! this machine but its network, from a server into a broker. `hadolint` judges the Containerfile.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use headwater_test_support::grpc::{Script, ScriptedServer};
use headwater_test_support::kafka::Cluster;
use headwater_test_support::pipeline::{OnEnd, Pipeline};
use headwater_test_support::process::{Metrics, free_address, get, signal};
use headwater_test_support::wait;
use tempfile::TempDir;

use crate::tools::{is_real, read, root, run, tool};
use crate::world::PATIENCE;

const CONTAINERFILE: &str = "deploy/container/Containerfile";
const USER: u32 = 65_532;

/// What a container runtime does before it starts the program, with the tools of any Linux.
const CONTAIN: &str = "set -e; mount --bind \"$1\" \"$1\"; mount -t proc proc \"$1/proc\"; \
    mount -o remount,bind,ro \"$1\"; shift; cd /; \
    exec setpriv --inh-caps=-all --no-new-privs chroot --userspec=65532:65532 \"$@\"";

/// All files below `folder`, by their path from there.
fn files(folder: &Path, base: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, base, found)?;
        } else {
            let mode = fs::metadata(&path)?.permissions().mode();
            ensure!(mode & 0o6000 == 0, "{} takes its owner's rights", path.display());
            found.insert(path.strip_prefix(base)?.display().to_string());
        }
    }
    Ok(())
}

/// A process in the image's content, killed with this.
struct Contained(Child);

impl Drop for Contained {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn contained(image: &Path, arguments: &[&str]) -> Result<Contained> {
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", CONTAIN, "sh"]).arg(image).arg(image);
    command.arg("/usr/bin/headwater").args(arguments).env_clear();
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let log = fs::File::create(log(image))?;
    let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
    Ok(Contained(child.context("unshare does not start")?))
}

/// Where the contained program's log is; the test writes it, from outside.
fn log(image: &Path) -> PathBuf {
    image.join("tmp/log")
}

fn image() -> Result<TempDir> {
    let folder = TempDir::with_prefix("headwater-image-")?;
    let script = root().join("deploy/container/rootfs");
    run(Command::new(script).arg(env!("CARGO_BIN_EXE_headwater")).arg(folder.path()))?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

#[test]
fn the_image_holds_the_program_its_libraries_and_certificates() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    let image = image()?;
    let mut found = BTreeSet::new();
    files(image.path(), image.path(), &mut found)?;
    let is_library = |it: &String| it.starts_with("lib") && it.contains(".so");
    found.retain(|it| !is_library(it));
    let expected = [
        "etc/group",
        "etc/nsswitch.conf",
        "etc/passwd",
        "etc/ssl/certs/ca-certificates.crt",
        "usr/bin/headwater",
    ];
    ensure!(found.iter().eq(expected.iter()), "{found:?}");
    Ok(())
}

#[test]
fn a_pipeline_runs_in_the_image_by_a_user_who_owns_nothing_on_a_read_only_root() -> Result<()> {
    if !is_real() {
        return Ok(());
    }
    const TOTAL: u64 = 2_000;
    let image = image()?;
    let cluster = Cluster::embedded()?;
    let server = ScriptedServer::start(Script::new(TOTAL))?;
    // By name: the resolver of the C library must find what it needs.
    let endpoint = format!("http://localhost:{}", server.address().port());
    let mut pipeline = Pipeline::new(endpoint, cluster.bootstrap());
    pipeline.on_end = OnEnd::Reconnect;
    pipeline.write(&image.path().join("etc/headwater/pipelines"))?;
    // A runtime brings these two.
    fs::write(image.path().join("etc/hosts"), "127.0.0.1 localhost\n")?;
    fs::write(image.path().join("etc/resolv.conf"), "")?;
    let metrics = free_address()?;
    let file = "/etc/headwater/pipelines/telemetry.yaml";
    let mut child = contained(image.path(), &["run", file, "--metrics", &metrics.to_string()])?;
    wait::until_ok("all records", PATIENCE, || {
        if let Some(status) = child.0.try_wait()? {
            bail!("it ended: {status}\n{}", fs::read_to_string(log(image.path()))?);
        }
        Ok(committed(metrics) == TOTAL as f64)
    })?;
    let status = fs::read_to_string(format!("/proc/{}/status", child.0.id()))?;
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    ensure!(line("Uid:").split_whitespace().skip(1).all(|it| it == USER.to_string()), "{status}");
    for rights in ["CapEff:", "CapPrm:", "CapInh:"] {
        ensure!(line(rights).ends_with("\t0000000000000000"), "{status}");
    }
    ensure!(line("NoNewPrivs:").ends_with('1'));
    signal(child.0.id(), "TERM")?;
    let mut code = None;
    wait::until_ok("its end", PATIENCE, || {
        code = child.0.try_wait()?;
        Ok(code.is_some())
    })?;
    ensure!(code.is_some_and(|it| it.code() == Some(0)), "{code:?}");
    Ok(())
}

fn committed(metrics: SocketAddr) -> f64 {
    let text = get(metrics, "/metrics").map(|it| it.body).unwrap_or_default();
    Metrics::parse(&text).sum("headwater_committed_records_total")
}

#[test]
fn the_containerfile_is_sound_and_names_its_user_by_number() -> Result<()> {
    let text = read(CONTAINERFILE)?;
    ensure!(text.lines().any(|line| line == format!("USER {USER}:{USER}")));
    ensure!(!text.contains("HEALTHCHECK "), "there is nothing in the image that could ask");
    if is_real() {
        run(Command::new(tool("hadolint")?).arg(CONTAINERFILE))?;
    }
    Ok(())
}
