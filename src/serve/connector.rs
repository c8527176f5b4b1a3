//! Documents of connectors: a configuration is checked as Kafka Connect checks it, and read as the
//! pipeline that does the same.
//!
//! ```text
//!   put    validation (Connect's words) ──► translation (what can be done here) ──► kept as it is
//!   run    translation ──► a pipeline file, in memory only ──► its check, with files and variables
//! ```
//!
//! What only shows when it is run is no reason against a document, as it is none for Kafka Connect:
//! a descriptor file that is not there, a variable that is not set. The connector's task then fails
//! and says so.
//!
//! Invariants
//! 1. A document is kept as it was put, `${…}` unresolved.
//! 2. No answer holds what a `${…}` stands for: where Connect's message would, the reference stands
//!    in its place.

use crate::args::Serve;
use crate::connect::{
    Config, ConfigInfos, Mistake as Wrong, Reference, Translation, Worker, connector_class,
    plugins, resolved, translate, validate,
};
use crate::exit::{Exit, Failed};
use crate::serve::document::{Checked, Mistakes, PipelineFiles, Reader};
use crate::serve::entry::{Name, Object};
use crate::serve::limits::CHECKS_MAX;
use crate::subject::Subject;
use headwater_engine::spec::{SystemVariables, Variables as _, parse_properties};
use headwater_operators::sink::kafka::KafkaTarget;
use serde_json::Value as Json;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reads the configurations of connectors.
pub(crate) struct ConnectorFiles {
    files: PipelineFiles,
    worker: Worker,
    turns: Semaphore,
}

/// Why a configuration is not taken, in Kafka Connect's words as far as those are true here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It names no class; the configuration as text.
    NoClass(String),
    /// It names a class that nobody knows: this one; those that are known.
    UnknownClass(String, String),
    /// A file that it refers to cannot be read.
    NoFile(String),
    /// Its values are wrong.
    Invalid(Vec<String>),
}

const CLASS_KEY: &str = "connector.class";
/// Keys that name files, which need not be there before a connector runs.
const FILE_KEYS: [&str; 4] =
    ["grpc.proto.descriptor", "grpc.tls.ca.cert", "grpc.tls.client.cert", "grpc.tls.client.key"];

