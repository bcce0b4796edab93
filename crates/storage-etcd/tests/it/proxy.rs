//! A network between client and etcd that can be broken at will.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections to one address.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// Connections end whenever this changes.
    cuts: watch::Sender<u64>,
    /// New connections are ended at once.
    refuses: AtomicBool,
    /// What the server says is lost.
    deaf: AtomicBool,
}

impl Proxy {
    /// A working network to `to`.
    pub async fn new(to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a port");
        let (cuts, _) = watch::channel(0);
        let shared = Arc::new(Shared { cuts, refuses: AtomicBool::new(false), deaf: AtomicBool::new(false) });
        let state = shared.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !state.refuses.load(Ordering::SeqCst) {
                    tokio::spawn(forward(client, to, state.clone()));
                }
            }
        });
        Proxy { address, shared }
    }

    /// URL of this end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends all connections; new ones are possible.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all connections, and new ones at once, until it is [`Proxy::heal`]ed.
    pub fn refuse(&self) {
        self.shared.refuses.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// From now on answers are lost.
    pub fn lose_answers(&self) {
        self.shared.deaf.store(true, Ordering::SeqCst);
    }

    /// New connections work.
    pub fn heal(&self) {
        self.shared.refuses.store(false, Ordering::SeqCst);
        self.shared.deaf.store(false, Ordering::SeqCst);
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, shared: Arc<Shared>) {
    let mut cuts = shared.cuts.subscribe();
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let there = tokio::io::copy(&mut from_client, &mut to_server);
    let back = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
            if shared.deaf.load(Ordering::SeqCst) {
                continue;
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = cuts.changed() => {}
        _ = there => {}
        () = back => {}
    }
}
