//! The control socket of a running switch.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use tokio::net::UnixListener;
use tokio::sync::oneshot;

use super::access::Access;
use super::list::{Listed, list};
use super::problem::Refusal;
use super::resources::{
    CustomerRouteView, HostView, NeighbourView, PortView, ProviderAddressView, ProviderRouteView,
    RecordView, counters, status,
};
use super::socket::{SocketError, SocketFile};
use super::{policy, question};
use crate::host::{Host, HostHandle};
use crate::scheduling::yield_to_workers;

/// The largest policy file that is taken, in bytes.
const LARGEST_BODY: usize = 1 << 30;
/// Requests that are worked on at once; others wait.
const AT_ONCE: usize = 8;
/// What who still listens is given when the switch ends.
const GRACE: Duration = Duration::from_secs(1);

/// Serves the control socket, on threads of its own, until it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _file: SocketFile,
}

impl ControlServer {
    /// Serves `host`, which `handle` reaches, at a path in the file system.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn start(path: &Path, host: &Host, handle: HostHandle) -> Result<Self, SocketError> {
        let access = Access {
            host: handle,
            policies: Arc::clone(host.policies()),
        };
        let (listener, file) = SocketFile::listen(path)?;
        let (stop, stopped) = oneshot::channel();
        let thread = Self::spawn(listener, access, stopped)
            .map_err(|error| SocketError::Io(path.to_owned(), error))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            _file: file,
        })
    }

    fn spawn(
        listener: std::os::unix::net::UnixListener,
        access: Access,
        stopped: oneshot::Receiver<()>,
    ) -> io::Result<JoinHandle<()>> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(AT_ONCE)
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            UnixListener::from_std(listener)?
        };
        let name = "control".to_owned();
        thread::Builder::new().name(name).spawn(move || {
            yield_to_workers();
            runtime.block_on(serve(listener, access, stopped));
            runtime.shutdown_background();
        })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // The thread has ended already if nobody hears this.
        let _ = self.stop.take().map(|stop| stop.send(()));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: UnixListener, access: Access, stopped: oneshot::Receiver<()>) {
    let (ending, ended) = oneshot::channel();
    let served = axum::serve(listener, routes(access)).with_graceful_shutdown(async move {
        let _ = stopped.await;
        let _ = ending.send(());
    });
    let grace = async {
        let _ = ended.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = served => {}
        () = grace => {}
    }
}

fn routes(access: Access) -> Router {
    let router = Router::new()
        .route("/v1/status", get(status::answer))
        .route("/v1/counters", get(counters::answer))
        .route("/v1/next-hop", get(question::next_hop))
        .route("/v1/trace", post(question::trace))
        .route("/v1/policy", post(policy::apply))
        .route("/v1/policy/prepare", post(policy::prepare))
        .route("/v1/policy/commit", post(policy::commit))
        .route("/v1/policy/abort", post(policy::abort));
    let router = with_list::<PortView>(router);
    let router = with_list::<RecordView>(router);
    let router = with_list::<CustomerRouteView>(router);
    let router = with_list::<ProviderAddressView>(router);
    let router = with_list::<ProviderRouteView>(router);
    let router = with_list::<HostView>(router);
    let router = with_list::<NeighbourView>(router);
    router
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(access)
}

fn with_list<T: Listed>(router: Router<Access>) -> Router<Access> {
    router.route(&format!("/v1/{}", T::NAME), get(list::<T>))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is no {}: GET /v1/ with status, counters, ports, records, customer-routes, provider-addresses, \
             provider-routes, hosts, neighbours or next-hop; POST /v1/ with policy, policy/prepare, policy/commit, \
             policy/abort or trace",
            uri.path()
        ),
    )
}

async fn not_allowed(method: Method, uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} takes no {method}", uri.path()),
    )
}
