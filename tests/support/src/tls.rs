//! A certificate authority for one test: PEM files in a folder that goes away with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};

static AUTHORITIES: AtomicU32 = AtomicU32::new(1);

/// An authority that issues certificates for servers and clients.
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate with its key, as files.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate's PEM file.
    pub certificate: PathBuf,
    /// The key's PEM file.
    pub key: PathBuf,
}

impl TestCa {
    /// A new authority that nobody else trusts.
    pub fn new() -> Result<TestCa> {
        let mut params = CertificateParams::default();
        // Two authorities of one name would be told apart by their signatures alone.
        let number = AUTHORITIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("headwater test authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = TempDir::with_prefix("headwater-ca-")?;
        fs::write(folder.path().join("ca.pem"), issuer.pem())?;
        Ok(TestCa { issuer, folder })
    }

    /// The authority's own certificate, for those who are to trust it.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a server known by `names` (host names or addresses).
    pub fn server(&self, names: &[&str]) -> Result<Issued> {
        self.issue(server_params(names)?, "server")
    }

    /// As [`TestCa::server`], and good for a client, too.
    pub fn peer(&self, names: &[&str]) -> Result<Issued> {
        let mut params = server_params(names)?;
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        self.issue(params, "peer")
    }

    /// As [`TestCa::server`], but its time is over.
    pub fn expired_server(&self, names: &[&str]) -> Result<Issued> {
        let mut params = server_params(names)?;
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
        self.issue(params, "expired-server")
    }

    /// A certificate for a client.
    pub fn client(&self, name: &str) -> Result<Issued> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, name)
    }

    /// What a tonic server needs to present `server`, and to demand a client certificate of
    /// `clients` if one is given.
    pub fn serve(server: &Issued, clients: Option<&TestCa>) -> Result<ServerTlsConfig> {
        let config = ServerTlsConfig::new().identity(server.identity()?);
        Ok(match clients {
            Some(ca) => config.client_ca_root(Certificate::from_pem(ca.issuer.pem())),
            None => config,
        })
    }

    fn issue(&self, params: CertificateParams, name: &str) -> Result<Issued> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Issued {
            certificate: self.write(&format!("{name}.pem"), &certificate.pem())?,
            key: self.write(&format!("{name}.key"), &key.serialize_pem())?,
        })
    }

    fn write(&self, name: &str, pem: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, pem)?;
        Ok(path)
    }
}

impl Issued {
    /// Both files as tonic takes them.
    pub fn identity(&self) -> Result<Identity> {
        Ok(Identity::from_pem(read(&self.certificate)?, read(&self.key)?))
    }
}

fn server_params(names: &[&str]) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|it| (*it).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    Ok(fs::read(path)?)
}
