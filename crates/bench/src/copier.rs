//! The copier: a process that does nothing but copy bytes to a socket, with
//! the same encryption and from as much memory as a server that lists. What a
//! list costs is told as a ratio to it, measured in the same run.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;

use crate::process::Process;

/// What it copies at once: as much as a list's chunk.
const CHUNK_BYTES: usize = 64 * 1024;

/// A running copier. Ends when dropped.
pub struct Copier {
    /// Where it listens.
    pub address: Address,
    /// Its figures.
    pub process: Process,
    _child: Child,
}

/// Where a copier listens.
#[derive(Clone)]
pub struct Address {
    port: u16,
    secure: bool,
}

impl Copier {
    /// Starts one that answers with so many bytes.
    pub async fn start(bytes: usize, secure: bool) -> anyhow::Result<Copier> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--copier").arg(bytes.to_string()).stdout(Stdio::piped()).kill_on_drop(true);
        if !secure {
            command.arg("--plain");
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
        let line = lines.next_line().await?.context("the copier did not start")?;
        let process = Process::new(child.id().context("the copier ended")?)?;
        Ok(Copier { address: Address { port: line.parse()?, secure }, process, _child: child })
    }
}

/// Copies `bytes` to whoever connects and sends a byte, once for each byte sent.
#[expect(clippy::print_stdout, reason = "whoever started it reads the port")]
pub async fn serve(bytes: usize, secure: bool) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let acceptor = if secure { Some(acceptor()?) } else { None };
    // Written once, so that all of it is memory of its own.
    let content: Arc<[u8]> = (0..bytes).map(|i| (i % 251) as u8).collect();
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (acceptor, content) = (acceptor.clone(), content.clone());
        tokio::spawn(async move {
            match acceptor {
                Some(acceptor) => copy(acceptor.accept(stream).await?, &content).await,
                None => copy(stream, &content).await,
            }
        });
    }
}

async fn copy(mut stream: impl AsyncRead + AsyncWrite + Unpin, content: &[u8]) -> std::io::Result<()> {
    let mut asked = [0];
    while stream.read(&mut asked).await? > 0 {
        for chunk in content.chunks(CHUNK_BYTES) {
            stream.write_all(chunk).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

/// Reads the whole content so many times over one connection; returns how long each took.
pub async fn read(address: &Address, times: usize, bytes: usize) -> anyhow::Result<Vec<Duration>> {
    let stream = TcpStream::connect(("127.0.0.1", address.port)).await?;
    stream.set_nodelay(true)?;
    if !address.secure {
        return read_over(stream, times, bytes).await;
    }
    let name = ServerName::try_from("localhost")?;
    read_over(crate::client::connector(None)?.connect(name, stream).await?, times, bytes).await
}

async fn read_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    times: usize,
    bytes: usize,
) -> anyhow::Result<Vec<Duration>> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut latencies = Vec::with_capacity(times);
    for _ in 0..times {
        let start = Instant::now();
        stream.write_all(&[1]).await?;
        stream.flush().await?;
        let mut missing = bytes;
        while missing > 0 {
            let read = stream.read(&mut buffer).await?;
            anyhow::ensure!(read > 0, "the copier hung up");
            missing = missing.saturating_sub(read);
        }
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

fn acceptor() -> anyhow::Result<TlsAcceptor> {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
