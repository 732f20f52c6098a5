//! The control socket of a running switch.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::http::{Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

use super::access::{Access, THREADS};
use super::list::{Listed, list};
use super::patience::Patience;
use super::peer::Peer;
use super::problem::Refusal;
use super::resources::{
    CustomerRouteView, HostView, MulticastGroupView, NeighbourView, PortView, ProviderAddressView,
    ProviderRouteView, RecordView, counters, status,
};
use super::socket::ControlSocket;
use super::{policy, question};
use crate::host::{Host, HostHandle};
use crate::scheduling::yield_to_workers;

/// What who still listens is given when the switch ends.
const GRACE: Duration = Duration::from_secs(1);
/// Until there is room for another connection, when there is none.
const PAUSE: Duration = Duration::from_secs(1);

/// Serves the control socket, on threads of its own, until it is dropped.
#[derive(Debug)]
pub struct ControlServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _socket: ControlSocket,
}

impl ControlServer {
    /// Serves `host`, which `handle` reaches, at a socket.
    ///
    /// # Errors
    /// The system has no resources left.
    pub fn start(
        socket: ControlSocket,
        host: &Host,
        handle: HostHandle,
        patience: Patience,
    ) -> io::Result<Self> {
        let access = Access::new(handle, Arc::clone(host.policies()), patience);
        let (stop, stopped) = oneshot::channel();
        let thread = Self::spawn(socket.listener.try_clone()?, access, stopped)?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
            _socket: socket,
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
            .max_blocking_threads(THREADS)
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

async fn serve(listener: UnixListener, access: Access, mut stopped: oneshot::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(access.patience.header);
    let routes = routes(access);
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped => break,
        };
        let service = accepted.and_then(|(stream, _)| service(&routes, stream));
        match service {
            Ok((stream, service)) => {
                let connection = http.serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connections.watch(connection));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the control socket cannot be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    // Nobody new is let in.
    drop(listener);
    let _ = tokio::time::timeout(GRACE, connections.shutdown()).await;
}

/// The routes, as who is at the other end of a connection finds them.
fn service(
    routes: &Router,
    stream: UnixStream,
) -> io::Result<(UnixStream, TowerToHyperService<Router>)> {
    let peer = Peer::of(&stream)?;
    let routes = routes.clone().layer(Extension(peer));
    Ok((stream, TowerToHyperService::new(routes)))
}

fn routes(access: Access) -> Router {
    let router = Router::new()
        .route("/v1/status", get(status::answer))
        .route("/v1/status/reset-stalls", post(status::reset_stalls))
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
    let router = with_list::<MulticastGroupView>(router);
    let router = with_list::<ProviderAddressView>(router);
    let router = with_list::<ProviderRouteView>(router);
    let router = with_list::<HostView>(router);
    let router = with_list::<NeighbourView>(router);
    router
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .with_state(access)
}

fn with_list<T: Listed>(router: Router<Access>) -> Router<Access> {
    router.route(&format!("/v1/{}", T::NAME), get(list::<T>))
}

async fn unknown(uri: Uri) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!(
            "there is no {}: GET /v1/ with status, counters, ports, records, customer-routes, multicast-groups, \
             provider-addresses, provider-routes, hosts, neighbours or next-hop; POST /v1/ with policy, policy/prepare, policy/commit, \
             policy/abort, status/reset-stalls or trace",
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
