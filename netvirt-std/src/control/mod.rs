//! The control socket: what an operator may see and change of a running switch.
//!
//! HTTP/1.1 over a Unix socket that only its owner may open, so that every program can use it:
//!
//! ```text
//! curl --unix-socket /run/netvirt/host-1.sock 'http://netvirt/v1/ports?vsid=5001'
//! ```
//!
//! | Request | Answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `POST /v1/status/reset-stalls` | [`Status`]; from now on its longest stalls are those that come |
//! | `GET /v1/counters` | [`CounterReport`](crate::counters::CounterReport): totals, each reason, by port, by subnet; a filter chooses subnets and their ports |
//! | `GET /v1/ports` | list of [`PortView`] |
//! | `GET /v1/records` | list of [`RecordView`] |
//! | `GET /v1/customer-routes` | list of [`CustomerRouteView`] |
//! | `GET /v1/multicast-groups` | list of [`MulticastGroupView`]: those that groups of the provider network carry |
//! | `GET /v1/provider-addresses` | list of [`ProviderAddressView`]: those of this host |
//! | `GET /v1/provider-routes` | list of [`ProviderRouteView`] |
//! | `GET /v1/hosts` | list of [`HostView`], one for each provider address |
//! | `GET /v1/neighbours` | list of [`NeighbourView`] |
//! | `GET /v1/next-hop?vsid=…&destination=…` | [`SelectedNextHop`](crate::explain::SelectedNextHop); `source=…` if it matters |
//! | `POST /v1/trace`, body [`TraceRequest`] | [`Explanation`](crate::explain::Explanation) |
//! | `POST /v1/policy?name=…`, body: text of a policy file | [`Taken`]: it is in force; `name` stands in diagnostics |
//! | `POST /v1/policy/prepare?name=…`, the same body | [`Prepared`]: ready to be committed, in place of what was prepared before; it has an `id` |
//! | `POST /v1/policy/commit?id=…` | [`Taken`]: what was prepared under this id is in force |
//! | `POST /v1/policy/abort?id=…` | [`Aborted`]: what was prepared under this id is forgotten |
//!
//! **Lists** are JSON arrays, one object a line. Every field of the objects can be filtered on: `?vsid=5001&location=host-2`
//! asks for objects that have both, `?vsid=5001&vsid=6001` for those that have either, and `?previous=` for those that have
//! none. A list is of one version of the policy.
//!
//! **Explanations and next hops** come as text for people if the request says `Accept: text/plain`.
//!
//! A value that the field cannot have, such as `?vsid=blue`, is refused.
//!
//! **A policy file** is sent as it is, in one piece:
//!
//! ```text
//! curl --unix-socket /run/netvirt/host-1.sock --data-binary @network.toml 'http://netvirt/v1/policy?name=network.toml'
//! ```
//!
//! **What goes wrong** has the body [`Problem`] and the status 400 (the request is malformed), 404 (no such thing), 405
//! (nothing that takes this method), 408 (the rest of the request did not come), 409 (the tables or devices refuse it, or
//! nothing is prepared, or something else than what is to be committed: the switch is as it was), 413 (the request is too
//! large: a policy file has 256 MiB at most), 422 (the policy file is wrong; the problem has its diagnostics), 500 (an
//! error of netvirt) or 503 (the switch is ending).
//!
//! **Who is silent** is not waited for long ([`Patience`]). Changes of the policy are logged, with the user who asked.
//!
//! Requests are worked on beside the switch. Its host thread is asked only for what it alone knows and for changes of the
//! policy; packets wait for nobody.

mod access;
mod client;
mod filter;
mod list;
mod naming;
mod patience;
mod peer;
mod policy;
mod problem;
mod question;
mod resources;
mod room;
mod server;
mod socket;
mod text;
mod written;

pub use client::{Client, ClientError, Form};
pub use filter::fields_of;
pub use list::Resource;
pub use patience::Patience;
pub use policy::{Aborted, Prepared, Taken};
pub use problem::{Problem, ToldDiagnostic};
pub use question::TraceRequest;
pub use resources::{
    CustomerRouteView, HostView, MulticastGroupView, NeighbourView, PortView, ProviderAddressView,
    ProviderRouteView, RecordView, Status,
};
pub use server::ControlServer;
pub use socket::{ControlSocket, SocketError};
