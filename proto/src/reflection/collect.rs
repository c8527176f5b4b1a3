//! The files of one answer and of those that follow it, until every import is there.
//!
//! Servers differ in what they give. Some send a file with all that it imports, some the file
//! alone; some send a file twice; some cannot give a file that is imported for its options only.
//! What counts is whether the types can be built from what they give.
//!
//! Invariants
//! 1. What is gathered is bounded by files, bytes and imports, whatever the server sends, and the
//!    work on it grows with them and not faster.
//! 2. The set that comes out is in the order of imports, and the same for the same files: its
//!    digest is worth comparing.
//!
//! Next: `descriptors.rs` builds the types.

use crate::descriptors::{DescriptorError, Descriptors, decode_set};
use bytes::Bytes;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use std::collections::{BTreeMap, BTreeSet};

/// How much a server may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Files.
    pub files_max: usize,
    /// Bytes of all files together.
    pub bytes_max: usize,
    /// Imports of all files together; those that are passed on or weak count twice.
    pub imports_max: usize,
}

/// Gathers files.
#[derive(Debug)]
pub struct Collector {
    bounds: Bounds,
    files: BTreeMap<String, File>,
    /// Imports that are not there and were not asked for.
    open: BTreeSet<String>,
    /// Imports that were asked for, or that the server does not have.
    settled: BTreeSet<String>,
    bytes: usize,
    imports: usize,
}

#[derive(Debug)]
struct File {
    wire: Bytes,
    imports: Vec<String>,
}

/// All that a server gave, with all that it imports.
#[derive(Debug)]
pub struct Collected {
    /// The types.
    pub descriptors: Descriptors,
    /// The same as an encoded `FileDescriptorSet`.
    pub set: Vec<u8>,
    /// How many files it holds.
    pub files: usize,
    /// Imports that the server could not give, and that no type needs.
    pub absent: Vec<String>,
}

/// What a server gave cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// More files than allowed.
    #[error("it gives more than {max} files")]
    Files {
        /// How many are allowed.
        max: usize,
    },
    /// More bytes than allowed.
    #[error("it gives more than {max} bytes of descriptors")]
    Bytes {
        /// How many are allowed.
        max: usize,
    },
    /// More imports than allowed.
    #[error("its files have more than {max} imports")]
    Imports {
        /// How many are allowed.
        max: usize,
    },
    /// Not a file.
    #[error("it gives what is no FileDescriptorProto: {reason}")]
    Decode {
        /// Why not.
        reason: String,
    },
    /// Imports in a circle.
    #[error("its files import each other: {}", names.join(" → "))]
    Circle {
        /// The files on the circle, the first one again at the end.
        names: Vec<String>,
    },
    /// The files contradict each other, or some are missing.
    #[error("its files do not make whole types: {reason}{}", lacking(absent))]
    Types {
        /// What is wrong.
        reason: String,
        /// What the server could not give.
        absent: Vec<String>,
    },
}

impl Collector {
    /// Nothing yet.
    pub fn new(bounds: Bounds) -> Self {
        let (files, open, settled) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Collector { bounds, files, open, settled, bytes: 0, imports: 0 }
    }

    /// Adds an encoded `FileDescriptorProto`. One whose name is known already is passed over.
    ///
    /// # Errors
    /// It is none, or a bound is reached.
    pub fn add(&mut self, wire: Bytes) -> Result<(), CollectError> {
        let file = FileDescriptorProto::decode(wire.clone())
            .map_err(|error| CollectError::Decode { reason: error.to_string() })?;
        if self.files.contains_key(file.name()) {
            return Ok(());
        }
        let Bounds { files_max, bytes_max, imports_max } = self.bounds;
        self.bytes = self.bytes.saturating_add(wire.len());
        if self.bytes > bytes_max {
            return Err(CollectError::Bytes { max: bytes_max });
        }
        if self.files.len() == files_max {
            return Err(CollectError::Files { max: files_max });
        }
        let lists =
            [file.dependency.len(), file.public_dependency.len(), file.weak_dependency.len()];
        self.imports = self.imports.saturating_add(lists.iter().sum());
        if self.imports > imports_max {
            return Err(CollectError::Imports { max: imports_max });
        }
        let name = file.name().to_owned();
        self.open.remove(&name);
        let file = File::new(wire, file.dependency);
        let imports = file.imports.clone();
        self.files.insert(name, file);
        let is_open = |it: &String| !self.files.contains_key(it) && !self.settled.contains(it);
        self.open.extend(imports.into_iter().filter(is_open));
        Ok(())
    }

    /// Imports that are still missing and were not asked for, `max` at most; they count as asked
    /// for now.
    pub fn wanted(&mut self, max: usize) -> Vec<String> {
        let pop = || self.open.pop_first();
        let wanted: Vec<String> =
            std::iter::repeat_with(pop).take(max).map_while(|it| it).collect();
        self.settled.extend(wanted.iter().cloned());
        wanted
    }

