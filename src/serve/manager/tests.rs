//! The machine under every event by itself, and under random ones in any order.

use super::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn known() -> Arc<Known> {
    Arc::new(Known { document: "a document".to_owned(), accept_change: None, at_unix_ms: 0 })
}

fn config(revision: i64) -> Config {
    Config { kind: Kind::Pipeline, revision, content: Content::Known(known()) }
}

fn put(entry: &str, revision: i64) -> Event {
    Event::Config(name(entry), Kind::Pipeline, Some(config(revision)))
}

fn delete(entry: &str) -> Event {
    Event::Config(name(entry), Kind::Pipeline, None)
}

fn aim(entry: &str, target: Target) -> Event {
    Event::Target(name(entry), Some(target.into()))
}

fn ended(entry: &str, run: u64, end: End) -> Event {
    Event::Ended(name(entry), RunId(run), end)
}

fn failed() -> End {
    End::Failed("its server is gone".to_owned())
}

fn start(entry: &str, run: u64, revision: i64) -> Action {
    let kind = Kind::Pipeline;
    Action::Start(Start { name: name(entry), run: RunId(run), kind, revision, known: known() })
}

fn end(entry: &str, run: u64) -> Action {
    Action::End(name(entry), RunId(run))
}

fn forget(entry: &str) -> Action {
    Action::Forget(name(entry))
}

/// A machine that leads and runs `a` in revision 1.
fn running() -> Manager {
    let mut manager = Manager::default();
    assert_eq!(manager.on(put("a", 1)), [], "who does not lead starts nothing");
    assert_eq!(manager.on(Event::Leads(true)), [start("a", 1, 1)]);
    manager
}

fn standing(manager: &Manager) -> Standing {
    manager.view(&name("a")).unwrap().standing
}

#[test]
fn a_replacement_starts_when_what_it_replaces_has_ended() {
    let mut manager = running();
    assert_eq!(manager.on(put("a", 2)), [end("a", 1)]);
    assert_eq!(standing(&manager), Standing::Ending);
    assert_eq!(manager.on(put("a", 3)), [], "it was asked already");
    assert_eq!(manager.on(ended("a", 1, End::Done)), [start("a", 2, 3)], "the newest one");
    assert_eq!(manager.view(&name("a")).unwrap().running_revision, Some(3));
}

#[test]
fn pause_and_stop_end_it_and_resume_starts_it_again() {
    for (target, shown) in
        [(Target::Paused, Standing::Paused), (Target::Stopped, Standing::Stopped)]
    {
        let mut manager = running();
        assert_eq!(manager.on(aim("a", target)), [end("a", 1)]);
        assert_eq!(manager.on(ended("a", 1, End::Done)), []);
        assert_eq!(standing(&manager), shown);
        assert_eq!(manager.on(put("a", 2)), [], "a change does not start what is paused");
        assert_eq!(manager.on(aim("a", Target::Running)), [start("a", 2, 2)]);
    }
}

#[test]
fn a_resume_while_it_still_ends_starts_it_anew() {
    let mut manager = running();
    assert_eq!(manager.on(aim("a", Target::Paused)), [end("a", 1)]);
    assert_eq!(manager.on(aim("a", Target::Running)), []);
    assert_eq!(manager.on(ended("a", 1, End::Done)), [start("a", 2, 1)]);
}

#[test]
fn what_failed_stays_failed_until_it_is_changed_restarted_or_stopped() {
    let waits: [(&[Event], _); 3] = [
        (&[put("a", 2)], [start("a", 2, 2)]),
        (&[Event::Restart(name("a"))], [start("a", 2, 1)]),
        (&[aim("a", Target::Stopped), aim("a", Target::Running)], [start("a", 2, 1)]),
    ];
    for (events, expected) in waits {
        let mut manager = running();
        assert_eq!(manager.on(ended("a", 1, failed())), []);
        let reason = "its server is gone".to_owned();
        assert_eq!(standing(&manager), Standing::Failed(reason.clone()));
        for target in [Target::Paused, Target::Running] {
            assert_eq!(manager.on(aim("a", target)), []);
            assert_eq!(standing(&manager), Standing::Failed(reason.clone()));
        }
        let done: Vec<Action> =
            events.iter().cloned().flat_map(|event| manager.on(event)).collect();
        assert_eq!(done, expected);
    }
}

