//! Running etcd servers, each with a data folder and ports of its own, which end with the value that holds them.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use meta::Revision;
use storage::backend::{Backend, BackendError, KeyValue, LeaseId, Op, RangeRequest, Txn};
use storage_etcd::{EtcdBackend, EtcdOptions, EtcdTls};

use super::servers::{Age, server};

/// A world in which tests over an etcd of some age run, or are left out.
pub struct World(pub Age);

impl World {
    /// Runs a test on a runtime of its own if there is such an etcd.
    pub fn run(&self, test: impl Future<Output = ()>) {
        if server(self.0).is_some() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(test);
        }
    }
}

/// A cluster of etcd servers.
pub struct Etcd {
    members: Vec<Member>,
    age: Age,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    /// What a client needs, if clients are served over TLS.
    tls: Option<EtcdTls>,
}

struct Member {
    client_port: u16,
    peer_port: u16,
    process: Option<Child>,
}

impl Etcd {
    /// One empty server of an age, which answers.
    pub async fn start(age: Age) -> Etcd {
        Etcd::start_with(age, 1, &[], None).await
    }

    /// A cluster of `size`, with more flags on each of them, which clients reach with `tls`.
    pub async fn start_with(age: Age, size: usize, flags: &[&str], tls: Option<EtcdTls>) -> Etcd {
        // Somebody may take a port between its choice and its use.
        for _ in 0..5 {
            let mut etcd = Etcd {
                members: (0..size).map(|_| Member::new()).collect(),
                age,
                folder: folder(),
                flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
                tls: tls.clone(),
            };
            for index in 0..size {
                etcd.resume(index);
            }
            if etcd.answers().await {
                return etcd;
            }
        }
        panic!("etcd does not start");
    }

    /// Client URLs.
    pub fn urls(&self) -> Vec<String> {
        (0..self.members.len()).map(|index| self.url(index)).collect()
    }

    fn url(&self, index: usize) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.members[index].client_port)
    }

    /// Where the first member listens for clients.
    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.members[0].client_port).into()
    }

    /// A backend over all members.
    pub async fn backend(&self) -> Arc<EtcdBackend> {
        backend(EtcdOptions { endpoints: self.urls(), tls: self.tls.clone(), ..EtcdOptions::default() }).await
    }

    /// Kills a member; its data stays.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Starts a member again over its data.
    pub fn resume(&mut self, index: usize) {
        let peers: Vec<String> = self
            .members
            .iter()
            .enumerate()
            .map(|(i, member)| format!("m{i}=http://127.0.0.1:{}", member.peer_port))
            .collect();
        let member = &self.members[index];
        let client = self.url(index);
        let peer = format!("http://127.0.0.1:{}", member.peer_port);
        let mut command = Command::new(server(self.age).expect("whoever starts one has looked"));
        command.arg("--name").arg(format!("m{index}"));
        command.arg("--data-dir").arg(self.folder.path().join(index.to_string()));
        command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &peers.join(",")]);
        // A server that is alone elects itself after this time, and leases live
        // at least one and a half of it.
        let election = if self.members.len() == 1 { ("10", "50") } else { ("20", "300") };
        command.args(["--heartbeat-interval", election.0, "--election-timeout", election.1]);
        command.args(["--logger", "zap", "--log-outputs", "stderr", "--log-level", "error"]);
        command.args(&self.flags).stdin(Stdio::null()).stdout(Stdio::null());
        if std::env::var_os("ETCD_TEST_LOG").is_none() {
            command.stderr(Stdio::null());
        }
        self.members[index].process = Some(command.spawn().expect("etcd can be started"));
    }

    /// Waits until every running member answers; false if one has ended.
    pub async fn answers(&mut self) -> bool {
        let patience = Instant::now() + Duration::from_secs(30);
        for index in 0..self.members.len() {
            let endpoints = vec![self.url(index)];
            let options = EtcdOptions { endpoints, tls: self.tls.clone(), ..EtcdOptions::default() };
            let alone = backend(options).await;
            let any = RangeRequest { key: "any".into(), ..RangeRequest::default() };
            while self.members[index].process.is_some() && alone.range(any.clone()).await.is_err() {
                if self.members[index].has_ended() {
                    return false;
                }
                assert!(Instant::now() < patience, "etcd does not answer");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        true
    }
}

/// In memory where the system has such a place: hundreds of servers come and go, and wait for their syncs.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("tests have a temporary folder")
}

/// A backend in the real environment.
pub async fn backend(options: EtcdOptions) -> Arc<EtcdBackend> {
    let environment = environment::real::environment();
    Arc::new(EtcdBackend::open(environment, options).await.expect("good endpoints"))
}

/// A backend over these endpoints, without TLS.
pub async fn backend_over(endpoints: Vec<String>) -> Arc<EtcdBackend> {
    backend(EtcdOptions { endpoints, ..EtcdOptions::default() }).await
}

/// Puts one key.
pub async fn put(
    backend: &dyn Backend,
    key: &str,
    value: impl Into<Bytes>,
) -> Result<Revision, BackendError> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let success = vec![Op::Put { key, value: value.into(), lease: LeaseId(0) }];
    backend.txn(Txn { success, ..Txn::default() }).await.map(|response| response.revision)
}

/// Reads one key.
pub async fn get(backend: &dyn Backend, key: &str) -> Result<Option<KeyValue>, BackendError> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let response = backend.range(RangeRequest { key, ..RangeRequest::default() }).await;
    response.map(|mut response| response.kvs.pop())
}

/// Waits for something that will come, but not for ever.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it comes in time")
}

impl Member {
    fn new() -> Member {
        let free = || TcpListener::bind("127.0.0.1:0").expect("a free port");
        let (client, peer) = (free(), free());
        let port = |listener: &TcpListener| listener.local_addr().expect("a port").port();
        Member { client_port: port(&client), peer_port: port(&peer), process: None }
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.process {
            Some(process) => process.try_wait().expect("its own child").is_some(),
            None => true,
        }
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
