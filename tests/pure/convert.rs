//! Goal: a connector's configuration becomes the pipeline that does the same, or all its mistakes
//! are told by key.
//! Method: each file in `tests/cases/convert` through `headwater convert`, in a folder that has the
//! files and variables that some of them name. What is written is compared, and so is what is told;
//! the command has its file checked as any pipeline file is, so that what is not sound is told too.

use crate::expect::{demand_none, difference, files, root};
use crate::program::{Ran, headwater, run};
use headwater_proto::{DescriptorInput, Descriptors, TELEMETRY_PROTO};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FOLDER: &str = "tests/cases/convert";

/// What some configurations name: the types, and a properties file.
fn world() -> TempDir {
    let world = TempDir::new().expect("a temporary folder");
    let put = |name: &str, bytes: &[u8]| {
        fs::write(world.path().join(name), bytes).expect("a temporary folder is writable");
    };
    put("telemetry.proto", TELEMETRY_PROTO.as_bytes());
    let proto = world.path().join("telemetry.proto");
    let input = DescriptorInput::Protos { files: vec![proto], includes: Vec::new() };
    let types = Descriptors::load(&input).expect("the demo's types compile");
    put("telemetry.desc", &types.pool().encode_to_vec());
    put("secrets.properties", b"topic=secret-topic\npassword=secret-password\n");
    world
}

fn convert(world: &Path, case: &Path) -> Ran {
    let name = case.file_name().expect("a case has a name").to_string_lossy().into_owned();
    let content = fs::read(case).expect("a case is readable");
    fs::write(world.join(&name), content).expect("a temporary folder is writable");
    let mut arguments = vec!["convert".to_owned(), name];
    if let Ok(more) = fs::read_to_string(case.with_extension("args")) {
        arguments.extend(more.split_whitespace().map(str::to_owned));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(headwater(&arguments).current_dir(world).env("SITE", "berlin").env("PORT", "50051"))
}

fn cases() -> Vec<PathBuf> {
    let mut cases = files(FOLDER, "json");
    cases.extend(files(FOLDER, "properties"));
    cases
}

#[test]
fn every_configuration_becomes_what_is_expected() {
    let cases = cases();
    assert!(cases.len() >= 55, "the cases are there: {}", cases.len());
    let world = world();
    for worker in files(FOLDER, "txt") {
        let name = worker.file_name().expect("a worker's file has a name");
        fs::copy(&worker, world.path().join(name)).expect("the worker's file is readable");
    }
    let mut differences = Vec::new();
    for case in cases {
        let name = case.file_name().expect("a case has a name").to_string_lossy().into_owned();
        let ran = convert(world.path(), &case);
        // The name of a case says whether it is a mistake, so that an update cannot turn it around.
        let is_sound = name.starts_with("ok_");
        assert_eq!(ran.code, if is_sound { 0 } else { 64 }, "{name}: {ran:#?}");
        assert_eq!(ran.stdout.is_empty(), !is_sound, "{name}");
        if is_sound {
            differences.extend(difference(&case.with_extension("yaml"), &ran.stdout));
        }
        differences.extend(difference(&case.with_extension("expected"), &ran.stderr));
        for secret in ["secret-password", "secret-topic", "berlin"] {
            assert!(!ran.output().contains(secret), "{name} shows {secret}");
        }
    }
    demand_none(&differences);
}

/// The conversion has its file checked as well; here the command does it, with all files there that
/// the files name, so that nothing is passed over for being elsewhere.
#[test]
fn what_is_written_passes_the_check_where_its_files_are() {
    let world = world();
    let mut checked = 0;
    for case in cases() {
        let expected = case.with_extension("yaml");
        let Ok(text) = fs::read_to_string(&expected) else { continue };
        let name = expected.file_name().expect("a case has a name").to_string_lossy().into_owned();
        if ELSEWHERE.iter().any(|path| text.contains(path)) {
            continue;
        }
        fs::write(world.path().join(&name), text).expect("a temporary folder is writable");
        let mut command = headwater(&["validate", &name]);
        run(command.current_dir(world.path()).env("SITE", "berlin").env("PORT", "50051"))
            .succeeded();
        checked += 1;
    }
    assert!(checked >= 24, "{checked} files were checked");
}

/// Folders that only the connector's own examples have.
const ELSEWHERE: [&str; 4] = ["/opt/kafka/", "/etc/kafka/", "/etc/ssl/", "/run/secrets/"];

/// What stands in the file as a comment needs nothing but its signs taken away.
#[test]
fn the_guess_at_a_cursor_makes_the_file_exactly_once() {
    let world = world();
    let text = fs::read_to_string(root().join(FOLDER).join("ok_telemetry.yaml"));
    let mut sound = "require: exactly_once\n".to_owned();
    let mut is_guess = false;
    for line in text.expect("the case is there").lines() {
        is_guess |= line == "    # resume:";
        let line = if is_guess { line.replacen("    # ", "    ", 1) } else { line.to_owned() };
        sound.push_str(&line);
        sound.push('\n');
        is_guess &= !line.is_empty();
    }
    assert!(sound.contains("\n    resume:\n      cursor:"), "{sound}");
    fs::write(world.path().join("resumed.yaml"), sound).expect("it is writable");
    let mut command = headwater(&["validate", "resumed.yaml"]);
    run(command.current_dir(world.path()).env("SITE", "berlin")).succeeded();
}

#[test]
fn files_are_written_into_a_folder_and_never_over_others() {
    let world = world();
    let inputs = ["ok_telemetry.json", "ok_brokers.json"];
    for input in inputs {
        let from = root().join(FOLDER).join(input);
        fs::copy(from, world.path().join(input)).expect("a case is readable");
    }
    fs::create_dir(world.path().join("out")).expect("a temporary folder is writable");
    let mut command = headwater(&["convert", inputs[0], inputs[1], "-o", "out"]);
    let command = command.current_dir(world.path()).env("SITE", "berlin");
    run(command).succeeded();
    for written in ["out/ok-telemetry.yaml", "out/ok-brokers.yaml"] {
        assert!(world.path().join(written).exists(), "{written}");
    }
    let again = run(command);
    assert_eq!(again.code, 64, "{again:#?}");
    assert!(again.stderr.contains("not overwritten"), "{again:#?}");
}

/// One behind the other they would be no pipeline file.
#[test]
fn several_files_are_not_written_into_one() {
    let world = world();
    let inputs = ["ok_telemetry.json", "ok_brokers.json"];
    for input in inputs {
        let from = root().join(FOLDER).join(input);
        fs::copy(from, world.path().join(input)).expect("a case is readable");
    }
    for output in
        [&["convert", inputs[0], inputs[1]][..], &["convert", inputs[0], inputs[1], "-o", "x"]]
    {
        let mut command = headwater(output);
        let ran = run(command.current_dir(world.path()).env("SITE", "berlin"));
        assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{ran:#?}");
        assert!(ran.stderr.contains("--output FOLDER"), "{ran:#?}");
        assert!(!world.path().join("x").exists());
    }
}

#[test]
fn two_connectors_of_one_name_are_refused() {
    let world = world();
    let from = root().join(FOLDER).join("ok_telemetry.json");
    for name in ["a.json", "b.json"] {
        fs::copy(&from, world.path().join(name)).expect("a case is readable");
    }
    let ran = run(headwater(&["convert", "a.json", "b.json"]).current_dir(world.path()));
    assert_eq!(ran.code, 64, "{ran:#?}");
    assert!(ran.stderr.contains("name: ok-telemetry is also in a.json"), "{ran:#?}");
}
