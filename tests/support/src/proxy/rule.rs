//! Which frames something happens to, and what.

use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio_util::sync::CancellationToken;

use super::frame::{Answer, Api, Request};
use crate::wait;

/// What happens to which frames.
pub struct Rule {
    api: Api,
    of_answers: bool,
    nth: RangeInclusive<u64>,
    predicate: Option<Predicate>,
    action: Action,
}

/// A frame that a rule may fit: a request, or an answer with its request.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    /// The request.
    pub request: &'a Request,
    /// Its answer, if that is what passes.
    pub answer: Option<&'a Answer>,
}

/// A rule that acts, as its test sees it.
#[derive(Clone)]
pub struct Watch(pub(super) std::sync::Arc<State>);

type Predicate = Box<dyn Fn(&Passing<'_>) -> bool + Send + Sync>;

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing: it passes, and is counted.
    Watch,
    /// It waits for [`Watch::release`], and what is behind it, too.
    Hold,
    /// It is swallowed; the connection stays.
    Drop,
    /// It is sent twice; the client sees one answer.
    Duplicate,
    /// Its connection ends, and the frame with it.
    Cut,
    /// The client is told this error code instead of what the broker has answered.
    Refuse(i16),
}

/// A rule, and what came of it.
pub(super) struct State {
    rule: Rule,
    is_off: AtomicBool,
    fitted: AtomicU64,
    hits: AtomicU64,
    pub(super) released: CancellationToken,
    answers: Mutex<Vec<Answer>>,
}

/// So many answers to frames that were hit are kept.
const ANSWERS_KEPT_MAX: usize = 64;

impl Rule {
    /// Of requests of one kind; all of them, unless [`Rule::nth`] or [`Rule::of`] says otherwise.
    /// It only counts them, unless it is said what else happens.
    pub fn requests(api: Api) -> Rule {
        let action = Action::Watch;
        Rule { api, of_answers: false, nth: 1..=u64::MAX, predicate: None, action }
    }

    /// The same of answers.
    pub fn answers(api: Api) -> Rule {
        Rule { of_answers: true, ..Rule::requests(api) }
    }

    /// Only the first to last of those that fit, counted from 1 since the rule was added.
    #[must_use]
    pub fn nth(mut self, nth: RangeInclusive<u64>) -> Rule {
        self.nth = nth;
        self
    }

    /// Only those of which this is true; the others are not counted.
    #[must_use]
    pub fn of(mut self, is_so: impl Fn(&Passing<'_>) -> bool + Send + Sync + 'static) -> Rule {
        self.predicate = Some(Box::new(is_so));
        self
    }

    /// Lets them wait for [`Watch::release`].
    #[must_use]
    pub fn hold(self) -> Rule {
        Rule { action: Action::Hold, ..self }
    }

    /// Swallows them; the connection stays.
    #[must_use]
    pub fn drop(self) -> Rule {
        Rule { action: Action::Drop, ..self }
    }

    /// Sends each twice; the client sees one answer.
    ///
    /// # Panics
    /// For answers: a client that gets one it has not asked for proves nothing.
    #[must_use]
    pub fn duplicate(self) -> Rule {
        assert!(!self.of_answers, "only a request can be sent twice");
        Rule { action: Action::Duplicate, ..self }
    }

    /// Ends the connection in their place.
    #[must_use]
    pub fn cut(self) -> Rule {
        Rule { action: Action::Cut, ..self }
    }

    /// Tells the client this error code, whatever the broker has done and answered; the broker's
    /// own words are in [`Watch::answers`].
    ///
    /// # Panics
    /// For all but answers to `EndTxn`: of no other is it known where the code stands.
    #[must_use]
    pub fn refuse(self, code: i16) -> Rule {
        assert!(self.of_answers && self.api == Api::END_TXN, "only EndTxn can be refused here");
        Rule { action: Action::Refuse(code), ..self }
    }

    fn fits(&self, passing: &Passing<'_>) -> bool {
        self.api == passing.request.api()
            && self.of_answers == passing.answer.is_some()
            && self.predicate.as_ref().is_none_or(|is_so| is_so(passing))
    }
}

impl Watch {
    /// How many frames it has acted on.
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// Waits until it has acted on so many frames.
    pub fn wait(&self, hits: u64, timeout: Duration) -> Result<()> {
        let what = format!("{hits} frames of {} at a rule of the proxy", self.0.rule.api);
        wait::until(&what, timeout, || self.hits() >= hits)
    }

