//! Consumer groups by the classic protocol: join, sync, heartbeat, leave (KIP-394 member ids,
//! KIP-345 instance ids).
//!
//! ```text
//!   Empty ──join──► Preparing ──all joined──► Completing ──leader synced──► Stable
//!     ▲                 ▲  └────── member joins, leaves or falls silent ──────┘
//!     └── last left ────┘
//! ```
//!
//! Membership lives in memory: after a restart members are not known, join again, and find the
//! committed offsets, which the journal keeps. An instance id replaces its member without
//! waiting for the session to end, but with a rebalance, which Kafka would spare.
//!
//! Next: `api/groups.rs` speaks the protocol; `api/commits.rs` handles the offsets.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupResponse, SyncGroupResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;

use super::State;
use crate::journal::CommittedOffset;
use crate::limits::{GROUP_MEMBERS_MAX, SESSION_MS_MAX};

/// One group: its members, and the offsets it committed.
#[derive(Debug, Default)]
pub(crate) struct Group {
    phase: Phase,
    pub(crate) generation: i32,
    pub(crate) protocol_type: StrBytes,
    pub(crate) protocol: StrBytes,
    leader: String,
    pub(crate) members: BTreeMap<String, Member>,
    /// Ids given out and not yet joined with, and when they lapse.
    promised: HashMap<String, i64>,
    pub(crate) offsets: BTreeMap<(String, i32), CommittedOffset>,
}

/// Where a group is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Empty,
    Preparing {
        until_ms: i64,
    },
    Completing {
        until_ms: i64,
    },
    Stable,
}

/// One member of a group.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client_id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    protocols: Vec<(StrBytes, Bytes)>,
    session_ms: i64,
    rebalance_ms: i64,
    seen_ms: i64,
    pub(crate) assignment: Bytes,
    joining: Option<oneshot::Sender<JoinGroupResponse>>,
    syncing: Option<oneshot::Sender<SyncGroupResponse>>,
}

/// What a client says when it joins.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) member_id: String,
    pub(crate) client_id: StrBytes,
    pub(crate) instance: Option<StrBytes>,
    pub(crate) session_ms: i32,
    pub(crate) rebalance_ms: i32,
    pub(crate) protocol_type: StrBytes,
    pub(crate) protocols: Vec<(StrBytes, Bytes)>,
    /// Whether the client must first be told its id (JoinGroup v4 and later, KIP-394).
    pub(crate) needs_id_first: bool,
}

/// An answer that is there, or will be.
#[derive(Debug)]
pub(crate) enum Reply<T> {
    /// It is there.
    Now(T),
    /// It comes when the group is complete.
    Later(oneshot::Receiver<T>),
}

/// A join that was refused, with the id the client should use.
type JoinRefused = (ResponseError, String);

impl State {
    /// A member id that no other member ever had.
    pub(crate) fn name_member(&mut self, client_id: &str) -> String {
        self.members_named += 1;
        format!("{client_id}-{:x}-{}", self.started_ms, self.members_named)
    }

    /// Removes members that fell silent and moves on groups that waited long enough.
    pub(super) fn expire_members(&mut self) {
        let now_ms = self.now_ms;
        for group in self.groups.values_mut() {
            group.tick(now_ms);
        }
        self.groups.retain(|_, it| !it.is_forgettable());
    }
}

impl Group {
    /// Joins a member, or joins it again. `fresh_id` is for a member that has none.
    pub(crate) fn join(
        &mut self,
        joining: Joining,
        fresh_id: String,
        now_ms: i64,
    ) -> Result<Reply<JoinGroupResponse>, JoinRefused> {
        let refuse = |error| (error, joining.member_id.clone());
        if !(1..=SESSION_MS_MAX).contains(&joining.session_ms) {
            return Err(refuse(ResponseError::InvalidSessionTimeout));
        }
        if !self.has_common_protocol(&joining) {
            return Err(refuse(ResponseError::InconsistentGroupProtocol));
        }
        let id = self.admit(&joining, fresh_id, now_ms)?;
        if let Some(response) = self.repeat(&id, &joining) {
            return Ok(Reply::Now(response));
        }
        let (sender, receiver) = oneshot::channel();
        self.protocol_type = joining.protocol_type.clone();
        self.members.insert(id, Member::new(joining, sender, now_ms));
        self.rebalance(now_ms);
        Ok(Reply::Later(receiver))
    }

