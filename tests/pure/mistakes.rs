//! Goal: one run tells every mistake of a file, and nothing that only follows from another one.
//! Method: a sound file with every key, from `tests/cases/mistakes`. Each of its values is damaged
//! in every way its shape can be: another type, a variable that is not set, a misspelt key, a key
//! too many, a key missing. Each mistake of meaning is combined with all damages that take a value
//! of its node away, and with a part of the others that differs from mistake to mistake. What is
//! told of two must be what is told of one and of the other.
//!
//! A mistake names the keys it `reads`: where one of them is damaged, it may be untold, as nothing
//! true can be said of it. Nothing else may be told then either.

use crate::expect::{demand_none, files, root};
use headwater_engine::spec::{Diagnostics, Registry, Severity, Source, SystemVariables, load};
use headwater_operators::registry;
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

/// Of the damages that are far from a mistake or leave every value in its place, one of so many is
/// combined with it.
const OTHERS_ONE_OF: usize = 24;

/// A sound file, and what can be wrong with it.
#[derive(serde::Deserialize)]
struct Case {
    sound: Json,
    /// Maps that take any key.
    free: Vec<String>,
    /// Maps of values that have no shape, as a field's type says what it takes.
    any: Vec<String>,
    /// Keys that may not be left out.
    required: Vec<String>,
    mistakes: Vec<Mistake>,
}

/// A mistake of meaning.
#[derive(serde::Deserialize)]
struct Mistake {
    #[serde(default)]
    set: BTreeMap<String, Json>,
    #[serde(default)]
    remove: Vec<String>,
    /// Keys it depends on; with `/**` all that they hold as well.
    #[serde(default)]
    reads: Vec<String>,
    says: String,
}

/// A mistake of shape.
#[derive(Clone, Debug)]
struct Damage {
    at: String,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    OtherType,
    Unset,
    Misspelt,
    KeyTooMany,
    Missing,
}

/// What is told of a file: each finding once, without its place and without the words that tell a
/// guarantee from its bound.
type Told = BTreeSet<(bool, String)>;

#[test]
fn every_damage_is_told_alone() {
    let mut wrong = Vec::new();
    for case in cases() {
        for damage in case.damages() {
            let told = case.told(&[], &[&damage]);
            wrong.extend((told.len() != 1).then(|| format!("{damage:?}: {told:#?}")));
        }
    }
    demand_none(&wrong);
}

#[test]
fn a_mistake_of_meaning_and_a_damage_are_both_told() {
    let mut wrong = Vec::new();
    for case in cases() {
        let damages = case.damages();
        let damages: Vec<(&Damage, Told)> =
            damages.iter().map(|damage| (damage, case.told(&[], &[damage]))).collect();
        for (turn, mistake) in case.mistakes.iter().enumerate() {
            let alone = case.told(&[mistake], &[]);
            assert!(alone.iter().any(|(_, text)| text.contains(&mistake.says)), "{alone:#?}");
            let is_near = |damage: &Damage| mistake.places().any(|at| is_near(&damage.at, at));
            let chosen = damages.iter().enumerate().filter(|(index, (damage, _))| {
                (damage.takes_a_value() && is_near(damage))
                    || (index + turn).is_multiple_of(OTHERS_ONE_OF)
            });
            for (_, (damage, of_damage)) in chosen {
                let both = case.told(&[mistake], &[damage]);
                let sum = &alone | of_damage;
                let is_right =
                    if mistake.is_apart_from(damage) { both == sum } else { both.is_subset(&sum) };
                let context = || format!("{} with {damage:?}: {both:#?} {sum:#?}", mistake.says);
                wrong.extend((!is_right).then(context));
            }
        }
    }
    demand_none(&wrong);
}

#[test]
fn two_mistakes_of_meaning_are_both_told() {
    let mut wrong = Vec::new();
    for case in cases() {
        let alone: Vec<Told> = case.mistakes.iter().map(|one| case.told(&[one], &[])).collect();
        let all: Vec<(&Mistake, &Told)> = case.mistakes.iter().zip(&alone).collect();
        for (index, (one, of_one)) in all.iter().enumerate() {
            let others = all[index + 1..].iter();
            for (other, of_other) in others.filter(|(other, _)| one.is_independent_of(other)) {
                let sum = *of_one | *of_other;
                let both = case.told(&[one, other], &[]);
                let context = || format!("{} with {}: {both:#?} {sum:#?}", one.says, other.says);
                wrong.extend((both != sum).then(context));
            }
        }
    }
    demand_none(&wrong);
}

impl Case {
    /// Every damage that can be done to the sound file.
    fn damages(&self) -> Vec<Damage> {
        let mut damages = Vec::new();
        self.collect("", &self.sound, &mut damages);
        let missing = self.required.iter().cloned();
        damages.extend(missing.map(|at| Damage { at, how: How::Missing }));
        damages
    }

    fn collect(&self, at: &str, value: &Json, damages: &mut Vec<Damage>) {
        let mut add = |at: &str, how| damages.push(Damage { at: at.to_owned(), how });
        let is_any = self.any.iter().any(|any| any != at && is_inside(at, any));
        if !at.is_empty() && !is_any {
            add(at, How::OtherType);
        }
        let is_free = self.free.iter().any(|free| free == at);
        match value {
            Json::Object(map) => {
                if !is_free {
                    add(at, How::KeyTooMany);
                    map.keys().for_each(|key| add(&format!("{at}/{key}"), How::Misspelt));
                }
                for (key, inner) in map {
                    self.collect(&format!("{at}/{key}"), inner, damages);
                }
            }
            Json::Array(items) => {
                for (index, inner) in items.iter().enumerate() {
                    self.collect(&format!("{at}/{index}"), inner, damages);
                }
            }
            _ => add(at, How::Unset),
        }
    }