/// What connectors find in place of a worker of Kafka Connect.
pub(super) fn worker(options: &Serve, target: &KafkaTarget) -> Result<Worker, Failed> {
    let mut worker = Worker::default();
    if let Some(path) = &options.connect_worker {
        let told = |why: String| Exit::Mistake.saying(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        let list = |wrong: Vec<Wrong>| {
            wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        worker = Worker::from_properties(&text).map_err(|wrong| told(list(wrong)))?;
    }
    worker.brokers.get_or_insert_with(|| target.brokers.clone());
    // Nobody need ask for it: there is no other way here.
    worker.exactly_once = true;
    worker.converters_known = true;
    Ok(worker)
}

impl ConnectorFiles {
    pub(crate) fn new(base_dir: PathBuf, worker: Worker) -> Self {
        let files = PipelineFiles { base_dir };
        ConnectorFiles { files, worker, turns: Semaphore::new(CHECKS_MAX) }
    }

    /// What stands in for Kafka Connect's worker.
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// A validation of a configuration, when its turn has come.
    pub(crate) async fn validation(
        self: &Arc<Self>,
        config: Config,
    ) -> Result<ConfigInfos, Refused> {
        self.asked(move |files| files.validated(&config)).await
    }

    /// Whether a configuration may be put, when its turn has come.
    pub(crate) async fn judgement(self: &Arc<Self>, config: Config) -> Result<(), Refused> {
        self.asked(move |files| files.judged(&config).map(drop)).await
    }

    async fn asked<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Self) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let _turn = self.turns.acquire().await.expect("it is never closed");
        let files = self.clone();
        let answer = tokio::task::spawn_blocking(move || question(&files)).await;
        answer.unwrap_or_else(|error| Err(Refused::NoFile(format!("its check failed: {error}"))))
    }

    /// The answers of a validation.
    fn validated(&self, config: &Config) -> Result<ConfigInfos, Refused> {
        let named = config.get(CLASS_KEY).ok_or_else(|| Refused::NoClass(shown(config)))?;
        if connector_class(named).is_none() {
            let known = plugins(&self.worker, true).into_iter();
            let known = known.map(|it| format!("{} ({})", it.class, it.version));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(Refused::UnknownClass(named.to_owned(), known));
        }
        let given = resolved(config, &mut |reference| self.look_up(reference));
        let given = given.map_err(Refused::NoFile)?;
        let infos = validate(&given, &self.worker);
        Ok(without_values(infos, config, &given))
    }

    /// The pipeline of a configuration; all that is wrong with it.
    fn judged(&self, config: &Config) -> Result<Translation, Refused> {
        let infos = self.validated(config)?;
        let is_known = |key: &str| infos.configs.iter().any(|it| it.definition.name == key);
        let nulls = config.keys().filter(|key| config.get(key).is_none() && !is_known(key));
        let nulls = nulls.map(|_| NULL.to_owned()).collect::<Vec<_>>();
        let errors = infos.configs.iter().flat_map(|it| it.value.errors.iter().cloned());
        let errors: Vec<String> = errors.chain(nulls).collect();
        if !errors.is_empty() {
            return Err(Refused::Invalid(errors));
        }
        let translation = translate(config, &self.worker);
        let translation =
            translation.map_err(|wrong| Refused::Invalid(wrong.iter().map(line).collect()))?;
        let mistakes = self.mistakes(config);
        if mistakes.is_empty() { Ok(translation) } else { Err(Refused::Invalid(mistakes)) }
    }

    /// What the pipeline could never do, whatever files hold; what references stand for is only
    /// known when it runs.
    fn mistakes(&self, config: &Config) -> Vec<String> {
        if config.iter().any(|(_, value)| value.contains("${")) {
            return Vec::new();
        }
        let name = Name::new("connector").expect("it is one");
        let checked = self.read_config(&name, &without_files(config));
        checked.err().map(|it| it.told()).unwrap_or_default()
    }

    /// Where Kafka keeps what it keeps of a connector; none if it keeps nothing. That does not
    /// depend on the types of messages, which may be in a file that is not there.
    fn subject(&self, name: &Name, document: &str) -> Result<Option<Subject>, Mistakes> {
        let checked = self.read_config(name, &without_files(&config_of(document)?))?;
        Ok(Subject::of(checked.sound.into_sketch()))
    }

    /// The same, when its turn has come.
    pub(crate) async fn stored(
        self: &Arc<Self>,
        name: Name,
        document: String,
    ) -> Result<Option<Subject>, Refused> {
        let subject = self.asked(move |files| {
            let subject = files.subject(&name, &document);
            subject.map_err(|mistakes| Refused::NoFile(mistakes.message))
        });
        subject.await
    }

    fn read_config(&self, name: &Name, config: &Config) -> Result<Checked, Mistakes> {
        let translation = translate(config, &self.worker).map_err(|wrong| {
            Mistakes::plain(wrong.iter().map(line).collect::<Vec<_>>().join("\n"))
        })?;
        let checked = self.files.load(name.as_str(), &translation.text);
        checked.map_err(|mistakes| Mistakes {
            message: format!("the pipeline that does the same cannot run: {}", mistakes.message),
            ..mistakes
        })
    }

    /// What a reference stands for; none if there is nothing, and then it is a text.
    fn look_up(&self, reference: Reference<'_>) -> Result<Option<String>, String> {
        let Reference { provider, path, key } = reference;
        let file = |path: &str| SystemVariables.file(&self.files.base_dir.join(path));
        match provider {
            "env" if path.is_empty() => Ok(SystemVariables.env(key)),
            "file" if !path.is_empty() => {
                let text = file(path);
                let text =
                    text.map_err(|_| format!("Could not read properties from file {path}"))?;
                let mut pairs = parse_properties(&text).into_iter();
                // Of a repeated key the last one counts, as in Java.
                Ok(pairs.rfind(|(name, _)| name == key).map(|(_, value)| value))
            }
            "dir" | "directory" if !path.is_empty() => Ok(file(&format!("{path}/{key}")).ok()),
            _ => Ok(None),
        }
    }
}

const NULL: &str = "Null value can not be supplied as the configuration value.";

impl Reader for ConnectorFiles {
    fn admit(&self, name: &Name, document: &str) -> Result<(), Mistakes> {
        let config = config_of(document)?;
        match config.get("name") == Some(name.as_str()) {
            true => self.judged(&config).map(drop).map_err(|it| Mistakes::plain(it.to_string())),
            false => Err(Mistakes::plain(format!("the configuration is not that of `{name}`"))),
        }
    }

    fn read(&self, name: &Name, document: &str) -> Result<Checked, Mistakes> {
        self.read_config(name, &config_of(document)?)
    }
}

/// The configuration that a document is.
fn config_of(document: &str) -> Result<Config, Mistakes> {
    let object = serde_json::from_str::<Object>(document);
    let object = object.map_err(|error| Mistakes::plain(format!("it is no object: {error}")))?;
    Ok(config(&object))
}

/// The configuration that an object of texts is.
pub(crate) fn config(object: &Object) -> Config {
    let mut config = Config::default();
    for (key, value) in object {
        let text = match value {
            Json::Null => None,
            Json::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        config.set(key, text);
    }
    config
}

fn without_files(config: &Config) -> Config {
    config.iter().filter(|(key, _)| !FILE_KEYS.contains(key)).collect()
}

/// A mistake in one line.
fn line(wrong: &Wrong) -> String {
    let hint = wrong.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}: {}{hint}", wrong.key, wrong.message)
}

