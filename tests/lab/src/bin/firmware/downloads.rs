//! Downloads that must change nothing, each against a NIC that has a policy.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use netvirt_core::DomainId;
use netvirt_core::policy::{Change, TransactionWriter};
use netvirt_fw::download::{
    ANSWER_LEN, Answer, GREETING_LEN, Greeting, HEADER_LEN, Key, MAX_RECORD, Nonce, Reply, Request,
    Session, length_behind,
};

use crate::Outcome;
use crate::management::{KEY, Managed, host_of};

const POLICY: &str = "examples/two-hosts.toml";
/// How long the NIC may be silent. It only bounds how long a failure takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// With a wrong key, cut, too large, with too long a record, or replayed, also after a reset.
pub fn change_nothing(image: &str) -> Outcome {
    let nic = Managed::boot(image)?;
    nic.push(Path::new(POLICY), "host-1")?;
    let had = nic.policy()?;
    let unchanged = |what: &str| match nic.policy()? == had {
        true => Ok(()),
        false => Err(Box::<dyn Error>::from(format!(
            "{what} has changed the policy"
        ))),
    };
    another_key(&nic)?;
    unchanged("a host with another key")?;
    too_large(&nic)?;
    unchanged("a policy that is too large")?;
    Host::connect(&nic.address)?.say_but_commit()?;
    unchanged("a download that was cut")?;
    let mut long = Host::connect(&nic.address)?;
    long.send(&[0xff; HEADER_LEN])?;
    long.expect_end()?;
    unchanged("a record that is too long")?;

    let said = Host::connect(&nic.address)?.say_all()?;
    if nic.policy()? == had {
        return Err("a good download has changed nothing".into());
    }
    let had = nic.policy()?;
    replay(&nic, &said)?;
    if nic.policy()? != had {
        return Err("a download that was recorded has changed the policy".into());
    }
    nic.board.press_reset()?;
    nic.board.wait_for("management at")?;
    replay(&nic, &said)?;
    if nic.policy()? != (0.into(), serde_json::json!([])) {
        return Err("a download that was recorded has changed the policy after a reset".into());
    }
    println!("  downloads with another key, too large, cut, too long or recorded change nothing");
    Ok(())
}

fn another_key(nic: &Managed) -> Outcome {
    let key = nic.write("other.key", &"5a".repeat(32))?;
    expect_refusal(
        nic.offload("push", &key, &host_of(Path::new(POLICY), "host-1")),
        "the NIC has another key",
    )
}

fn too_large(nic: &Managed) -> Outcome {
    let mut policy = fs::read_to_string(POLICY)?;
    policy += "\n[[routing-domain]]\nname = \"many\"\n[[routing-domain.subnet]]\nvsid = 7001\n\
               prefixes = [\"10.7.0.0/16\"]\n[[vm]]\nname = \"one\"\nsubnet = 7001\nhost = \"host-1\"\n\
               mac = \"06:06:02:00:00:01\"\naddresses = [\"10.7.99.1\"]\n";
    for number in 0..5000 {
        let (high, low) = (number / 250, number % 250 + 2);
        write!(
            policy,
            "[[vm]]\nname = \"many-{number}\"\nsubnet = 7001\nhost = \"host-2\"\n\
             mac = \"06:06:01:00:{high:02x}:{low:02x}\"\naddresses = [\"10.7.{high}.{low}\"]\n"
        )?;
    }
    let policy = nic.write("large.toml", &policy)?;
    expect_refusal(
        nic.offload("push", &nic.key, &host_of(&policy, "host-1")),
        "no room in the table of lookup records",
    )
}

fn expect_refusal(outcome: Outcome<String>, expected: &str) -> Outcome {
    match outcome {
        Err(why) if why.to_string().contains(expected) => Ok(()),
        Err(why) => Err(format!("not refused as expected: {why}").into()),
        Ok(said) => Err(format!("not refused: {said}").into()),
    }
}