    /// Lets go what is held, and acts on nothing more.
    pub fn release(&self) {
        self.0.is_off.store(true, Ordering::SeqCst);
        self.0.released.cancel();
    }

    /// What the broker answered to the requests it has acted on, oldest first, also if their
    /// clients had gone by then, or were told something else.
    pub fn answers(&self) -> Vec<Answer> {
        self.0.lock_answers().clone()
    }

    /// Waits for the first of [`Watch::answers`].
    pub fn wait_answer(&self, timeout: Duration) -> Result<Answer> {
        let what = format!("the broker's answer to a request of {}", self.0.rule.api);
        wait::until(&what, timeout, || !self.answers().is_empty())?;
        self.answers().into_iter().next().context("an answer was waited for")
    }
}

impl State {
    pub(super) fn new(rule: Rule) -> State {
        State {
            rule,
            is_off: AtomicBool::new(false),
            fitted: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            released: CancellationToken::new(),
            answers: Mutex::default(),
        }
    }

    /// Counts the frame if it fits; whether the rule acts on it.
    pub(super) fn counts(&self, passing: &Passing<'_>) -> bool {
        if self.is_off.load(Ordering::SeqCst) || !self.rule.fits(passing) {
            return false;
        }
        let place = self.fitted.fetch_add(1, Ordering::SeqCst) + 1;
        self.rule.nth.contains(&place)
    }

    pub(super) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn action(&self) -> Action {
        self.rule.action
    }

    /// Keeps what the broker answered to a request that was hit.
    pub(super) fn answered(&self, answer: &Answer) {
        let mut answers = self.lock_answers();
        if answers.len() < ANSWERS_KEPT_MAX {
            answers.push(answer.clone());
        }
    }

    fn lock_answers(&self) -> std::sync::MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().expect("no holder of the answers panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    /// A request of this kind with one byte of body.
    fn request(api: u8, body: u8) -> Request {
        let frame = [0, 0, 0, 11, 0, api, 0, 0, 0, 0, 0, 1, 0xff, 0xff, body];
        Request::new(Bytes::copy_from_slice(&frame)).unwrap()
    }

    fn acts(state: &State, request: &Request) -> bool {
        state.counts(&Passing { request, answer: None })
    }

    #[test]
    fn a_rule_acts_on_its_kind_at_its_places() {
        let state = State::new(Rule::requests(Api::END_TXN).nth(2..=3));
        let places: Vec<bool> = (0..4).map(|_| acts(&state, &request(26, 0))).collect();
        assert_eq!(places, [false, true, true, false]);
        assert!(!acts(&State::new(Rule::requests(Api::END_TXN)), &request(24, 0)));
        assert!(!acts(&State::new(Rule::answers(Api::END_TXN)), &request(26, 0)));
    }

    #[test]
    fn what_a_predicate_refuses_is_not_counted() {
        let rule = Rule::requests(Api::END_TXN).of(|it| it.request.body() == [1]).nth(2..=2);
        let state = State::new(rule);
        let acted: Vec<bool> =
            [1, 0, 0, 1].iter().map(|body| acts(&state, &request(26, *body))).collect();
        assert_eq!(acted, [false, false, false, true]);
    }

    #[test]
    fn a_released_rule_acts_no_more() {
        let watch = Watch(std::sync::Arc::new(State::new(Rule::requests(Api::END_TXN).hold())));
        assert!(acts(&watch.0, &request(26, 0)));
        watch.release();
        assert!(!acts(&watch.0, &request(26, 0)));
    }
}