#[test]
fn a_stream_that_is_complete_is_not_called_again() {
    let mut manager = running();
    assert_eq!(manager.on(ended("a", 1, End::Done)), []);
    assert_eq!(standing(&manager), Standing::Finished);
    assert_eq!(manager.on(Event::Restart(name("a"))), [start("a", 2, 1)]);
}

#[test]
fn a_failure_while_it_ends_counts_for_nothing() {
    let mut manager = running();
    assert_eq!(manager.on(Event::Restart(name("a"))), [end("a", 1)]);
    assert_eq!(manager.on(ended("a", 1, failed())), [start("a", 2, 1)]);
}

#[test]
fn what_is_deleted_ends_first_and_is_then_forgotten() {
    let mut manager = running();
    assert_eq!(manager.on(delete("a")), [end("a", 1)]);
    assert_eq!(manager.view(&name("a")), None);
    assert_eq!(manager.on(Event::Target(name("a"), None)), []);
    assert_eq!(manager.on(ended("a", 1, End::Done)), [forget("a")]);
    assert!(manager.is_idle());
}

#[test]
fn what_comes_back_under_its_name_waits_for_its_predecessor() {
    let mut manager = running();
    assert_eq!(manager.on(delete("a")), [end("a", 1)]);
    assert_eq!(manager.on(put("a", 9)), []);
    assert_eq!(manager.on(ended("a", 1, End::Done)), [start("a", 2, 9)]);
}

#[test]
fn whoever_loses_the_lead_ends_all_and_forgets_what_failed() {
    let mut manager = running();
    assert_eq!(manager.on(put("b", 2)), [start("b", 2, 2)]);
    assert_eq!(manager.on(ended("b", 2, failed())), []);
    assert_eq!(manager.on(Event::Leads(false)), [end("a", 1)]);
    assert_eq!(manager.on(put("c", 3)), []);
    assert_eq!(manager.on(ended("a", 1, End::Done)), []);
    assert_eq!(standing(&manager), Standing::Unassigned);
    let again = manager.on(Event::Leads(true));
    assert_eq!(again, [start("a", 3, 1), start("b", 4, 2), start("c", 5, 3)]);
}

#[test]
fn a_task_that_is_not_the_present_one_tells_nothing() {
    let mut manager = running();
    assert_eq!(manager.on(ended("a", 7, failed())), []);
    assert_eq!(standing(&manager), Standing::Running);
}

#[test]
fn the_end_of_another_kind_is_not_the_end_of_this_one() {
    let mut manager = running();
    assert_eq!(manager.on(Event::Config(name("a"), Kind::Connector, None)), []);
    assert_eq!(standing(&manager), Standing::Running);
}

#[test]
fn what_cannot_be_read_is_shown_and_does_not_run() {
    let mut manager = running();
    let content = Content::Unreadable("format 2".to_owned());
    let config = Config { kind: Kind::Pipeline, revision: 2, content };
    let actions = manager.on(Event::Config(name("a"), Kind::Pipeline, Some(config)));
    assert_eq!(actions, [end("a", 1)]);
    assert_eq!(manager.on(ended("a", 1, End::Done)), []);
    assert_eq!(standing(&manager), Standing::Failed("format 2".to_owned()));
}

/// What the world does with a machine's actions, and what it should come to.
#[derive(Default)]
struct World {
    manager: Manager,
    /// Tasks that live, and whether they were asked to end.
    live: BTreeMap<Name, (RunId, i64, bool)>,
    leads: bool,
    configs: BTreeMap<Name, i64>,
    targets: BTreeMap<Name, Target>,
    /// Names that must not be started before somebody asks.
    settled: BTreeSet<Name>,
    revisions: i64,
}

