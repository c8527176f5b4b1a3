//! What happens at fail points: reads it from the environment, counts, writes down, acts.
//!
//! Crate `fail` knows the points by name and calls back; counting is done here, because its own
//! actions can neither end the process nor prove that they happened.

use super::{FAULTS_VARIABLE, FOLDER_VARIABLE, FaultError, Point};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens at a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Panic,
    Sleep(Duration),
}

/// One part of [`FAULTS_VARIABLE`].
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    point: Point,
    action: Action,
    hits: RangeInclusive<u64>,
}

/// A fault in this process.
struct Armed {
    fault: Fault,
    /// How often the point was reached.
    count: AtomicU64,
    /// Where hits are written down.
    file: PathBuf,
}

/// Arms what the environment asks for, if anything.
pub(super) fn arm_by(variable: impl Fn(&str) -> Option<String>) -> Result<(), FaultError> {
    let faults = parse(&variable(FAULTS_VARIABLE).unwrap_or_default())?;
    if faults.is_empty() {
        return Ok(());
    }
    let folder = variable(FOLDER_VARIABLE).map(PathBuf::from);
    let folder = folder.filter(|it| it.is_dir()).ok_or(FaultError::FolderMissing)?;
    for fault in faults {
        let name = fault.point.name();
        let armed = Armed { fault, count: AtomicU64::new(0), file: folder.join(name) };
        fail::cfg_callback(name, move || armed.reached()).expect("a callback needs no parsing");
    }
    Ok(())
}

fn parse(text: &str) -> Result<Vec<Fault>, FaultError> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let mut faults: Vec<Fault> = Vec::new();
    for part in parts {
        let unreadable = |problem| FaultError::Unreadable { part: part.to_owned(), problem };
        let fault = parse_part(part).map_err(unreadable)?;
        if faults.iter().any(|other| other.point == fault.point) {
            return Err(unreadable("the point is named twice".to_owned()));
        }
        faults.push(fault);
    }
    Ok(faults)
}

fn parse_part(part: &str) -> Result<Fault, String> {
    let (name, rest) = part.split_once('=').ok_or("there is no `=`")?;
    let point = Point::ALL.into_iter().find(|point| point.name() == name);
    let point = point.ok_or_else(|| {
        let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        format!("there is no point `{name}`, only {}", names.join(", "))
    })?;
    let (action, hits) = rest.split_once('@').unwrap_or((rest, "1"));
    Ok(Fault { point, action: parse_action(action)?, hits: parse_hits(hits)? })
}

fn parse_action(text: &str) -> Result<Action, String> {
    let millis = text.strip_prefix("sleep(").and_then(|rest| rest.strip_suffix(')'));
    match (text, millis.map(str::parse)) {
        ("kill", _) => Ok(Action::Kill),
        ("panic", _) => Ok(Action::Panic),
        (_, Some(Ok(millis))) => Ok(Action::Sleep(Duration::from_millis(millis))),
        _ => Err(format!("there is no action `{text}`")),
    }
}

fn parse_hits(text: &str) -> Result<RangeInclusive<u64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 1 <= first && first <= last => Ok(first..=last),
        _ => Err(format!("`{text}` counts no hits from 1 on")),
    }
}

impl Armed {
    fn reached(&self) {
        let hit = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.fault.hits.contains(&hit) {
            return;
        }
        self.write_down(hit);
        let name = self.fault.point.name();
        match self.fault.action {
            Action::Kill => std::process::abort(),
            Action::Panic => panic!("fail point {name}, hit {hit}"),
            Action::Sleep(duration) => std::thread::sleep(duration),
        }
    }

    fn write_down(&self, hit: u64) {
        let file = OpenOptions::new().create(true).append(true).open(&self.file);
        let written = file.and_then(|mut file| writeln!(file, "{hit} {:?}", self.fault.action));
        written.expect("the folder of hits is there and can be written to");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_part_by_part() {
        let faults = parse(" src.recv=kill@3; epoch.close=sleep(500)@2..4;src.emitted=panic ");
        let fault = |point, action, hits| Fault { point, action, hits };
        let expected = [
            fault(Point::SrcRecv, Action::Kill, 3..=3),
            fault(Point::EpochClose, Action::Sleep(Duration::from_millis(500)), 2..=4),
            fault(Point::SrcEmitted, Action::Panic, 1..=1),
        ];
        assert_eq!(faults.unwrap(), expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_was_expected() {
        let cases = [
            ("src.recv", "no `=`"),
            ("src.revc=kill", "only src.resumed, src.recv"),
            ("src.recv=die", "no action `die`"),
            ("src.recv=sleep(long)", "no action `sleep(long)`"),
            ("src.recv=kill@0", "`0` counts no hits"),
            ("src.recv=kill@3..2", "`3..2` counts no hits"),
            ("src.recv=kill;src.recv=panic", "named twice"),
        ];
        for (text, problem) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
            assert!(error.contains("expected POINT=ACTION"), "{error}");
        }
    }

    #[test]
    fn without_a_folder_nothing_is_armed() {
        let folders = [None, Some("/nowhere/at/all")];
        for folder in folders {
            let variable = |name: &str| match name {
                FAULTS_VARIABLE => Some("src.recv=kill".to_owned()),
                _ => folder.map(str::to_owned),
            };
            assert!(matches!(arm_by(variable), Err(FaultError::FolderMissing)));
        }
        assert!(arm_by(|_| None).is_ok(), "nothing is asked for");
    }

    /// On a point of its own: points are shared by all tests of this process.
    #[test]
    fn the_hits_that_were_asked_for_act_and_are_written_down_first() {
        let folder = std::env::temp_dir().join(format!("headwater-faults-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let variable = |name: &str| match name {
            FAULTS_VARIABLE => Some("src.resumed=panic@2..3".to_owned()),
            _ => Some(folder.display().to_string()),
        };
        arm_by(variable).unwrap();
        let has_panicked = || std::panic::catch_unwind(|| super::super::point(Point::SrcResumed));
        let panicked: Vec<bool> = (1..=4).map(|_| has_panicked().is_err()).collect();
        let written = std::fs::read_to_string(folder.join("src.resumed")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(panicked, [false, true, true, false]);
        assert_eq!(written, "2 Panic\n3 Panic\n");
    }

    #[test]
    fn each_point_has_a_name_of_its_own_and_is_listed() {
        let mut names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
    }
}
