//! The host's end of a policy download.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use netvirt_core::policy::{Change, MAX_CHANGE_LENGTH, Refused, TransactionWriter};
use netvirt_fw::download::{
    ANSWER_LEN, Answer, Count, Greeting, HEADER_LEN, Items, Key, List, MAX_BODY, MAX_RECORD, Nonce,
    PORT, RecordError, Reply, Request, Session, length_behind,
};
use netvirt_fw::nve::LastDrop;
use rustix::rand::{GetRandomFlags, getrandom};
use serde::de::DeserializeOwned;

use super::error::OffloadError;

/// How long a NIC may be silent.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of changes in a record: what is beside them takes less than the rest of a body.
const MOST_CHANGES: usize = MAX_BODY - 16;
/// How often a NIC that refuses is asked, and how long to wait in between.
const CONNECTIONS: usize = 5;
const PAUSE: Duration = Duration::from_millis(100);
/// How often a list is read anew because the policy changed meanwhile.
const ATTEMPTS: usize = 3;

/// A connection to a NIC that proved to have the key.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    session: Session,
}

/// What a NIC has been told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicPolicy {
    /// How many policy transactions it has taken since it was started.
    pub version: u64,
    /// The policy, as changes that say it to an empty one, and what the NIC knows of the network.
    pub changes: Vec<Change>,
}

impl Client {
    /// Connects to the NIC at this address: a name or an IP address, with or without a port.
    ///
    /// # Errors
    /// [`OffloadError`] if there is no NIC, or if it has another key.
    pub fn connect(nic: &str, key: &Key) -> Result<Self, OffloadError> {
        let unreachable = |error| OffloadError::Unreachable {
            nic: nic.to_owned(),
            error,
        };
        let greeting = Greeting::new(draw_nonce().map_err(unreachable)?);
        let (stream, answer) = greet_until_served(nic, &greeting).map_err(unreachable)?;
        let session = Session::of_host(key, &greeting, &answer)?;
        Ok(Self { stream, session })
    }

    /// The policy that the NIC has.
    ///
    /// # Errors
    /// [`OffloadError`].
    pub fn policy(&mut self) -> Result<NicPolicy, OffloadError> {
        let (version, changes) = self.read(List::Policy)?;
        Ok(NicPolicy { version, changes })
    }

    /// The counters of the NIC that are not zero.
    ///
    /// # Errors
    /// [`OffloadError`].
    pub fn counters(&mut self) -> Result<Vec<Count>, OffloadError> {
        Ok(self.read(List::Counters)?.1)
    }

    /// The frames that the NIC refused last, from the last on.
    ///
    /// # Errors
    /// [`OffloadError`].
    pub fn last_drops(&mut self) -> Result<Vec<LastDrop>, OffloadError> {
        Ok(self.read(List::LastDrops)?.1)
    }

    /// Has the NIC make changes to the policy of this version ready, and carry frames by the policy that it has meanwhile. Yields
    /// the version that they will make. What was prepared before is forgotten, and so is this if the connection ends.
    ///
    /// # Errors
    /// [`OffloadError`]; then nothing is prepared.
    pub fn prepare(&mut self, version: u64, changes: &[Change]) -> Result<u64, OffloadError> {
        self.ask(&Request::Begin { version }, |reply| match reply {
            Reply::Begun => Ok(()),
            Reply::Moved { version } => Err(OffloadError::Moved { version }),
            other => Err(refusal(&other, changes)),
        })?;
        for part in parts(changes) {
            self.ask(&Request::Changes(&part), |reply| match reply {
                Reply::Taken => Ok(()),
                other => Err(refusal(&other, changes)),
            })?;
        }
        self.ask(&Request::Prepare, |reply| match reply {
            Reply::Prepared { version } => Ok(version),
            other => Err(refusal(&other, changes)),
        })
    }

    /// Puts in force what was prepared, all of it at once. Yields the version that frames meet.
    ///
    /// # Errors
    /// [`OffloadError`].
    pub fn commit(&mut self) -> Result<u64, OffloadError> {
        let committed = self.ask(&Request::Commit, |reply| match reply {
            Reply::Committed { version } => Ok(version),
            other => Err(refusal(&other, &[])),
        });
        committed.map_err(|error| match error {
            OffloadError::Lost(error) => OffloadError::LostInCommit(error),
            OffloadError::Record(error) => OffloadError::LostInCommit(io::Error::other(error)),
            other => other,
        })
    }

