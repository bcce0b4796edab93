//! A server inside a test: started in milliseconds, on any free port, in a
//! folder that goes away with it.
//!
//! [`TestServer`] owns the server and its folder. Which client speaks to it is
//! the test's choice: it hands out an address, a kubeconfig and a token; a
//! plain one is in [`client`].

pub mod client;
pub mod kubelet;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pintle::flags::ServeFlags;
use pintle::{Builder, RuntimeResource, Server};
use tempfile::TempDir;

use crate::client::Client;

/// A server of this process. It ends with [`TestServer::stop`] or when dropped.
///
/// ```no_run
/// # async fn example() -> anyhow::Result<()> {
/// let server = test_server::TestServer::start().await?;
/// let answer = server.client()?.get("/api/v1/namespaces/default").await?;
/// assert_eq!(answer.status, 200);
/// # Ok(())
/// # }
/// ```
pub struct TestServer {
    /// None only while it restarts.
    server: Option<Server>,
    address: SocketAddr,
    flags: ServeFlags,
    made_at_run_time: Vec<RuntimeResource>,
    // After the server, so that it is removed when nobody writes to it any more.
    _folder: Option<TempDir>,
}

impl TestServer {
    /// Starts a server in a folder of its own, removed with the server.
    pub async fn start() -> anyhow::Result<TestServer> {
        TestServer::start_with(|_| {}).await
    }

    /// Starts a server in a folder that stays.
    pub async fn start_in(folder: impl Into<PathBuf>) -> anyhow::Result<TestServer> {
        TestServer::launch(flags(folder.into()), Vec::new(), None).await
    }

    /// Starts a server in a folder of its own, after `configure` has changed
    /// the flags: any free port of the loopback address, else the defaults.
    pub async fn start_with(configure: impl FnOnce(&mut ServeFlags)) -> anyhow::Result<TestServer> {
        let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
        let mut flags = flags(folder.path().to_owned());
        configure(&mut flags);
        TestServer::launch(flags, Vec::new(), Some(folder)).await
    }

    /// Starts a server in a folder of its own that serves further resources.
    pub async fn start_serving(resources: Vec<RuntimeResource>) -> anyhow::Result<TestServer> {
        let folder = tempfile::tempdir().context("cannot make a folder for the server")?;
        TestServer::launch(flags(folder.path().to_owned()), resources, Some(folder)).await
    }

    async fn launch(
        mut flags: ServeFlags,
        made_at_run_time: Vec<RuntimeResource>,
        folder: Option<TempDir>,
    ) -> anyhow::Result<TestServer> {
        let server = builder(&flags, &made_at_run_time).start().await?;
        let address = server.address();
        // Whoever restarts it finds it where it was.
        flags.serving.secure_port = address.port();
        Ok(TestServer { server: Some(server), address, flags, made_at_run_time, _folder: folder })
    }

    /// Stops the server and starts another one in the same folder at the same address.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
        self.server = Some(builder(&self.flags, &self.made_at_run_time).start().await?);
        Ok(())
    }

    /// Stops the server. A folder given to [`TestServer::start_in`] can be opened again.
    pub async fn stop(mut self) {
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A kubeconfig of the admin, who shows a client certificate.
    pub fn kubeconfig(&self) -> PathBuf {
        self.running().kubeconfig()
    }

    /// The data folder, absolute.
    pub fn data_folder(&self) -> &Path {
        self.running().data_folder()
    }

    /// The admin's bearer token.
    pub fn token(&self) -> &str {
        self.running().admin_token()
    }

    /// The authority that signed the serving certificate, PEM.
    pub fn authority_pem(&self) -> &str {
        self.running().authority_pem()
    }

    /// A client that shows the admin's token.
    pub fn client(&self) -> anyhow::Result<Client> {
        Ok(self.anonymous()?.with_token(self.token()))
    }

    /// A client that shows nothing.
    pub fn anonymous(&self) -> anyhow::Result<Client> {
        Client::new(self.address, self.authority_pem())
    }

    fn running(&self) -> &Server {
        self.server.as_ref().expect("there is a server unless a restart failed")
    }
}

fn builder(flags: &ServeFlags, made_at_run_time: &[RuntimeResource]) -> Builder {
    made_at_run_time.iter().cloned().fold(Builder::new(flags.clone()), Builder::serve)
}

fn flags(folder: PathBuf) -> ServeFlags {
    let mut flags = ServeFlags::default();
    flags.serving.secure_port = 0;
    flags.storage.data_dir = folder;
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_restarted_server_has_its_address_and_its_objects() -> anyhow::Result<()> {
        let mut server = TestServer::start().await?;
        let address = server.address();
        let body = r#"{"metadata":{"name":"kept"}}"#;
        let created = server.client()?.post("/api/v1/namespaces/default/configmaps", body).await?;
        assert_eq!(created.status, 201, "{}", created.text());
        server.restart().await?;
        assert_eq!(server.address(), address);
        let found = server.client()?.get("/api/v1/namespaces/default/configmaps/kept").await?;
        assert_eq!(found.status, 200, "{}", found.text());
        Ok(())
    }

    #[tokio::test]
    async fn a_given_folder_stays_and_can_be_opened_after_a_stop() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        TestServer::start_in(folder.path()).await?.stop().await;
        let server = TestServer::start_in(folder.path()).await?;
        assert!(TestServer::start_in(folder.path()).await.is_err(), "the folder is in use");
        server.stop().await;
        assert!(folder.path().join("kubeconfig").exists());
        Ok(())
    }

    #[tokio::test]
    async fn a_dropped_server_ends_and_gives_its_folder_back() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let server = TestServer::start_in(folder.path()).await?;
        let client = server.client()?;
        drop(server);
        // Nobody can wait for the end of what was dropped, only look.
        let gone = async {
            while client.get("/readyz").await.is_ok() {}
            while TestServer::start_in(folder.path()).await.is_err() {}
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.context("it did not end")
    }

    #[tokio::test]
    async fn servers_of_one_process_do_not_share_anything() -> anyhow::Result<()> {
        let (one, other) = (TestServer::start().await?, TestServer::start().await?);
        let body = r#"{"metadata":{"name":"mine"}}"#;
        let created = one.client()?.post("/api/v1/namespaces/default/configmaps", body).await?;
        assert_eq!(created.status, 201, "{}", created.text());
        let missing = other.client()?.get("/api/v1/namespaces/default/configmaps/mine").await?;
        assert_eq!(missing.status, 404);
        assert!(other.anonymous()?.with_token(one.token()).get("/api").await?.status == 401);
        Ok(())
    }
}