    fn told(&self, mistakes: &[&Mistake], damages: &[&Damage]) -> Told {
        let mut file = self.sound.clone();
        for mistake in mistakes {
            mistake.remove.iter().for_each(|at| drop(remove(&mut file, at)));
            mistake.set.iter().for_each(|(at, value)| set(&mut file, at, value.clone()));
        }
        damages.iter().for_each(|damage| damage.apply(&mut file));
        told(&serde_json::to_string_pretty(&file).expect("JSON is text"))
    }
}

impl Mistake {
    fn places(&self) -> impl Iterator<Item = &String> {
        self.set.keys().chain(&self.remove)
    }

    /// Whether the mistake can be told in spite of the damage.
    fn is_apart_from(&self, damage: &Damage) -> bool {
        // A misspelt key is read as what it was meant to be, a key too many is passed over.
        if matches!(damage.how, How::Misspelt | How::KeyTooMany) {
            return self.places().all(|at| !is_inside(&damage.at, at));
        }
        let is_hit = |at: &String| meet(&damage.at, at) || damage.at == kind_of(at);
        !self.places().any(is_hit) && !self.reads.iter().any(|at| hides(&damage.at, at))
    }

    fn is_independent_of(&self, other: &Mistake) -> bool {
        let is_apart = |one: &Mistake, other: &Mistake| {
            other.places().all(|place| {
                one.places().all(|at| !meet(place, at))
                    && !one.reads.iter().any(|at| hides(place, at))
            })
        };
        is_apart(self, other) && is_apart(other, self)
    }
}

impl Damage {
    /// Whether a value is lost by it, and so what depends on the value.
    fn takes_a_value(&self) -> bool {
        matches!(self.how, How::OtherType | How::Unset | How::Missing)
    }

    /// Does nothing where a mistake has taken the key away.
    fn apply(&self, file: &mut Json) {
        let Some(value) = file.pointer_mut(&self.at) else { return };
        match self.how {
            How::OtherType if value.is_object() => *value = json!(5),
            How::OtherType if value.is_array() => *value = json!({ "nonsense": 1 }),
            How::OtherType => *value = json!([1]),
            How::Unset => *value = json!("${env:HEADWATER_NOT_SET}"),
            How::KeyTooMany => drop(as_map(value).insert("qqqqqqqqqq".to_owned(), json!(1))),
            How::Misspelt => {
                let value = remove(file, &self.at).expect("it was there just now");
                set(file, &format!("{}x", self.at), value);
            }
            How::Missing => drop(remove(file, &self.at)),
        }
    }
}

fn cases() -> Vec<Case> {
    let read = |path: PathBuf| {
        let text = fs::read_to_string(path).expect("a case is readable");
        serde_json::from_str::<Case>(&text).expect("a case is a sound file and its mistakes")
    };
    let cases: Vec<Case> = files("tests/cases/mistakes", "json").into_iter().map(read).collect();
    assert_eq!(cases.len(), 3, "the cases are there");
    for case in &cases {
        assert!(case.told(&[], &[]).is_empty(), "{:#?}", case.told(&[], &[]));
    }
    cases
}

fn told(text: &str) -> Told {
    thread_local!(static REGISTRY: Registry = registry());
    let source = Source { name: "case.yaml", text, base_dir: root() };
    let found = match REGISTRY.with(|registry| load(&source, registry, &SystemVariables)) {
        Ok((_, warnings)) => Diagnostics::new(&source, warnings),
        Err(diagnostics) => diagnostics,
    };
    found
        .iter()
        .map(|one| (one.severity == Severity::Error, one.message.replace(" at most ", " ")))
        .collect()
}

fn set(file: &mut Json, at: &str, value: Json) {
    let (parent, key) = at.rsplit_once('/').expect("a pointer begins with a stroke");
    match file.pointer_mut(parent).expect("the parent is there") {
        Json::Array(items) => items[key.parse::<usize>().expect("an index")] = value,
        map => drop(as_map(map).insert(key.to_owned(), value)),
    }
}

fn remove(file: &mut Json, at: &str) -> Option<Json> {
    let (parent, key) = at.rsplit_once('/').expect("a pointer begins with a stroke");
    as_map(file.pointer_mut(parent)?).remove(key)
}

fn as_map(value: &mut Json) -> &mut Map<String, Json> {
    value.as_object_mut().expect("a map")
}

/// The kind of the node that a key belongs to.
fn kind_of(at: &str) -> String {
    let node: Vec<&str> = at.split('/').take(3).collect();
    format!("{}/kind", node.join("/"))
}

/// Whether a damage is done to the node that holds a mistake, or above it.
fn is_near(damage: &str, mistake: &str) -> bool {
    let node = kind_of(mistake);
    let node = node.trim_end_matches("/kind");
    is_inside(damage, node) || is_inside(node, damage)
}

fn is_inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a change at one place hides what is read at another.
fn hides(place: &str, read: &str) -> bool {
    match read.strip_suffix("/**") {
        Some(read) => meet(place, read),
        None => is_inside(read, place),
    }
}

fn meet(one: &str, other: &str) -> bool {
    is_inside(one, other) || is_inside(other, one)
}