    /// Prepares and commits.
    ///
    /// # Errors
    /// [`OffloadError`].
    pub fn push(&mut self, version: u64, changes: &[Change]) -> Result<u64, OffloadError> {
        self.prepare(version, changes)?;
        self.commit()
    }

    /// A whole list, all of it of one version of the policy.
    fn read<T: DeserializeOwned>(&mut self, list: List) -> Result<(u64, Vec<T>), OffloadError> {
        let mut attempt = 1;
        let (mut items, mut version, mut next) = (Vec::new(), None, Some(0));
        while let Some(from) = next {
            let (is_of, following) = self.ask(&Request::Read { list, from }, |reply| {
                let Reply::Items {
                    version,
                    items: part,
                    next,
                } = reply
                else {
                    return Err(refusal(&reply, &[]));
                };
                for item in Items::new(part) {
                    items.push(item.map_err(|_| RecordError::Malformed)?);
                }
                Ok((version, next))
            })?;
            next = following;
            if *version.get_or_insert(is_of) != is_of {
                if attempt == ATTEMPTS {
                    return Err(OffloadError::Moved { version: is_of });
                }
                attempt += 1;
                items.clear();
                (version, next) = (None, Some(0));
            }
        }
        Ok((version.unwrap_or_default(), items))
    }

    fn ask<R>(
        &mut self,
        request: &Request<'_>,
        look: impl FnOnce(Reply<'_>) -> Result<R, OffloadError>,
    ) -> Result<R, OffloadError> {
        let mut record = [0; MAX_RECORD];
        let sealed = self.session.seal(request, &mut record)?;
        self.stream.write_all(sealed).map_err(OffloadError::Lost)?;
        let (header, behind) = record.split_at_mut(HEADER_LEN);
        self.stream.read_exact(header).map_err(OffloadError::Lost)?;
        let length = length_behind([header[0], header[1]])?;
        let behind = &mut behind[..length];
        self.stream.read_exact(behind).map_err(OffloadError::Lost)?;
        look(self.session.open(&record[..HEADER_LEN + length])?)
    }
}

/// A NIC serves one connection at a time, and refuses others until it has seen the end of that.
fn greet_until_served(nic: &str, greeting: &Greeting) -> io::Result<(TcpStream, Answer)> {
    let mut attempt = 1;
    loop {
        match greet(nic, greeting) {
            Err(error) if is_busy(&error) && attempt < CONNECTIONS => attempt += 1,
            greeted => return greeted,
        }
        thread::sleep(PAUSE);
    }
}

fn is_busy(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}

fn greet(nic: &str, greeting: &Greeting) -> io::Result<(TcpStream, Answer)> {
    let mut stream = connect(nic)?;
    stream.write_all(greeting.as_bytes())?;
    let mut answer = [0; ANSWER_LEN];
    stream.read_exact(&mut answer)?;
    Ok((stream, Answer::received(answer)))
}

fn connect(nic: &str) -> io::Result<TcpStream> {
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses(nic)? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn addresses(nic: &str) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = nic.parse() {
        return Ok(vec![SocketAddr::new(address, PORT)]);
    }
    let with_port = nic.to_socket_addrs();
    let found = with_port.or_else(|_| (nic, PORT).to_socket_addrs());
    found.map(Iterator::collect)
}

fn draw_nonce() -> io::Result<Nonce> {
    let mut bytes = [0; 32];
    let drawn = getrandom(&mut bytes[..], GetRandomFlags::empty())?;
    // So few bytes come at once (getrandom(2)).
    debug_assert_eq!(drawn, 32);
    Ok(Nonce::new(bytes))
}

/// The changes in their encoding, as many whole ones in each part as fit into a record.
fn parts(mut changes: &[Change]) -> impl Iterator<Item = Vec<u8>> {
    const { assert!(MOST_CHANGES >= MAX_CHANGE_LENGTH) };
    std::iter::from_fn(move || {
        let mut room = [0; MOST_CHANGES];
        let mut writer = TransactionWriter::new(&mut room);
        while let [change, rest @ ..] = changes
            && writer.push(change).is_ok()
        {
            changes = rest;
        }
        let part = writer.finish();
        (!part.is_empty()).then(|| part.to_vec())
    })
}

/// What it means that a NIC answers this instead of what was expected.
fn refusal(reply: &Reply<'_>, changes: &[Change]) -> OffloadError {
    match *reply {
        Reply::Refused(Refused { change, why }) => OffloadError::Refused {
            change: changes.get(change).copied().map(Box::new),
            why,
        },
        other => OffloadError::Unexpected(format!("{other:?}")),
    }
}
