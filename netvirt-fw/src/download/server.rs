//! The NIC's end.

use core::fmt;

use embassy_futures::yield_now;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_io_async::{Read, ReadExactError, Write};
use netvirt_core::counters::{Event, PortCounters, Totals};
use netvirt_core::datapath::DropReason;
use netvirt_core::policy::{Refused, Transaction};
use serde::Serialize;

use super::message::{Count, List, Reply, Request};
use super::session::{
    GREETING_LEN, Greeting, HEADER_LEN, HandshakeError, Key, MAX_BODY, MAX_RECORD, Nonce,
    RecordError, Session, length_behind,
};
use crate::nve::{NicCounters, Nve, SharedNve};

/// Bytes of the longest list in a reply. What is beside it takes less than the rest of a body.
const MAX_LIST: usize = MAX_BODY - 32;

/// Why a connection was given up. What it had prepared is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ended<E> {
    /// It was lost, or was too slow.
    Connection(E),
    /// It took too long.
    TooLong,
    /// It was closed in the middle of a record or of the greeting.
    Cut,
    /// The greeting was none of this version.
    Handshake(HandshakeError),
    /// A record was not to be believed.
    Record(RecordError),
}

impl<E: fmt::Debug> fmt::Display for Ended<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => write!(f, "the connection was lost: {error:?}"),
            Self::TooLong => f.write_str("the connection took too long"),
            Self::Cut => f.write_str("the connection was closed in the middle of a message"),
            Self::Handshake(error) => error.fmt(f),
            Self::Record(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Ended<E> {}

impl<E> From<ReadExactError<E>> for Ended<E> {
    fn from(error: ReadExactError<E>) -> Self {
        match error {
            ReadExactError::UnexpectedEof => Self::Cut,
            ReadExactError::Other(error) => Self::Connection(error),
        }
    }
}

impl<E> From<HandshakeError> for Ended<E> {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl<E> From<RecordError> for Ended<E> {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

/// Serves one connection until the host closes it. Between two changes other tasks have their turn; the edge is locked for one
/// change, or one part of a list, at a time.
///
/// The nonce must be new for each connection, also after the NIC was started anew: [`Nonces`](super::Nonces) makes such. The
/// connection is to have a time limit of its own, so that a host that is gone does not keep others away. One connection is served
/// at a time; if the future is dropped, what it had prepared is forgotten.
///
/// # Errors
/// [`Ended`] says why the connection was given up; it is to be closed then.
pub async fn serve<C, M>(
    connection: &mut C,
    nve: &SharedNve<'_, M>,
    key: &Key,
    nonce: Nonce,
) -> Result<(), Ended<C::Error>>
where
    C: Read + Write,
    M: RawMutex,
{
    let mut session = shake_hands(connection, key, nonce).await?;
    let mut transactions = Transactions { nve, drafted: 0 };
    let mut record = [0; MAX_RECORD];
    let mut list = [0; MAX_LIST];
    while let Some(length) = receive(connection, &mut record).await? {
        let request = session.open(record.get(..length).unwrap_or_default())?;
        let reply = transactions.reply(&request, &mut list).await;
        send(connection, session.seal(&reply, &mut record)?).await?;
    }
    Ok(())
}

async fn shake_hands<C: Read + Write>(
    connection: &mut C,
    key: &Key,
    nonce: Nonce,
) -> Result<Session, Ended<C::Error>> {
    let mut greeting = [0; GREETING_LEN];
    connection.read_exact(&mut greeting).await?;
    let (answer, session) = Session::of_nic(key, &Greeting::received(greeting), nonce);
    send(connection, answer.as_bytes()).await?;
    Ok(session?)
}

/// Reads a record and yields its length; none if the host closed the connection.
async fn receive<C: Read>(
    connection: &mut C,
    record: &mut [u8; MAX_RECORD],
) -> Result<Option<usize>, Ended<C::Error>> {
    let (header, behind) = record.split_at_mut(HEADER_LEN);
    let first = connection.read(header).await.map_err(Ended::Connection)?;
    if first == 0 {
        return Ok(None);
    }
    let rest_of_header = header.get_mut(first..).unwrap_or_default();
    connection.read_exact(rest_of_header).await?;
    let header = header.first_chunk().copied().unwrap_or_default();
    let length = length_behind(header)?;
    connection
        .read_exact(behind.get_mut(..length).unwrap_or_default())
        .await?;
    Ok(Some(HEADER_LEN.wrapping_add(length)))
}

async fn send<C: Write>(connection: &mut C, bytes: &[u8]) -> Result<(), Ended<C::Error>> {
    connection
        .write_all(bytes)
        .await
        .map_err(Ended::Connection)?;
    connection.flush().await.map_err(Ended::Connection)
}

/// The transactions of one connection. What the last of them had prepared goes with it.
struct Transactions<'e, 's, M: RawMutex> {
    nve: &'e SharedNve<'s, M>,
    /// Changes of this transaction so far.
    drafted: usize,
}

impl<M: RawMutex> Drop for Transactions<'_, '_, M> {
    fn drop(&mut self) {
        self.lock(|nve| nve.policies.abort_draft());
    }
}

impl<'s, M: RawMutex> Transactions<'_, 's, M> {
    fn lock<R>(&self, action: impl FnOnce(&mut Nve<'s>) -> R) -> R {
        self.nve.lock(|nve| action(&mut nve.borrow_mut()))
    }

    async fn reply<'l>(
        &mut self,
        request: &Request<'_>,
        list: &'l mut [u8; MAX_LIST],
    ) -> Reply<'l> {
        let done = match *request {
            Request::Read { list: which, from } => return self.read(which, from, list),
            Request::Begin { version } => self.begin(version),
            Request::Changes(encoded) => self.take(Transaction::new(encoded)).await,
            Request::Prepare => self
                .lock(|nve| nve.policies.prepare_draft())
                .map(|version| Reply::Prepared { version }),
            Request::Commit => self.commit(),
            Request::Abort => {
                self.lock(|nve| nve.policies.abort_draft());
                Ok(Reply::Aborted)
            }
        };
        done.unwrap_or_else(Reply::Refused)
    }

    fn commit(&self) -> Result<Reply<'static>, Refused> {
        let version = self.lock(|nve| nve.policies.commit_draft())?;
        info!("policy version {} is in force", version);
        Ok(Reply::Committed { version })
    }

    fn begin(&mut self, version: u64) -> Result<Reply<'static>, Refused> {
        self.drafted = 0;
        self.lock(|nve| match nve.policies.live().version() {
            live if live == version => nve.policies.begin_draft().map(|()| Reply::Begun),
            version => Ok(Reply::Moved { version }),
        })
    }

    async fn take(&mut self, transaction: Transaction<'_>) -> Result<Reply<'static>, Refused> {
        for change in transaction.changes() {
            let change = change.map_err(|malformed| {
                self.lock(|nve| nve.policies.abort_draft());
                Refused {
                    change: self.drafted,
                    why: malformed.into(),
                }
            })?;
            self.lock(|nve| nve.policies.draft(&change))?;
            self.drafted = self.drafted.wrapping_add(1);
            yield_now().await;
        }
        Ok(Reply::Taken)
    }

    // The stack below a change has no room for this as well.
    #[inline(never)]
    fn read<'l>(&self, which: List, from: u32, list: &'l mut [u8; MAX_LIST]) -> Reply<'l> {
        let (version, filled) = self.lock(|nve| {
            let policy = nve.policies.live();
            let filled = match which {
                List::Policy => fill(list, from, policy.changes()),
                List::Counters => fill(list, from, Count::all(nve)),
                List::LastDrops => fill(list, from, nve.last_drops.iter()),
            };
            (policy.version(), filled)
        });
        Reply::Items {
            version,
            items: list.get(..filled.length).unwrap_or_default(),
            next: filled.next,
        }
    }
}

