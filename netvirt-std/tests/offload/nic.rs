//! A NIC's management end, on the loopback.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use embassy_futures::block_on;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use netvirt_core::policy::{Change, Policy};
use netvirt_core::table::Seed;
use netvirt_fw::download::{Key, Nonces, serve};
use netvirt_fw::nve::{Nve, Storage256};
use tempfile::TempDir;

pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A NIC that serves connections one after another, on a thread of its own.
pub struct Nic {
    pub address: SocketAddr,
    directory: TempDir,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut Nve<'static>) + Send>;

impl Nic {
    pub fn start() -> Self {
        Self::start_that_hangs_up_after(usize::MAX)
    }

    /// One whose connections end after so many bytes to the host.
    pub fn start_that_hangs_up_after(bytes: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (jobs, inbox) = mpsc::channel();
        let thread = thread::spawn(move || work(&listener, &inbox, bytes));
        let nic = Self {
            address,
            directory: tempfile::tempdir().unwrap(),
            jobs: Some(jobs),
            thread: Some(thread),
        };
        nic.write_key("nic.key", KEY, 0o600);
        nic
    }

    /// A file beside the NIC's key.
    pub fn write_key(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    pub fn key_file(&self) -> PathBuf {
        self.directory.path().join("nic.key")
    }

    /// Does something with the edge, between two connections.
    pub fn with<R: Send + 'static>(
        &self,
        action: impl FnOnce(&mut Nve<'static>) -> R + Send + 'static,
    ) -> R {
        let (tell, told) = mpsc::channel();
        let job: Job = Box::new(move |nve| tell.send(action(nve)).unwrap());
        self.jobs.as_ref().unwrap().send(job).unwrap();
        // Somebody has to knock.
        drop(TcpStream::connect(self.address).unwrap());
        told.recv().unwrap()
    }

    pub fn version(&self) -> u64 {
        self.with(|nve| nve.policies.live().version())
    }

    pub fn policy(&self) -> Vec<Change> {
        self.with(|nve| Policy::changes(nve.policies.live()).collect())
    }
}

impl Drop for Nic {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(listener: &TcpListener, inbox: &mpsc::Receiver<Job>, most: usize) {
    let storage = Box::leak(Box::new(Storage256::new()));
    let nve = Mutex::<NoopRawMutex, _>::new(RefCell::new(storage.nve(Seed::new(1, 2))));
    let key = Key::new(std::array::from_fn(|number| number as u8));
    let mut nonces = Nonces::new([7; 32]);
    for stream in listener.incoming() {
        let mut connection = Connection {
            stream: stream.unwrap(),
            left: most,
        };
        loop {
            match inbox.try_recv() {
                Ok(job) => nve.lock(|nve| job(&mut nve.borrow_mut())),
                Err(mpsc::TryRecvError::Empty) => break,
                Err(mpsc::TryRecvError::Disconnected) => return,
            }
        }
        // What becomes of it the host is asked.
        let _ = block_on(serve(&mut connection, &nve, &key, nonces.draw()));
        let _ = connection.stream.shutdown(Shutdown::Both);
    }
}

/// A connection whose reads and writes wait.
struct Connection {
    stream: TcpStream,
    /// Bytes that are sent before it hangs up.
    left: usize,
}

impl ErrorType for Connection {
    type Error = ErrorKind;
}

impl Read for Connection {
    async fn read(&mut self, room: &mut [u8]) -> Result<usize, ErrorKind> {
        self.stream.read(room).map_err(|error| error.kind().into())
    }
}

impl Write for Connection {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        let sent = &bytes[..bytes.len().min(self.left)];
        if sent.is_empty() {
            return Err(ErrorKind::BrokenPipe);
        }
        self.left -= sent.len();
        self.stream.write(sent).map_err(|error| error.kind().into())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
