//! The question that a source leaves open whose types are its server's to tell.

use super::super::reflect::{Inquiry, Peers};
use super::super::request::{Outgoing, Requests};
use super::super::source::Target;
use super::fleet;
use super::shards::Shards;
use super::types::Types;
use headwater_engine::spec::Report;
use std::sync::atomic::AtomicUsize;

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
    Some(Inquiry { peers, service: service.clone(), reconnect, failed: AtomicUsize::new(0) })
}

/// The servers, each as a call would reach it.
pub(super) fn peers(shards: &Shards<'_, '_>, report: &mut Report) -> Option<Vec<Target>> {
    let endpoints = shards.endpoints(report);
    let servers = shards.check_urls(&endpoints, report);
    let peers = shards.check_peers(&endpoints, &servers, report);
    let nothing = Requests { first: Outgoing::default(), restart: None, reentry: None };
    let each = servers.iter().zip(peers).enumerate();
    each.map(|(entry, (server, peer))| {
        shards.target(server.as_ref(), peer, Some(nothing.clone()), (entry, 1))
    })
    .collect()
}
