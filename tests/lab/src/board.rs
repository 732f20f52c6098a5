//! A firmware image that runs under QEMU: its log, its cables, and the hand at its switches.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long something may take before it is said to be missing. It only bounds how long a failure takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of the longest frame that a cable carries.
const LONGEST_FRAME: usize = 64 << 10;

/// A running image. It ends when this is dropped.
pub struct Board {
    image: String,
    qemu: Child,
    log: Receiver<String>,
    directory: Directory,
}

/// The cables of a board that is not switched on yet.
pub struct Socket {
    image: String,
    directory: Directory,
}

impl Socket {
    /// A place for a board.
    ///
    /// # Errors
    /// If no directory can be made.
    pub fn new(image: &str) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("netvirt-{}-{number}", process::id());
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self {
            image: image.into(),
            directory: Directory(path),
        })
    }

    /// The cable to one side of the board: `host` or `wire`.
    ///
    /// # Errors
    /// If there is one already.
    pub fn cable(&self, side: &str) -> io::Result<Cable> {
        let near = self.directory.0.join(side);
        let socket = UnixDatagram::bind(&near)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Cable {
            socket,
            far: near.with_extension("nic"),
            name: format!("{} of {}", side, self.image),
        })
    }

    /// A file beside the cables.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    /// Switches the board on, with further options for QEMU.
    ///
    /// # Errors
    /// If QEMU cannot be started.
    pub fn boot(self, options: &[&str]) -> io::Result<Board> {
        self.run(&[], options)
    }

    /// The same, and its management address can be reached at this port of the loopback.
    ///
    /// # Errors
    /// If QEMU cannot be started.
    pub fn boot_managed(self, port: u16) -> io::Result<Board> {
        self.run(&["--manage", &port.to_string()], &[])
    }

    fn run(self, before: &[&str], options: &[&str]) -> io::Result<Board> {
        let mut qemu = Command::new("netvirt-fw/images/run")
            .args(before)
            .arg(&self.image)
            .arg(&self.directory.0)
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = qemu.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (lines, log) = mpsc::channel();
        let image = self.image.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                println!("    {image}: {line}");
                if lines.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Board {
            image: self.image,
            qemu,
            log,
            directory: self.directory,
        })
    }
}

impl Board {
    /// Waits for a line of the log that holds a text, behind the line that was last waited for.
    ///
    /// # Errors
    /// If it does not come, or the board ends.
    pub fn wait_for(&self, text: &str) -> io::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) if !left.is_zero() => {}
                Ok(_) | Err(RecvTimeoutError::Timeout) => return Err(missing(text)),
                Err(RecvTimeoutError::Disconnected) => {
                    let why = format!("the board ended before its log said `{text}`");
                    return Err(io::Error::other(why));
                }
            }
        }
    }

    /// Plugs a cable in or out.
    ///
    /// # Errors
    /// If QEMU does not do it.
    pub fn plug(&self, side: &str, is_in: bool) -> io::Result<()> {
        self.command("set_link", json!({ "name": side, "up": is_in }))
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// If QEMU does not do it.
    pub fn press_reset(&self) -> io::Result<()> {
        self.command("system_reset", json!({}))
    }

    /// Bytes of the stack that nothing was ever written to: memory is all zero when QEMU starts. None if the image does not say
    /// where its stack lies.
    ///
    /// # Errors
    /// If QEMU does not show it.
    pub fn stack_left(&self) -> io::Result<Option<usize>> {
        let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
        let place = Path::new(&target)
            .join("images")
            .join(&self.image)
            .with_extension("stack");
        let place = fs::read_to_string(place)?;
        let Some((address, bytes)) = place.trim().split_once(' ') else {
            return Ok(None);
        };
        let number = |text: &str| text.parse::<u64>().map_err(io::Error::other);
        let copy = self.directory.0.join("stack");
        let what = json!({ "val": number(address)?, "size": number(bytes)?, "filename": copy });
        self.command("pmemsave", what)?;
        let stack = fs::read(copy)?;
        let left = stack.iter().take_while(|byte| **byte == 0);
        Ok(Some(left.count()))
    }

    /// Waits until the board has switched itself off.
    ///
    /// # Errors
    /// If it did not end as it should.
    pub fn wait_for_end(mut self) -> io::Result<()> {
        let status = self.qemu.wait()?;
        match status.success() {
            true => Ok(()),
            false => Err(io::Error::other(format!("QEMU ended with {status}"))),
        }
    }

    /// Has QEMU do something by its machine protocol.
    fn command(&self, name: &str, arguments: Value) -> io::Result<()> {
        let mut stream = UnixStream::connect(self.directory.0.join("qmp"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        for command in [
            json!({ "execute": "qmp_capabilities" }),
            json!({ "execute": name, "arguments": arguments }),
        ] {
            writeln!(stream, "{command}")?;
            loop {
                let line = lines.next().ok_or_else(|| missing("QEMU's answer"))??;
                let answer: Value = serde_json::from_str(&line)?;
                if answer.get("return").is_some() {
                    break;
                }
                if let Some(why) = answer.get("error") {
                    return Err(io::Error::other(format!("{name}: {why}")));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A cable, at whose near end this program is.
pub struct Cable {
    socket: UnixDatagram,
    far: PathBuf,
    name: String,
}

impl Cable {
    /// Sends a frame to the board.
    ///
    /// # Errors
    /// If the board does not take it.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(frame, &self.far);
        sent.map(drop).map_err(|why| self.explain("takes", &why))
    }

    /// Waits for a frame from the board.
    ///
    /// # Errors
    /// If none comes.
    pub fn receive(&self) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; LONGEST_FRAME];
        let length = self.socket.recv(&mut frame);
        frame.truncate(length.map_err(|why| self.explain("sends", &why))?);
        Ok(frame)
    }

    fn explain(&self, does: &str, why: &io::Error) -> io::Error {
        io::Error::other(format!("the {} {does} no frame: {why}", self.name))
    }
}

/// A directory that is removed with everything in it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        let _ = fs::remove_dir_all(path);
    }
}

fn missing(what: &str) -> io::Error {
    let why = format!("`{what}` is missing after {} s", PATIENCE.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, why)
}
