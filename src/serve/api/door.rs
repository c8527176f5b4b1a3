//! The API's door: its address, who may come in, and what is behind it.
//!
//! `headwater serve` and `headwater run --api` open the same one.

use super::auth::Access;
use super::credentials::{TlsFiles, Tokens};
use super::dispatch::Parts;
use super::forward::{Forward, Origin};
use super::listen::{Tls, listen};
use super::rate::Rates;
use super::{Api, Readers, operations};
use crate::args::ApiAccess;
use crate::exit::{Exit, Failed};
use crate::http::Shown;
use crate::serve::control::Control;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// An address that is bound, with what keeps strangers out.
pub(crate) struct Door {
    listener: TcpListener,
    tls: Tls,
    access: Access,
    rates: Rates,
    /// `host:port` as others reach it.
    authority: String,
}

/// An API that others can reach must know who asks.
pub(crate) fn demand_authentication(api: SocketAddr, options: &ApiAccess) -> Result<(), Failed> {
    let is_known = options.token_file.is_some() || options.tls_client_ca.is_some();
    if api.ip().is_loopback() || is_known || options.insecure_api {
        return Ok(());
    }
    Err(Exit::Mistake.saying(format!(
        "--api {api} can be reached from other machines, and nobody would have to say who they \
         are: add --token-file, or --tls-client-ca with --tls-certificate and --tls-key, or \
         --insecure-api if another layer keeps strangers out"
    )))
}

impl Door {
    /// Reads the credentials and binds the address.
    pub(crate) async fn open(api: SocketAddr, options: &ApiAccess) -> Result<Self, Failed> {
        demand_authentication(api, options)?;
        let mistake = |why: String| Exit::Mistake.saying(why);
        let tls = match (&options.tls_certificate, &options.tls_key) {
            (Some(certificate), Some(key)) => {
                let client_ca = options.tls_client_ca.clone();
                let (certificate, key) = (certificate.clone(), key.clone());
                Some(TlsFiles { certificate, key, client_ca }.watch().map_err(mistake)?)
            }
            _ => None,
        };
        let is_local = api.ip().is_loopback();
        let access = match &options.token_file {
            Some(path) => Access::Token(Tokens::watch(path).map_err(mistake)?),
            None if options.tls_client_ca.is_some() || !is_local => Access::Connected,
            None => Access::Local,
        };
        if tls.is_none() && !is_local && options.token_file.is_some() {
            tracing::warn!(event = "api_without_tls", "tokens can be read on their way");
        }
        let listener = bind(api, tls.is_some()).await?;
        let authority = listener.local_addr().unwrap_or(api).to_string();
        Ok(Door { listener, tls, access, rates: Rates::new(options.api_rate), authority })
    }

    /// Others reach it by this URL.
    pub(crate) fn advertised(mut self, url: Option<&str>) -> Self {
        if let Some(origin) = url.and_then(Origin::read) {
            self.authority = origin.authority();
        }
        self
    }

    /// Answers until it is asked to stop.
    pub(crate) fn serve(
        self,
        control: Control,
        shown: Arc<Shown>,
        readers: Readers,
        stop: CancellationToken,
    ) {
        let Door { listener, tls, access, rates, authority } = self;
        let is_tls = tls.is_some();
        let forward = Forward::new(control.instance(), tls.clone());
        let parts = Parts { control, shown, readers, authority, is_tls, access, rates, forward };
        tokio::spawn(listen(listener, tls, Api::new(parts, operations()), stop));
    }
}

async fn bind(api: SocketAddr, is_tls: bool) -> Result<TcpListener, Failed> {
    let bound = TcpListener::bind(api).await;
    let listener = bound.map_err(|error| {
        Exit::Mistake.saying(format!("--api {api}: {error}; choose another address"))
    })?;
    let address = listener.local_addr().map_err(|error| Exit::Internal.because(error))?;
    let scheme = if is_tls { "https" } else { "http" };
    tracing::info!(event = "api_listen", url = %format!("{scheme}://{address}"));
    Ok(listener)
}
