//! The question that a source leaves open whose types are its server's to tell.

use super::super::channel::Dial;
use super::super::reflect::{Inquiry, Peers};
use super::super::request::{Outgoing, Requests};
use super::super::source::Target;
use super::fleet;
use super::shards::Shards;
use super::types::Types;
use headwater_engine::spec::Report;

/// Whom to ask for what; none where nothing is open, or a mistake hides it.
pub(super) fn inquiry(
    types: &Types,
    shards: &Shards<'_, '_>,
    report: &mut Report,
) -> Option<Inquiry> {
    let Types::AtServer { service } = types else { return None };
    let is_watched = shards.config.targets.as_ref().is_some_and(|it| it.watched().is_some());
    let peers = match is_watched {
        true => Peers::Watched(Box::new(fleet::peers(shards, report)?)),
        // What is wrong with them has been told.
        false => {
            let peers = peers(shards, &mut Report::new());
            Peers::Listed(peers.filter(|peers| !peers.is_empty())?)
        }
    };
    let reconnect = shards.config.reconnect.clone();
    Some(Inquiry { peers, service: service.clone(), reconnect })
}

/// The servers, each as a call would reach it.
pub(super) fn peers(shards: &Shards<'_, '_>, report: &mut Report) -> Option<Vec<Target>> {
    let endpoints = shards.endpoints(report);
    let peer = |(entry, endpoint): (usize, &_)| {
        let server = shards.server(endpoint, report)?;
        let metadata = shards.metadata(Some(endpoint), report)?;
        let dial = Dial::new(server.uri.clone(), shards.config, shards.tls_of(&server)?, 1);
        let requests = Requests { first: Outgoing::default(), restart: None, reentry: None };
        Some(Target { dial, metadata, requests, entry, feed: None })
    };
    // All of them are looked at, also behind one that is wrong.
    let peers: Vec<Option<Target>> = endpoints.iter().enumerate().map(peer).collect();
    peers.into_iter().collect()
}
