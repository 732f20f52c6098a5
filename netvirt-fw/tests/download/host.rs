//! The host's end of a download, and the NIC's.

use std::cell::RefCell;
use std::convert::Infallible;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_io_async::{Read, Write};
use netvirt_core::policy::{Change, Policy};
use netvirt_core::table::Seed;
use netvirt_fw::download::*;
use netvirt_fw::nve::{Nve, Storage256};
use serde::de::DeserializeOwned;

use crate::pipe::{End, connection, run};
use crate::support::*;

pub const KEY: Key = Key::new(*b"a key that is known to both ends");
pub const OTHER_KEY: Key = Key::new(*b"a key that is known to one alone");

/// A NIC's edge, and what it draws its nonces from.
pub struct Nic {
    pub nve: Mutex<NoopRawMutex, RefCell<Nve<'static>>>,
    nonces: RefCell<Nonces>,
}

impl Nic {
    /// A NIC that was just started, this number of times.
    pub fn started(times: u8) -> Self {
        let storage = Box::leak(Box::new(Storage256::new()));
        Self {
            nve: Mutex::new(RefCell::new(storage.nve(Seed::new(1, 2)))),
            nonces: RefCell::new(Nonces::new([times; 32])),
        }
    }

    pub fn with_policy(changes: &[Change]) -> Self {
        let nic = Self::started(1);
        nic.with(|nve| apply(&mut nve.policies, changes)).unwrap();
        nic
    }

    pub fn with<R>(&self, action: impl FnOnce(&mut Nve<'static>) -> R) -> R {
        self.nve.lock(|nve| action(&mut nve.borrow_mut()))
    }

    pub fn policy<R>(&self, action: impl FnOnce(&Policy<'static>) -> R) -> R {
        self.with(|nve| action(nve.policies.live()))
    }

    pub fn version(&self) -> u64 {
        self.policy(Policy::version)
    }

    /// Both copies of the policy, which are the same.
    pub fn dump(&self) -> Dump {
        self.with(|nve| Dump::of_both(&mut nve.policies))
    }

    pub async fn serve(&self, mut connection: End) -> Result<(), Ended<Infallible>> {
        let nonce = self.nonces.borrow_mut().draw();
        serve(&mut connection, &self.nve, &KEY, nonce).await
    }

    /// Runs a host that has the right key against this NIC.
    #[track_caller]
    pub fn meet<R>(&self, host: impl AsyncFnOnce(&mut Host) -> R) -> R {
        let (result, ended) = self.try_to_meet(host);
        assert_eq!(ended, Ok(()));
        result
    }

    #[track_caller]
    pub fn try_to_meet<R>(
        &self,
        host: impl AsyncFnOnce(&mut Host) -> R,
    ) -> (R, Result<(), Ended<Infallible>>) {
        let [near, far] = connection();
        let host = async {
            let mut end = Host::connect(near, &KEY).await.unwrap();
            host(&mut end).await
        };
        run(host, self.serve(far))
    }

    /// Sends bytes to this NIC as they are, and closes the connection.
    #[track_caller]
    pub fn receive(&self, bytes: &[u8]) -> Result<(), Ended<Infallible>> {
        let [mut near, far] = connection();
        let ((), ended) = run(
            async move { near.write_all(bytes).await.unwrap() },
            self.serve(far),
        );
        ended
    }
}

/// The host's end.
pub struct Host {
    pub connection: End,
    pub session: Session,
}

impl Host {
    pub async fn connect(mut connection: End, key: &Key) -> Result<Self, HandshakeError> {
        let greeting = Greeting::new(Nonce::new([7; 32]));
        connection.write_all(greeting.as_bytes()).await.unwrap();
        let mut answer = [0; ANSWER_LEN];
        connection.read_exact(&mut answer).await.unwrap();
        let session = Session::of_host(key, &greeting, &Answer::received(answer))?;
        Ok(Self {
            connection,
            session,
        })
    }

    pub fn seal(&mut self, request: &Request<'_>) -> Vec<u8> {
        let mut record = [0; MAX_RECORD];
        self.session.seal(request, &mut record).unwrap().to_vec()
    }

    /// Asks, and hands the answer to `look`.
    pub async fn ask<R>(&mut self, request: &Request<'_>, look: impl FnOnce(Reply<'_>) -> R) -> R {
        let sealed = self.seal(request);
        self.connection.write_all(&sealed).await.unwrap();
        let mut record = vec![0; HEADER_LEN];
        self.connection.read_exact(&mut record).await.unwrap();
        let behind = length_behind([record[0], record[1]]).unwrap();
        record.resize(HEADER_LEN + behind, 0);
        let rest = &mut record[HEADER_LEN..];
        self.connection.read_exact(rest).await.unwrap();
        look(self.session.open(&record).unwrap())
    }

    /// Asks, and expects this answer.
    pub async fn expect(&mut self, request: Request<'_>, expected: Reply<'_>) {
        self.ask(&request, |reply| assert_eq!(reply, expected))
            .await;
    }

    /// A whole transaction, a change a record, on the version that is given.
    pub async fn push(&mut self, version: u64, changes: &[Change]) {
        self.expect(Request::Begin { version }, Reply::Begun).await;
        for change in changes {
            self.expect(Request::Changes(&tx(&[*change])), Reply::Taken)
                .await;
        }
        let version = version + 1;
        self.expect(Request::Prepare, Reply::Prepared { version })
            .await;
        self.expect(Request::Commit, Reply::Committed { version })
            .await;
    }

    /// A whole list, and how many parts it came in.
    pub async fn read<T: DeserializeOwned>(&mut self, list: List) -> (Vec<T>, usize) {
        let (mut all, mut parts, mut next) = (vec![], 0, Some(0));
        while let Some(from) = next {
            next = self
                .ask(&Request::Read { list, from }, |reply| match reply {
                    Reply::Items { items, next, .. } => {
                        all.extend(Items::<T>::new(items).map(Result::unwrap));
                        next
                    }
                    other => panic!("{other:?}"),
                })
                .await;
            assert!(next.is_none_or(|next| next as usize == all.len()));
            parts += 1;
        }
        (all, parts)
    }
}