    /// Builds the types. Google's own files are added if the server did not give them; an import
    /// that stays missing is left out, which costs nothing if it was there for options only.
    ///
    /// # Errors
    /// The types are not whole.
    pub fn finish(mut self) -> Result<Collected, CollectError> {
        self.add_well_known();
        let absent = self.drop_absent();
        let order = self.order()?;
        let mut set = Vec::new();
        for name in &order {
            // Field 1 of a FileDescriptorSet, as the server wrote it: its options stay.
            prost::encoding::bytes::encode(1, &self.files[name].wire, &mut set);
        }
        let built = match order.is_empty() {
            true => Ok(DescriptorPool::new().into()),
            false => decode_set(&set, || "it".to_owned()),
        };
        let descriptors = built.map_err(|error| {
            let reason = match error {
                DescriptorError::Set { reason, .. } => reason,
                other => other.to_string(),
            };
            CollectError::Types { reason, absent: absent.clone() }
        })?;
        Ok(Collected { descriptors, set, files: order.len(), absent })
    }

    fn missing(&self) -> BTreeSet<String> {
        let imports = self.files.values().flat_map(|file| &file.imports);
        imports.filter(|name| !self.files.contains_key(*name)).cloned().collect()
    }

    fn add_well_known(&mut self) {
        let known = DescriptorPool::global();
        loop {
            let missing = self.missing();
            let found = missing.iter().filter_map(|name| known.get_file_by_name(name));
            let found: Vec<_> = found.collect();
            if found.is_empty() {
                return;
            }
            for file in found {
                let imports = file.file_descriptor_proto().dependency.clone();
                let wire = file.encode_to_vec().into();
                self.files.insert(file.name().to_owned(), File::new(wire, imports));
            }
        }
    }

    /// Takes the imports that nobody has out of the files that name them.
    fn drop_absent(&mut self) -> Vec<String> {
        let absent = self.missing();
        for file in self.files.values_mut() {
            if file.imports.iter().any(|name| absent.contains(name)) {
                file.drop_imports(&absent);
            }
        }
        absent.into_iter().collect()
    }

    /// The files, each behind those it imports.
    fn order(&self) -> Result<Vec<String>, CollectError> {
        let mut order: Vec<String> = Vec::with_capacity(self.files.len());
        let mut done: BTreeSet<&str> = BTreeSet::new();
        for name in self.files.keys() {
            // The way down from `name`: a file, and which of its imports is next.
            let mut way: Vec<(&str, usize)> = vec![(name, 0)];
            let mut above: BTreeSet<&str> = BTreeSet::from([name.as_str()]);
            while let Some((file, next)) = way.last_mut() {
                let file = *file;
                if done.contains(file) {
                    above.remove(file);
                    way.pop();
                    continue;
                }
                let Some(import) = self.files[file].imports.get(*next) else {
                    done.insert(file);
                    order.push(file.to_owned());
                    above.remove(file);
                    way.pop();
                    continue;
                };
                *next += 1;
                if done.contains(import.as_str()) {
                    continue;
                }
                if !above.insert(import) {
                    let circle = way.iter().map(|(name, _)| *name).skip_while(|it| it != import);
                    let names = circle.chain([import.as_str()]).map(str::to_owned).collect();
                    return Err(CollectError::Circle { names });
                }
                way.push((import, 0));
            }
        }
        Ok(order)
    }
}

impl File {
    /// One that names an import twice imports it once.
    fn new(wire: Bytes, mut imports: Vec<String>) -> Self {
        let mut known = BTreeSet::new();
        imports.retain(|name| known.insert(name.clone()));
        File { wire, imports }
    }

    /// Its imports without these. What it says in custom options is lost with it.
    fn drop_imports(&mut self, absent: &BTreeSet<String>) {
        let mut file = FileDescriptorProto::decode(self.wire.clone()).expect("it was decoded once");
        let mut count = 0;
        let places: Vec<Option<i32>> = (file.dependency.iter())
            .map(|name| {
                let is_kept = !absent.contains(name);
                count += i32::from(is_kept);
                is_kept.then(|| count - 1)
            })
            .collect();
        let moved = |old: &i32| *places.get(usize::try_from(*old).ok()?)?;
        file.public_dependency = file.public_dependency.iter().filter_map(moved).collect();
        file.weak_dependency = file.weak_dependency.iter().filter_map(moved).collect();
        file.dependency.retain(|name| !absent.contains(name));
        *self = File::new(file.encode_to_vec().into(), file.dependency);
    }
}

/// Services of which nothing but the names is known, as an encoded `FileDescriptorSet`: what a
/// server lists where it does not have the service that was asked for. A name that is wrong can
/// then be told with the names it is near to.
pub fn stubs(services: &[String]) -> Vec<u8> {
    let mut by_package: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for service in services {
        let (package, name) = service.rsplit_once('.').unwrap_or(("", service));
        by_package.entry(package).or_default().push(name);
    }
    let file = |(package, names): (&&str, &Vec<&str>)| FileDescriptorProto {
        name: Some(format!("services of {package}")),
        package: (!package.is_empty()).then(|| (*package).to_owned()),
        syntax: Some("proto3".to_owned()),
        service: names
            .iter()
            .map(|name| prost_types::ServiceDescriptorProto {
                name: Some((*name).to_owned()),
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    FileDescriptorSet { file: by_package.iter().map(file).collect() }.encode_to_vec()
}

fn lacking(absent: &[String]) -> String {
    match absent {
        [] => String::new(),
        names => format!("; it could not give {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