impl World {
    fn feed(&mut self, event: Event) {
        for action in self.manager.on(event) {
            match action {
                Action::Start(start) => {
                    assert!(self.leads && self.target(&start.name) == Target::Running);
                    assert_eq!(self.configs.get(&start.name), Some(&start.revision));
                    assert!(!self.settled.contains(&start.name), "nobody asked for it");
                    let task = (start.run, start.revision, false);
                    assert_eq!(self.live.insert(start.name, task), None, "one task a name");
                }
                Action::End(name, run) => {
                    let task = self.live.get_mut(&name).expect("it lives");
                    assert_eq!((task.0, task.2), (run, false), "each is asked once");
                    task.2 = true;
                }
                Action::Forget(name) => {
                    assert!(!self.configs.contains_key(&name) && !self.live.contains_key(&name));
                }
            }
        }
    }

    fn target(&self, name: &Name) -> Target {
        self.targets.get(name).copied().unwrap_or_default()
    }

    fn step(&mut self, random: &mut StdRng) {
        let entry = name(["a", "b", "c"][random.random_range(0..3)]);
        match random.random_range(0..10) {
            0 | 1 => {
                self.revisions += 1;
                self.configs.insert(entry.clone(), self.revisions);
                self.settled.remove(&entry);
                let config = Some(config(self.revisions));
                self.feed(Event::Config(entry, Kind::Pipeline, config));
            }
            2 => {
                self.configs.remove(&entry);
                self.settled.remove(&entry);
                self.feed(Event::Config(entry, Kind::Pipeline, None));
            }
            3 | 4 => {
                let all = [Target::Running, Target::Paused, Target::Stopped];
                let target = all[random.random_range(0..3)];
                self.targets.insert(entry.clone(), target);
                if target == Target::Stopped {
                    self.settled.remove(&entry);
                }
                self.feed(Event::Target(entry, Some(target.into())));
            }
            5 => {
                self.settled.remove(&entry);
                self.feed(Event::Restart(entry));
            }
            6 => {
                self.leads = random.random_bool(0.7);
                if !self.leads {
                    self.settled.clear();
                }
                self.feed(Event::Leads(self.leads));
            }
            _ => self.end_task(&entry, random.random_bool(0.3)),
        }
    }

    fn end_task(&mut self, entry: &Name, fails: bool) {
        let Some((run, revision, was_asked)) = self.live.remove(entry) else { return };
        if !was_asked && self.configs.get(entry) == Some(&revision) {
            self.settled.insert(entry.clone());
        }
        let end = if fails { failed() } else { End::Done };
        self.feed(Event::Ended(entry.clone(), run, end));
    }

    /// Lets everything that was asked to end do so, until nothing happens any more.
    fn calm(&mut self) {
        while let Some(asked) = self.live.iter().find(|(_, task)| task.2).map(|it| it.0.clone()) {
            self.end_task(&asked, false);
        }
    }

    fn demand_right(&self) {
        let is_wanted = |name: &&Name| {
            let is_settled = self.settled.contains(*name);
            self.leads && self.target(name) == Target::Running && !is_settled
        };
        let wanted: BTreeMap<&Name, i64> =
            self.configs.keys().filter(is_wanted).map(|name| (name, self.configs[name])).collect();
        let there: BTreeMap<&Name, i64> =
            self.live.iter().map(|(name, task)| (name, task.1)).collect();
        assert_eq!(there, wanted);
    }
}

#[test]
fn whatever_happens_in_whatever_order_what_is_wanted_runs_in_the_end() {
    for seed in 0..300 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut world = World::default();
        for _ in 0..200 {
            world.step(&mut random);
            if random.random_bool(0.05) {
                world.calm();
                world.demand_right();
            }
        }
        world.calm();
        world.demand_right();
    }
}
