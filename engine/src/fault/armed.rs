//! What happens at fail points: reads it from the environment, counts, writes down, acts.
//!
//! Crate `fail` knows the points by name and calls back; counting is done here, because its own
//! actions can neither end the process nor prove that they happened.

use super::{FAULTS_VARIABLE, FOLDER_VARIABLE, FaultError, Point, Sabotage};
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What happens at a hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Kill,
    Panic,
    Sleep(Duration),
}

/// What happens at one point.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    point: Point,
    action: Action,
    hits: RangeInclusive<u64>,
    /// How many `>` stand before it.
    turn: usize,
}

/// What [`FAULTS_VARIABLE`] asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Faults {
    faults: Vec<Fault>,
    sabotages: Vec<Sabotage>,
}

/// One part of [`FAULTS_VARIABLE`].
enum Part {
    Fault(Fault),
    Sabotage(Sabotage),
}

/// A fault in this process.
struct Armed {
    fault: Fault,
    turns: Turns,
    /// How often the point was reached in its turn.
    count: AtomicU64,
    /// Where hits are written down.
    file: PathBuf,
}

/// By turn, how many hits are still to happen.
#[derive(Clone)]
struct Turns(Arc<[AtomicU64]>);

/// Where the hits of sabotages are written down.
static SABOTAGED: OnceLock<PathBuf> = OnceLock::new();

/// Arms what the environment asks for, if anything.
pub(super) fn arm_by(variable: impl Fn(&str) -> Option<String>) -> Result<(), FaultError> {
    let Faults { faults, sabotages } = parse(&variable(FAULTS_VARIABLE).unwrap_or_default())?;
    if faults.is_empty() && sabotages.is_empty() {
        return Ok(());
    }
    let folder = variable(FOLDER_VARIABLE).map(PathBuf::from);
    let folder = folder.filter(|it| it.is_dir()).ok_or(FaultError::FolderMissing)?;
    let turns = Turns::of(&faults);
    for fault in faults {
        let (name, turns) = (fault.point.name(), turns.clone());
        let armed = Armed { fault, turns, count: AtomicU64::new(0), file: folder.join(name) };
        fail::cfg_callback(name, move || armed.reached()).expect("a callback needs no parsing");
    }
    let _ = SABOTAGED.set(folder);
    for sabotage in sabotages {
        fail::cfg(sabotage.name(), "return").expect("this is an action of the crate");
    }
    Ok(())
}

/// A sabotage is asked for, and armed: notes that it is done.
pub(super) fn sabotaged(sabotage: Sabotage) -> bool {
    let folder = SABOTAGED.get().expect("what is armed has its folder");
    write_down(&folder.join(sabotage.name()), &"on");
    true
}

fn parse(text: &str) -> Result<Faults, FaultError> {
    let mut all = Faults::default();
    for (turn, side_by_side) in text.split('>').enumerate() {
        let parts = side_by_side.split(';').map(str::trim).filter(|part| !part.is_empty());
        for part in parts {
            let unreadable = |problem| FaultError::Unreadable { part: part.to_owned(), problem };
            match parse_part(part, turn).map_err(unreadable)? {
                Part::Fault(fault) if all.faults.iter().any(|it| it.point == fault.point) => {
                    return Err(unreadable("the point is named twice".to_owned()));
                }
                Part::Fault(fault) => all.faults.push(fault),
                Part::Sabotage(sabotage) => all.sabotages.push(sabotage),
            }
        }
    }
    Ok(all)
}

