//! One packet, one straight way: read it, decide, say what is to be done.

mod flow;
mod frame;
mod inbound;
mod job;
mod outbound;
mod path_mtu;
mod reason;
mod refusal;
mod replicate;
mod resolve;
mod rewrite;
mod tunnel;
mod verdict;
mod worker;

pub use frame::{Frame, Ingress};
pub(crate) use outbound::Sender;
pub use reason::DropReason;
pub use replicate::{Replica, Replication};
pub use verdict::{Outcome, Punt, Verdict};
pub use worker::Worker;