impl Count {
    /// All counters of an edge that are not zero.
    fn all(nve: &Nve<'_>) -> impl Iterator<Item = Self> {
        let (policy, counters) = (nve.policies.live(), nve.worker.counters());
        let reasons = DropReason::ALL.iter().map(|reason| {
            let frames = counters.refused(*reason);
            Self::Reason(reason.index() as u8, frames)
        });
        let events = Event::ALL.iter().map(|event| {
            let times = counters.event(*event);
            Self::Event(event.index() as u8, times)
        });
        let ports = policy.ports().map(|port| {
            let passed = counters.port(port.port);
            Self::Port(port.port, passed)
        });
        let subnets = policy.subnets().map(|(vsid, _)| {
            let decided = counters.subnet(policy, vsid);
            Self::Subnet(vsid, decided)
        });
        let few = [Self::Totals(*counters.totals()), Self::Nic(nve.nic)];
        let many = reasons.chain(events).chain(ports).chain(subnets);
        few.into_iter().chain(many).filter(|count| !count.is_zero())
    }

    fn is_zero(&self) -> bool {
        match self {
            Self::Totals(totals) => *totals == Totals::default(),
            Self::Reason(_, times) | Self::Event(_, times) => *times == 0,
            Self::Port(_, passed) => *passed == PortCounters::ZERO,
            Self::Subnet(_, decided) => decided.sent.frames | decided.received.frames == 0,
            Self::Nic(counted) => *counted == NicCounters::default(),
        }
    }
}

struct Filled {
    length: usize,
    /// The first item that did not fit.
    next: Option<u32>,
}

/// Writes as many items as fit, behind those that are left out.
fn fill(
    list: &mut [u8; MAX_LIST],
    from: u32,
    items: impl Iterator<Item = impl Serialize>,
) -> Filled {
    let mut length: usize = 0;
    for (item, number) in items.skip(from as usize).zip(from..) {
        let room = list.get_mut(length..).unwrap_or_default();
        match postcard::to_slice(&item, room) {
            Ok(written) => length = length.wrapping_add(written.len()),
            Err(_) => {
                let next = Some(number);
                return Filled { length, next };
            }
        }
    }
    Filled { length, next: None }
}