/// As Java shows a map, references unresolved.
fn shown(config: &Config) -> String {
    let pairs = config.keys().map(|key| format!("{key}={}", config.get(key).unwrap_or("null")));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

/// The answers, with references where values of them would stand.
fn without_values(mut infos: ConfigInfos, written: &Config, given: &Config) -> ConfigInfos {
    for info in &mut infos.configs {
        let key = info.definition.name.as_str();
        let (reference, value) = (written.get(key), given.get(key));
        if let (Some(reference), Some(value)) = (reference, value)
            && reference != value
        {
            info.value.value = info.value.value.take().map(|_| reference.to_owned());
            for error in &mut info.value.errors {
                *error = hidden(error, value, reference);
            }
        }
    }
    infos
}

/// A message with `reference` in place of `value`, also where that was trimmed.
fn hidden(error: &str, value: &str, reference: &str) -> String {
    match value.trim() {
        "" => error.to_owned(),
        trimmed => error.replace(value, reference).replace(trimmed, reference),
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::NoClass(config) => {
                write!(f, "Connector config {config} contains no connector type")
            }
            Refused::UnknownClass(class, known) => write!(
                f,
                "Failed to find any class that implements Connector and which name matches \
                 {class}, available connectors are: {known}"
            ),
            Refused::NoFile(why) => f.write_str(why),
            Refused::Invalid(errors) => write!(
                f,
                "Connector configuration is invalid and contains the following {} error(s):\n{}\n\
                 You can also find the above list of errors at the endpoint \
                 `/connector-plugins/{{connectorType}}/config/validate`",
                errors.len(),
                errors.join("\n")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 7] = [
        ("name", "c"),
        (CLASS_KEY, "GrpcSource"),
        ("grpc.server.host", "127.0.0.1"),
        ("grpc.server.port", "1"),
        ("grpc.service.name", "bench.v1.Telemetry"),
        ("grpc.method.name", "Subscribe"),
        ("kafka.topic", "t"),
    ];

    fn files(folder: &std::path::Path) -> ConnectorFiles {
        ConnectorFiles::new(folder.to_owned(), Worker { exactly_once: true, ..Worker::default() })
    }

    fn with(pairs: &[(&str, &str)]) -> Config {
        KEYS.iter().chain(pairs).copied().collect()
    }

    #[test]
    fn what_a_reference_stands_for_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s.properties"), "port=1\nport=s3cr3t\nhost= h0st \n")
            .unwrap();
        let config = with(&[
            ("grpc.server.port", "${file:s.properties:port}"),
            ("grpc.server.host", "${file:s.properties:host}"),
        ]);
        let infos = files(folder.path()).validated(&config).unwrap();
        assert_eq!(infos.error_count, 1);
        let told = format!("{infos:?}");
        assert!(!told.contains("s3cr3t") && !told.contains("h0st"), "{told}");
        assert!(told.contains("${file:s.properties:port}") && told.contains("Not a number"));
        let refused = files(folder.path()).judged(&config).unwrap_err();
        assert!(!refused.to_string().contains("s3cr3t"), "{refused}");
    }

    #[test]
    fn a_file_that_is_not_there_and_a_class_that_nobody_knows_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let refused = |config: &Config| files.judged(config).unwrap_err().to_string();
        let told = refused(&with(&[("kafka.topic", "${file:none.properties:a}")]));
        assert_eq!(told, "Could not read properties from file none.properties");
        assert!(refused(&with(&[(CLASS_KEY, "None")])).contains("name matches None, available"));
        let nothing = Config::default();
        assert_eq!(refused(&nothing), "Connector config {} contains no connector type");
    }

    #[test]
    fn what_cannot_be_done_and_unknown_keys_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let support = |how| files.judged(&with(&[("exactly.once.support", how)]));
        assert!(support("requested").is_ok());
        // Its keys do not say how the stream is resumed.
        assert!(support("required").is_err());
        let Err(Refused::Invalid(errors)) = files.judged(&with(&[("grpc.speling", "1")])) else {
            panic!("nobody knows this key")
        };
        assert!(errors.len() == 1 && errors[0].starts_with("grpc.speling: "), "{errors:?}");
        let Err(Refused::Invalid(errors)) =
            files.judged(&with(&[("producer.override.linger.ms", "x")]))
        else {
            panic!("no client has this setting")
        };
        assert!(errors.len() == 1 && errors[0].contains("linger.ms"), "{errors:?}");
    }

    #[test]
    fn a_document_is_admitted_before_its_files_are_there_and_read_when_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        let document = |descriptor: &str| {
            let config = with(&[("grpc.proto.descriptor", descriptor)]);
            let pairs = config.iter().map(|(key, value)| (key.to_owned(), Json::from(value)));
            Json::Object(pairs.collect()).to_string()
        };
        let (name, gone) = (Name::new("c").unwrap(), document("/none.desc"));
        assert!(files.admit(&name, &gone).is_ok());
        let wrong = files.read(&name, &gone).err().unwrap();
        assert!(wrong.message.contains("/none.desc"), "{wrong:?}");
        assert!(files.admit(&Name::new("d").unwrap(), &gone).is_err(), "another one's");
    }
}