    /// Waits for the leader's assignment, or brings it.
    pub(crate) fn sync(
        &mut self,
        member_id: &str,
        generation: i32,
        assignments: Vec<(StrBytes, Bytes)>,
        now_ms: i64,
    ) -> Result<Reply<SyncGroupResponse>, ResponseError> {
        self.check(member_id, generation, now_ms)?;
        match self.phase {
            Phase::Empty | Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            Phase::Stable => Ok(Reply::Now(self.assignment(member_id))),
            Phase::Completing { .. } => {
                let (sender, receiver) = oneshot::channel();
                let member = self.members.get_mut(member_id).expect("it was checked");
                member.syncing = Some(sender);
                if member_id == self.leader {
                    self.assign(assignments, now_ms);
                }
                Ok(Reply::Later(receiver))
            }
        }
    }

    /// Hears that a member lives, and tells it of a rebalance.
    pub(crate) fn heartbeat(
        &mut self,
        member_id: &str,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        self.check(member_id, generation, now_ms)?;
        match self.phase {
            Phase::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Removes a member by its id or its instance id.
    pub(crate) fn leave(
        &mut self,
        member_id: &str,
        instance: Option<&StrBytes>,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        let by_instance = instance.and_then(|it| self.member_of(it));
        let id = by_instance.unwrap_or_else(|| member_id.to_owned());
        if self.promised.remove(&id).is_some() {
            return Ok(());
        }
        self.members.remove(&id).ok_or(ResponseError::UnknownMemberId)?;
        self.rebalance(now_ms);
        Ok(())
    }

    /// Whether a commit from this member and generation counts. A client that manages its
    /// partitions itself has neither, and may commit while the group has no members.
    pub(crate) fn check_commit(
        &mut self,
        member_id: &str,
        generation: i32,
        now_ms: i64,
    ) -> Result<(), ResponseError> {
        if generation < 0 && member_id.is_empty() {
            let is_free = self.members.is_empty();
            return is_free.then_some(()).ok_or(ResponseError::UnknownMemberId);
        }
        self.check(member_id, generation, now_ms)?;
        match self.phase {
            Phase::Completing { .. } => Err(ResponseError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// The phase by Kafka's name.
    pub(crate) fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Preparing { .. } => "PreparingRebalance",
            Phase::Completing { .. } => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    /// Whether nothing of the group is worth keeping.
    pub(crate) fn is_forgettable(&self) -> bool {
        self.members.is_empty() && self.promised.is_empty() && self.offsets.is_empty()
    }

    /// The id a join goes by, once it may.
    fn admit(
        &mut self,
        joining: &Joining,
        fresh_id: String,
        now_ms: i64,
    ) -> Result<String, JoinRefused> {
        let id = &joining.member_id;
        if !id.is_empty() {
            let is_known = self.members.contains_key(id) || self.promised.remove(id).is_some();
            let holder = joining.instance.as_ref().and_then(|it| self.member_of(it));
            return match holder {
                Some(holder) if holder != *id => Err((ResponseError::FencedInstanceId, id.clone())),
                _ if !is_known => Err((ResponseError::UnknownMemberId, id.clone())),
                _ => Ok(id.clone()),
            };
        }
        if self.members.len() + self.promised.len() >= GROUP_MEMBERS_MAX {
            return Err((ResponseError::GroupMaxSizeReached, String::new()));
        }
        if let Some(instance) = &joining.instance {
            self.replace_instance(instance);
        } else if joining.needs_id_first {
            let lapses_ms = now_ms + i64::from(joining.session_ms);
            self.promised.insert(fresh_id.clone(), lapses_ms);
            return Err((ResponseError::MemberIdRequired, fresh_id));
        }
        Ok(fresh_id)
    }

    fn replace_instance(&mut self, instance: &StrBytes) {
        let Some(old) = self.member_of(instance).and_then(|id| self.members.remove(&id)) else {
            return;
        };
        let fenced = ResponseError::FencedInstanceId.code();
        if let Some(waiter) = old.joining {
            waiter.send(JoinGroupResponse::default().with_error_code(fenced)).ok();
        }
        if let Some(waiter) = old.syncing {
            waiter.send(SyncGroupResponse::default().with_error_code(fenced)).ok();
        }
    }

    fn member_of(&self, instance: &StrBytes) -> Option<String> {
        let mut members = self.members.iter();
        members.find(|(_, it)| it.instance.as_ref() == Some(instance)).map(|(id, _)| id.clone())
    }

    fn has_common_protocol(&self, joining: &Joining) -> bool {
        let mut others = self.members.iter().filter(|(id, _)| **id != joining.member_id).peekable();
        let same_type = others.peek().is_none() || self.protocol_type == joining.protocol_type;
        let mut supported = joining.protocols.iter().map(|(name, _)| name);
        let mut others = others.map(|(_, it)| it);
        same_type && supported.any(|name| others.all(|it| it.metadata(name).is_some()))
    }

    /// The answer to a join that changes nothing: the client did not hear the first one.
    fn repeat(&mut self, id: &str, joining: &Joining) -> Option<JoinGroupResponse> {
        let member = self.members.get(id).filter(|it| it.protocols == joining.protocols)?;
        let changes_nothing = match self.phase {
            Phase::Completing { .. } => true,
            // A leader that joins again wants a rebalance.
            Phase::Stable => id != self.leader,
            Phase::Empty | Phase::Preparing { .. } => false,
        };
        debug_assert!(!changes_nothing || member.joining.is_none(), "its join was answered");
        changes_nothing.then(|| self.joined(id))
    }

    fn rebalance(&mut self, now_ms: i64) {
        let code = ResponseError::RebalanceInProgress.code();
        for waiter in self.members.values_mut().filter_map(|it| it.syncing.take()) {
            waiter.send(SyncGroupResponse::default().with_error_code(code)).ok();
        }
        if !matches!(self.phase, Phase::Preparing { .. }) {
            self.phase = Phase::Preparing { until_ms: now_ms + self.rebalance_ms() };
        }
        self.complete(now_ms);
    }

    /// Starts the next generation, if every member has joined it.
    fn complete(&mut self, now_ms: i64) {
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            self.generation += 1;
            return;
        }
        if self.members.values().any(|it| it.joining.is_none()) {
            return;
        }
        self.generation += 1;
        self.phase = Phase::Completing { until_ms: now_ms + self.rebalance_ms() };
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
        self.protocol = self.choose_protocol();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for id in ids {
            let response = self.joined(&id);
            let member = self.members.get_mut(&id).expect("the id was listed above");
            member.seen_ms = now_ms;
            member.assignment = Bytes::new();
            let waiter = member.joining.take().expect("every member has joined");
            waiter.send(response).ok();
        }
    }

    /// The leader's most preferred protocol that all members have.
    fn choose_protocol(&self) -> StrBytes {
        let leader = &self.members[&self.leader];
        let names = leader.protocols.iter().map(|(name, _)| name);
        let all_have =
            |name: &&StrBytes| self.members.values().all(|it| it.metadata(name).is_some());
        names.into_iter().find(all_have).cloned().unwrap_or_default()
    }

    fn joined(&self, id: &str) -> JoinGroupResponse {
        let mut response = JoinGroupResponse::default()
            .with_generation_id(self.generation)
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(self.protocol.clone()))
            .with_leader(StrBytes::from_string(self.leader.clone()))
            .with_member_id(StrBytes::from_string(id.to_owned()));
        if id == self.leader {
            let members = self.members.iter().map(|(id, it)| {
                JoinGroupResponseMember::default()
                    .with_member_id(StrBytes::from_string(id.clone()))
                    .with_group_instance_id(it.instance.clone())
                    .with_metadata(it.metadata(&self.protocol).cloned().unwrap_or_default())
            });
            response.members = members.collect();
        }
        response
    }

    fn assign(&mut self, assignments: Vec<(StrBytes, Bytes)>, now_ms: i64) {
        for (id, assignment) in assignments {
            if let Some(member) = self.members.get_mut(id.as_str()) {
                member.assignment = assignment;
            }
        }
        self.phase = Phase::Stable;
        let waiting: Vec<_> = self
            .members
            .iter_mut()
            .filter_map(|(id, it)| it.syncing.take().map(|waiter| (id.clone(), waiter)))
            .collect();
        for (id, waiter) in waiting {
            self.members.get_mut(&id).expect("it waited").seen_ms = now_ms;
            waiter.send(self.assignment(&id)).ok();
        }
    }

    fn assignment(&self, id: &str) -> SyncGroupResponse {
        SyncGroupResponse::default()
            .with_assignment(self.members[id].assignment.clone())
            .with_protocol_type(Some(self.protocol_type.clone()))
            .with_protocol_name(Some(self.protocol.clone()))
    }

    fn check(&mut self, id: &str, generation: i32, now_ms: i64) -> Result<(), ResponseError> {
        let current = self.generation;
        let member = self.members.get_mut(id).ok_or(ResponseError::UnknownMemberId)?;
        if generation != current {
            return Err(ResponseError::IllegalGeneration);
        }
        member.seen_ms = now_ms;
        Ok(())
    }

    fn tick(&mut self, now_ms: i64) {
        self.promised.retain(|_, lapses_ms| now_ms < *lapses_ms);
        let known = self.members.len();
        self.members.retain(|_, it| it.is_alive(now_ms));
        match self.phase {
            Phase::Preparing { until_ms } if now_ms >= until_ms => {
                self.members.retain(|_, it| it.joining.is_some());
                self.complete(now_ms);
            }
            Phase::Completing { until_ms } if now_ms >= until_ms => {
                self.members.retain(|_, it| it.syncing.is_some());
                self.rebalance(now_ms);
            }
            _ if self.members.len() < known => self.rebalance(now_ms),
            _ => {}
        }
    }

    fn rebalance_ms(&self) -> i64 {
        self.members.values().map(|it| it.rebalance_ms).max().unwrap_or_default()
    }
}

impl Member {
    fn new(joining: Joining, waiter: oneshot::Sender<JoinGroupResponse>, now_ms: i64) -> Member {
        let session_ms = i64::from(joining.session_ms);
        let rebalance_ms = i64::from(joining.rebalance_ms);
        Member {
            client_id: joining.client_id,
            instance: joining.instance,
            protocols: joining.protocols,
            session_ms,
            // JoinGroup v0 has no rebalance time-out; the session stands in for it.
            rebalance_ms: if rebalance_ms > 0 { rebalance_ms } else { session_ms },
            seen_ms: now_ms,
            assignment: Bytes::new(),
            joining: Some(waiter),
            syncing: None,
        }
    }

    /// What the member says for a protocol.
    pub(crate) fn metadata(&self, protocol: &StrBytes) -> Option<&Bytes> {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, metadata)| metadata)
    }

    /// A member that waits for the others is alive as long as its connection is.
    fn is_alive(&mut self, now_ms: i64) -> bool {
        if self.joining.as_ref().is_some_and(oneshot::Sender::is_closed) {
            self.joining = None;
        }
        self.joining.is_some() || now_ms - self.seen_ms < self.session_ms
    }
}