fn parse_part(part: &str, turn: usize) -> Result<Part, String> {
    let (name, rest) = part.split_once('=').ok_or("there is no `=`")?;
    let sabotage = Sabotage::ALL.into_iter().find(|sabotage| sabotage.name() == name);
    if let Some(sabotage) = sabotage {
        let is_on = (rest == "on").then_some(Part::Sabotage(sabotage));
        return is_on.ok_or_else(|| "a sabotage is `on`".to_owned());
    }
    let mut points = Point::ALL.into_iter().chain(Point::OF_CHANGES);
    let point = points.find(|point| point.name() == name).ok_or_else(|| {
        let points = Point::ALL.iter().chain(&Point::OF_CHANGES);
        let names: Vec<&str> = points.map(|point| point.name()).collect();
        format!("there is no point `{name}`, only {}", names.join(", "))
    })?;
    let (action, hits) = rest.split_once('@').unwrap_or((rest, "1"));
    let (action, hits) = (parse_action(action)?, parse_hits(hits)?);
    Ok(Part::Fault(Fault { point, action, hits, turn }))
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

impl Turns {
    fn of(faults: &[Fault]) -> Self {
        let turns = faults.iter().map(|fault| fault.turn + 1).max().unwrap_or(0);
        let hits = |fault: &Fault| fault.hits.end() - fault.hits.start() + 1;
        let of_turn = |turn| faults.iter().filter(move |fault| fault.turn == turn).map(hits);
        Turns((0..turns).map(|turn| AtomicU64::new(of_turn(turn).sum())).collect())
    }

    fn has_come(&self, turn: usize) -> bool {
        self.0[..turn].iter().all(|left| left.load(Ordering::SeqCst) == 0)
    }

    fn happened(&self, turn: usize) {
        self.0[turn].fetch_sub(1, Ordering::SeqCst);
    }
}

impl Armed {
    fn reached(&self) {
        if !self.turns.has_come(self.fault.turn) {
            return;
        }
        let hit = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if !self.fault.hits.contains(&hit) {
            return;
        }
        let (name, turn) = (self.fault.point.name(), self.fault.turn);
        write_down(&self.file, &format_args!("{hit} {:?}", self.fault.action));
        match self.fault.action {
            Action::Kill => std::process::abort(),
            Action::Panic => {
                self.turns.happened(turn);
                panic!("fail point {name}, hit {hit}");
            }
            Action::Sleep(duration) => {
                std::thread::sleep(duration);
                self.turns.happened(turn);
            }
        }
    }
}

fn write_down(path: &Path, hit: &dyn Display) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    // In one piece: several threads may write.
    let written = file.and_then(|mut file| file.write_all(format!("{hit}\n").as_bytes()));
    written.expect("the folder of hits is there and can be written to");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_part_by_part() {
        let faults = parse(
            " src.recv=kill@3; epoch.close=sleep(500)@2..4;sabotage.taint_ignored=on \
             >src.emitted=panic ",
        );
        let fault = |point, action, hits, turn| Fault { point, action, hits, turn };
        let expected = [
            fault(Point::SrcRecv, Action::Kill, 3..=3, 0),
            fault(Point::EpochClose, Action::Sleep(Duration::from_millis(500)), 2..=4, 0),
            fault(Point::SrcEmitted, Action::Panic, 1..=1, 1),
        ];
        let sabotages = vec![Sabotage::TaintIgnored];
        assert_eq!(faults.unwrap(), Faults { faults: expected.to_vec(), sabotages });
        assert_eq!(parse("").unwrap(), Faults::default());
    }

    #[test]
    fn what_cannot_be_read_is_told_with_what_was_expected() {
        let cases = [
            ("src.recv", "no `=`"),
            ("src.revc=kill", "src.resumed, src.recv"),
            ("src.recv=die", "no action `die`"),
            ("src.recv=sleep(long)", "no action `sleep(long)`"),
            ("src.recv=kill@0", "`0` counts no hits"),
            ("src.recv=kill@3..2", "`3..2` counts no hits"),
            ("src.recv=kill;src.recv=panic", "named twice"),
            ("src.recv=kill>src.recv=panic", "named twice"),
            ("sabotage.taint_ignored=kill", "a sabotage is `on`"),
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

    /// On points of its own: points are shared by all tests of this process.
    #[test]
    fn the_hits_that_were_asked_for_act_in_their_turn_and_are_written_down_first() {
        let folder = std::env::temp_dir().join(format!("headwater-faults-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let asked = "src.resumed=panic@2..3 > src.recv=panic; sabotage.taint_ignored=on";
        let variable = |name: &str| match name {
            FAULTS_VARIABLE => Some(asked.to_owned()),
            _ => Some(folder.display().to_string()),
        };
        arm_by(variable).unwrap();
        let panics = |point| std::panic::catch_unwind(|| super::super::point(point)).is_err();
        let both = |_| [Point::SrcRecv, Point::SrcResumed].map(panics);
        let panicked: Vec<[bool; 2]> = (1..=5).map(both).collect();
        let asked = Sabotage::ALL.map(super::super::is_sabotaged);
        let written = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        let written = ["src.resumed", "src.recv", "sabotage.taint_ignored"].map(written);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(panicked.concat(), [0, 0, 0, 1, 0, 1, 1, 0, 0, 0].map(|it| it == 1));
        assert_eq!(asked, Sabotage::ALL.map(|it| it == Sabotage::TaintIgnored));
        assert_eq!(written, ["2 Panic\n3 Panic\n", "1 Panic\n", "on\n"]);
    }

    #[test]
    fn each_point_has_a_name_of_its_own_and_is_listed() {
        let points = Point::ALL.iter().chain(&Point::OF_CHANGES).map(|point| point.name());
        let mut names: Vec<&str> = points.chain(Sabotage::ALL.map(Sabotage::name)).collect();
        names.sort_unstable();
        names.dedup();
        let expected = Point::ALL.len() + Point::OF_CHANGES.len() + Sabotage::ALL.len();
        assert_eq!(names.len(), expected);
    }
}