/// What one host said, said again by another.
fn replay(nic: &Managed, said: &[u8]) -> Outcome {
    let (greeting, records) = said.split_at(GREETING_LEN);
    let (stream, _) = greet(&nic.address, greeting)?;
    let mut host = Host {
        stream,
        session: None,
        said: vec![],
    };
    host.send(records)?;
    host.expect_end()
}

/// A host that keeps what it says.
struct Host {
    stream: TcpStream,
    session: Option<Session>,
    said: Vec<u8>,
}

impl Host {
    fn connect(address: &str) -> Outcome<Self> {
        let key = Key::from_hex(&fs::read(KEY)?).ok_or("the images' key is malformed")?;
        let greeting = Greeting::new(Nonce::new([7; 32]));
        let (stream, answer) = greet(address, greeting.as_bytes())?;
        let session = Session::of_host(&key, &greeting, &Answer::received(answer))?;
        Ok(Self {
            stream,
            session: Some(session),
            said: greeting.as_bytes().to_vec(),
        })
    }

    /// A whole transaction, and what was said for it.
    fn say_all(mut self) -> Outcome<Vec<u8>> {
        self.prepare()?;
        self.ask(&Request::Commit, |reply| {
            matches!(reply, Reply::Committed { .. })
        })?;
        Ok(self.said)
    }

    fn say_but_commit(mut self) -> Outcome {
        self.prepare()
    }

    fn prepare(&mut self) -> Outcome {
        let mut room = [0; 64];
        let mut writer = TransactionWriter::new(&mut room);
        writer.push(&Change::AddDomain(DomainId(7)))?;
        let version = 1;
        self.ask(&Request::Begin { version }, |reply| *reply == Reply::Begun)?;
        let changes = Request::Changes(writer.finish());
        self.ask(&changes, |reply| *reply == Reply::Taken)?;
        self.ask(&Request::Prepare, |reply| {
            matches!(reply, Reply::Prepared { .. })
        })
    }

    fn ask(&mut self, request: &Request<'_>, is_good: impl FnOnce(&Reply<'_>) -> bool) -> Outcome {
        let mut session = self.session.take().ok_or("no session")?;
        let mut record = [0; MAX_RECORD];
        self.send(session.seal(request, &mut record)?)?;
        self.hear(&mut record[..HEADER_LEN])?;
        let end = HEADER_LEN + length_behind([record[0], record[1]])?;
        self.hear(&mut record[HEADER_LEN..end])?;
        let reply: Reply<'_> = session.open(&record[..end])?;
        let is_expected = is_good(&reply);
        let said = format!("to {request:?} the NIC said {reply:?}");
        self.session = Some(session);
        is_expected.then_some(()).ok_or_else(|| said.into())
    }

    fn send(&mut self, bytes: &[u8]) -> Outcome {
        self.said.extend(bytes);
        Ok(self.stream.write_all(bytes)?)
    }

    fn hear(&mut self, bytes: &mut [u8]) -> Outcome {
        Ok(self.stream.read_exact(bytes)?)
    }

    /// The NIC ends the connection without a word.
    fn expect_end(mut self) -> Outcome {
        let mut rest = vec![];
        match self.stream.read_to_end(&mut rest) {
            Ok(0) => Ok(()),
            Ok(_) => Err(format!("the NIC said {rest:02x?}").into()),
            // What was sent behind the end is refused.
            Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

/// A connection that the NIC answers. It serves one at a time, and refuses others until it has seen the end of that.
fn greet(address: &str, greeting: &[u8]) -> Outcome<(TcpStream, [u8; ANSWER_LEN])> {
    let begun = Instant::now();
    loop {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answer = [0; ANSWER_LEN];
        let answered = stream.write_all(greeting);
        match answered.and_then(|()| stream.read_exact(&mut answer)) {
            Ok(()) => return Ok((stream, answer)),
            Err(why) if begun.elapsed() > PATIENCE => return Err(why.into()),
            Err(_) => {}
        }
    }
}
