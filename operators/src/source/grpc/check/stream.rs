//! What is said on a request stream: fields that exist and take what is meant for them.
//!
//! Invariant: each of `open`, `reply`, `credit` and `ack` is checked, whatever is wrong with the
//! others.

use super::super::config::{
    AckConfig, AckTake, Config, CreditConfig, ExtendConfig, FirstCredit, ReplyConfig, StreamConfig,
};
use super::super::outgoing::{AckPlan, CreditPlan, ExtendPlan, ReplyPlan, StreamPlan};
use super::change::report_request;
use bytes::Bytes;
use headwater_engine::spec::{NodeView, Report, Step};
use headwater_proto::{
    FieldWriter, MessageDescriptor, Method, Predicate, Reply, RequestTemplate, SpreadPath,
    WriterError,
};
use serde_json::{Map, Value as Json};
use std::time::Duration;

/// What a check of the block needs.
struct Check<'c, 'v> {
    view: &'c NodeView<'v>,
    input: MessageDescriptor,
    output: MessageDescriptor,
}

/// The steps to a value of the block.
type At<'s> = &'s [Step<'s>];

/// What is said; nothing where the method takes one request, or after an error.
pub(super) fn check(
    config: &Config,
    method: Option<&Method>,
    view: &NodeView<'_>,
    report: &mut Report,
) -> Option<StreamPlan> {
    let method = method?;
    let empty = StreamConfig::default();
    let stream = match &config.stream {
        None if !method.client_streaming() => return None,
        Some(_) if !method.client_streaming() => {
            report
                .error(
                    &view.at_key(&["stream"]),
                    "`stream` is given, but the method takes one request",
                )
                .detail(
                    "expected: a bidirectional method, `rpc …(stream Request) returns (stream …)`",
                )
                .hint("leave it out: there is no request stream");
            return None;
        }
        None => &empty,
        Some(stream) => stream,
    };
    let check = Check { view, input: method.input(), output: method.output() };
    check.stream(stream, report)
}

impl Check<'_, '_> {
    fn stream(&self, config: &StreamConfig, report: &mut Report) -> Option<StreamPlan> {
        let open = self.open(&config.open, report);
        let replies = self.replies(&config.reply, report);
        let credit = config.credit.as_ref().map(|credit| self.credit(credit, report));
        let ack = config.ack.as_ref().map(|ack| self.ack(ack, report));
        let is_known = self.view.knows(&["stream"]);
        let (credit, ack) = (settled(credit)?, settled(ack)?);
        Some(StreamPlan { open: open?, replies: replies?, credit, ack }).filter(|_| is_known)
    }

    fn open(&self, messages: &[Map<String, Json>], report: &mut Report) -> Option<Vec<Bytes>> {
        let compiled = messages.iter().enumerate().map(|(index, message)| {
            let json = Json::Object(message.clone());
            match RequestTemplate::compile(&self.input, &json) {
                Ok(template) => Some(template.encode()),
                Err(errors) => {
                    let at = [Step::Key("stream"), Step::Key("open"), Step::Index(index)];
                    errors.iter().for_each(|it| report_request(it, &at, self.view, report));
                    None
                }
            }
        });
        // All of them, so that all mistakes are found.
        compiled.collect::<Vec<_>>().into_iter().collect()
    }

    fn replies(&self, replies: &[ReplyConfig], report: &mut Report) -> Option<Vec<ReplyPlan>> {
        let checked = replies.iter().enumerate().map(|(index, reply)| {
            let at = [Step::Key("stream"), Step::Key("reply"), Step::Index(index)];
            let when = self.predicate(&at, &reply.when, report);
            let json = Json::Object(reply.send.clone());
            let send = match Reply::compile(&self.input, &self.output, &json) {
                Ok(send) => Some(send),
                Err(errors) => {
                    let at: Vec<Step<'_>> = at.iter().copied().chain([Step::Key("send")]).collect();
                    errors.iter().for_each(|it| report_request(it, &at, self.view, report));
                    None
                }
            };
            Some(ReplyPlan { when: when?, send: send? })
        });
        checked.collect::<Vec<_>>().into_iter().collect()
    }

    fn predicate(&self, at: At<'_>, text: &str, report: &mut Report) -> Option<Predicate> {
        match Predicate::compile(text, &self.output) {
            Ok(predicate) => Some(predicate),
            Err(error) => {
                let finding = report.error(&self.inside(at, "when"), error.message);
                finding.detail(format!("at character {} of the predicate", error.column + 1));
                if let Some(hint) = error.hint {
                    finding.hint(hint);
                }
                None
            }
        }
    }

    fn credit(&self, config: &CreditConfig, report: &mut Report) -> Option<CreditPlan> {
        let at = [Step::Key("stream"), Step::Key("credit")];
        let grant = self.writer(&at, ("field", &config.field), &config.set, report);
        let count = match &config.count {
            None => Some(None),
            Some(text) => self.spread(&at, ("count", text), report).map(Some),
        };
        if let Some(Some(path)) = count.as_ref()
            && !path.is_list()
        {
            report
                .error(
                    &self.inside(&at, "count"),
                    format!("path {path} leads to one value at most"),
                )
                .hint("leave `count` out to count messages, or write [] behind the list's name");
            return None;
        }
        let window = u64::from(config.window);
        let grant = grant?;
        if !grant.is_integer() || grant.is_list() {
            self.refuse_type(&at, ("field", &config.field), &grant, "an integer", report);
            return None;
        }
        if !grant.put_number(window.into(), &mut Vec::new()) {
            let message = format!("a window of {window} does not fit field {:?}", config.field);
            report.error(&self.inside(&at, "window"), message).detail(grant.described());
            return None;
        }
        let with_request = config.first == FirstCredit::Request;
        Some(CreditPlan { grant, window, count: count?, with_request })
    }

    fn ack(&self, config: &AckConfig, report: &mut Report) -> Option<AckPlan> {
        let at = [Step::Key("stream"), Step::Key("ack")];
        let write = self.writer(&at, ("field", &config.field), &config.set, report);
        let from = self.spread(&at, ("from", &config.from), report);
        let extend = config.extend.as_ref().map(|it| self.extend(it, write.as_ref(), report));
        if config.take == AckTake::Newest && config.extend.is_some() {
            report
                .error(&self.inside(&at, "extend"), "`extend` does not go with `take: newest`")
                .detail("more time is asked for each message, and only the newest is known");
            return None;
        }
        let (write, from) = (write?, from?);
        if !write.takes(&from) {
            let found = from
                .message()
                .map_or_else(|| from.kind().to_string(), |message| message.full_name().to_owned());
            report
                .error(
                    &self.inside(&at, "from"),
                    format!(
                        "{from} is of type {found}, which field {:?} cannot hold",
                        config.field
                    ),
                )
                .detail(format!("expected: {}", write.described()));
            return None;
        }
        Some(AckPlan {
            write,
            from,
            take: config.take,
            batch_max: config.batch_max,
            across_calls: config.across_calls,
            extend: settled(extend)?,
        })
    }

    fn extend(
        &self,
        config: &ExtendConfig,
        ack: Option<&FieldWriter>,
        report: &mut Report,
    ) -> Option<ExtendPlan> {
        let at = [Step::Key("stream"), Step::Key("ack"), Step::Key("extend")];
        let ids = self.writer(&at, ("field", &config.field), &config.set, report);
        let seconds =
            self.writer(&at, ("seconds_field", &config.seconds_field), &Map::new(), report);
        let interval = Duration::from_millis(config.interval_ms);
        let mut is_sound = true;
        if interval.as_secs_f64() >= f64::from(config.seconds) {
            report
                .error(
                    &self.inside(&at, "interval_ms"),
                    "the time runs out before more is asked for",
                )
                .hint("make interval_ms smaller than `seconds`, best by half or more");
            is_sound = false;
        }
        if let Some(ids) = &ids
            && let Some(wanted) = ack.filter(|ack| !ids.is_list() || !ids.is_like(ack))
        {
            let words = format!("a list that holds what `ack.field` does, {}", wanted.described());
            self.refuse_type(&at, ("field", &config.field), ids, &words, report);
            is_sound = false;
        }
        if let Some(seconds) = &seconds
            && (!seconds.is_integer()
                || !seconds.put_number(config.seconds.into(), &mut Vec::new()))
        {
            let field = ("seconds_field", config.seconds_field.as_str());
            self.refuse_type(&at, field, seconds, "an integer", report);
            is_sound = false;
        }
        let plan =
            ExtendPlan { ids: ids?, seconds: seconds?, seconds_count: config.seconds, interval };
        is_sound.then_some(plan)
    }

    /// A field of the request, with what else the request says.
    fn writer(
        &self,
        at: At<'_>,
        (key, field): (&'static str, &str),
        set: &Map<String, Json>,
        report: &mut Report,
    ) -> Option<FieldWriter> {
        let fixed = Json::Object(set.clone());
        let errors = match FieldWriter::compile(&self.input, field, &fixed) {
            Ok(writer) => return Some(writer),
            Err(errors) => errors,
        };
        for error in errors {
            match error {
                WriterError::Field { message, hint } => {
                    let finding = report.error(&self.inside(at, key), message);
                    if let Some(hint) = hint {
                        finding.hint(hint);
                    }
                }
                WriterError::Fixed(error) => {
                    let at: Vec<Step<'_>> = at.iter().copied().chain([Step::Key("set")]).collect();
                    report_request(&error, &at, self.view, report);
                }
            }
        }
        None
    }

    fn spread(
        &self,
        at: At<'_>,
        (key, text): (&'static str, &str),
        report: &mut Report,
    ) -> Option<SpreadPath> {
        match SpreadPath::compile(&self.output, text) {
            Ok(path) => Some(path),
            Err(error) => {
                let finding = report.error(&self.inside(at, key), error.message);
                finding.detail(format!("at character {} of the path", error.column + 1));
                if let Some(hint) = error.hint {
                    finding.hint(hint);
                }
                None
            }
        }
    }

    fn refuse_type(
        &self,
        at: At<'_>,
        (key, field): (&'static str, &str),
        writer: &FieldWriter,
        expected: &str,
        report: &mut Report,
    ) {
        let list = if writer.is_list() { "a list, each element of it " } else { "" };
        report
            .error(
                &self.inside(at, key),
                format!("field {field:?} is {list}{}", writer.described()),
            )
            .detail(format!("expected: {expected}"));
    }

    fn inside(&self, at: At<'_>, key: &'static str) -> headwater_engine::spec::Place {
        let steps: Vec<Step<'_>> = at.iter().copied().chain([Step::Key(key)]).collect();
        self.view.at(&steps)
    }
}

/// Outside `None` after an error, inside `None` where nothing was given.
fn settled<T>(checked: Option<Option<T>>) -> Option<Option<T>> {
    match checked {
        None => Some(None),
        Some(checked) => checked.map(Some),
    }
}
