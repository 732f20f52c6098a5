//! Whoever has not the key, or alters what those say who have it, changes nothing.

use embedded_io_async::{Read, Write};
use netvirt_core::DomainId;
use netvirt_core::policy::Change;
use netvirt_fw::download::*;

use crate::host::{Host, KEY, Nic, OTHER_KEY};
use crate::pipe::{connection, run};
use crate::support::*;

/// A transaction as one host said it to one NIC: the greeting, and each record.
fn recorded(nic: &Nic) -> Vec<Vec<u8>> {
    let sent = nic.meet(async |host| {
        host.push(nic.version(), &[Change::AddDomain(DomainId(3))])
            .await;
        host.connection.sent()
    });
    let (greeting, mut rest) = sent.split_at(GREETING_LEN);
    let mut parts = vec![greeting.to_vec()];
    while let &[high, low, ..] = rest {
        let behind = length_behind([high, low]).unwrap();
        let (record, others) = rest.split_at(HEADER_LEN + behind);
        parts.push(record.to_vec());
        rest = others;
    }
    assert_eq!(parts.len(), 5);
    parts
}

/// What a host says to `nic`, record by record, without waiting for replies. The last one is a commit.
#[track_caller]
fn say(
    nic: &Nic,
    spoil: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Result<(), Ended<std::convert::Infallible>> {
    let changes = tx(&[Change::AddDomain(DomainId(3))]);
    let (_, ended) = nic.try_to_meet(async |host| {
        let requests = [
            Request::Begin {
                version: nic.version(),
            },
            Request::Changes(&changes),
            Request::Prepare,
            Request::Commit,
        ];
        let mut records = requests.map(|request| host.seal(&request)).to_vec();
        spoil(&mut records);
        host.connection.write_all(&records.concat()).await.unwrap();
    });
    ended
}

const NOT_AUTHENTIC: Result<(), Ended<std::convert::Infallible>> =
    Err(Ended::Record(RecordError::NotAuthentic));

#[test]
fn what_is_said_without_waiting_is_done() {
    let nic = Nic::with_policy(&two_hosts());
    assert_eq!(say(&nic, |_| {}), Ok(()));
    assert_eq!(nic.version(), 2);
}

#[test]
fn a_host_learns_that_a_nic_has_another_key() {
    let nic = Nic::with_policy(&two_hosts());
    let [near, far] = connection();
    let (connected, ended) = run(Host::connect(near, &OTHER_KEY), nic.serve(far));
    assert_eq!(connected.map(|_| ()), Err(HandshakeError::NotAuthentic));
    assert_eq!(ended, Ok(()), "the host hung up");
}

#[test]
fn a_host_with_another_key_changes_and_reads_nothing() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    for request in [
        Request::Begin { version: 1 },
        Request::Commit,
        Request::Read {
            list: List::Policy,
            from: 0,
        },
    ] {
        let [mut near, far] = connection();
        let impostor = async {
            let greeting = Greeting::new(Nonce::new([7; 32]));
            near.write_all(greeting.as_bytes()).await.unwrap();
            let mut answer = [0; ANSWER_LEN];
            near.read_exact(&mut answer).await.unwrap();
            // As the NIC would seem to one who takes its answer for good.
            let (forged, _) = Session::of_nic(&OTHER_KEY, &greeting, nonce_of(&answer));
            let mut session = Session::of_host(&OTHER_KEY, &greeting, &forged).unwrap();
            let mut record = [0; MAX_RECORD];
            let sealed = session.seal(&request, &mut record).unwrap();
            near.write_all(sealed).await.unwrap();
            near.read(&mut answer).await.unwrap()
        };
        let (heard, ended) = run(impostor, nic.serve(far));
        assert_eq!((heard, ended), (0, NOT_AUTHENTIC));
    }
    assert_eq!(nic.dump(), before);
}

fn nonce_of(answer: &[u8; ANSWER_LEN]) -> Nonce {
    Nonce::new(answer[8..40].try_into().unwrap())
}

#[test]
fn an_answer_that_was_altered_is_not_taken() {
    let greeting = Greeting::new(Nonce::new([7; 32]));
    let (answer, session) = Session::of_nic(&KEY, &greeting, Nonce::new([8; 32]));
    session.unwrap();
    for place in 0..ANSWER_LEN {
        let mut altered = *answer.as_bytes();
        altered[place] ^= 1;
        let expected = match place {
            0..7 => HandshakeError::NotNetvirt,
            7 => HandshakeError::Version(VERSION ^ 1),
            _ => HandshakeError::NotAuthentic,
        };
        let met = Session::of_host(&KEY, &greeting, &Answer::received(altered));
        assert_eq!(met.map(|_| ()), Err(expected));
    }
}

#[test]
fn what_was_recorded_is_of_no_use_later_nor_after_a_restart() {
    let nic = Nic::with_policy(&two_hosts());
    let said = recorded(&nic);
    let before = nic.dump();
    assert_eq!(nic.receive(&said.concat()), NOT_AUTHENTIC);
    assert_eq!(nic.dump(), before);
    let restarted = Nic::started(2);
    restarted
        .with(|nve| apply(&mut nve.policies, &two_hosts()))
        .unwrap();
    let before = restarted.dump();
    assert_eq!(restarted.receive(&said.concat()), NOT_AUTHENTIC);
    assert_eq!(restarted.dump(), before);
}

#[test]
fn records_that_are_left_out_doubled_or_exchanged_are_not_believed() {
    for (first, second) in (0..4).flat_map(|first| (0..4).map(move |second| (first, second))) {
        let nic = Nic::with_policy(&two_hosts());
        let doubled = say(&nic, |records| {
            let again = records[second].clone();
            records.insert(first, again);
        });
        assert_eq!(doubled, NOT_AUTHENTIC);
        if first != second {
            let exchanged = say(&nic, |records| records.swap(first, second));
            assert_eq!(exchanged, NOT_AUTHENTIC);
        }
        if first < 3 {
            let left_out = say(&nic, |records| drop(records.remove(first)));
            assert_eq!(left_out, NOT_AUTHENTIC);
        }
        // A commit that comes twice was one before.
        assert_eq!(nic.version(), 1 + u64::from((first, second) == (3, 3)));
    }
}

#[test]
fn a_bit_that_was_altered_anywhere_ends_the_connection() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    let mut length = 0;
    say(&nic, |records| {
        length = records.concat().len();
        records.clear();
    })
    .unwrap();
    for place in 0..length {
        let ended = say(&nic, |records| {
            let mut bytes = records.concat();
            bytes[place] ^= 1;
            *records = vec![bytes];
        });
        assert!(ended.is_err(), "byte {place}");
        assert_eq!(nic.dump(), before, "byte {place}");
    }
}

#[test]
fn a_connection_that_is_cut_anywhere_changes_nothing_before_its_last_byte() {
    let nic = Nic::with_policy(&two_hosts());
    let before = nic.dump();
    let mut boundaries = vec![];
    say(&nic, |records| {
        let lengths = records.iter().map(Vec::len);
        boundaries = lengths
            .scan(0, |end, length| Some(std::mem::replace(end, *end + length)))
            .collect();
        boundaries.push(records.concat().len());
        records.clear();
    })
    .unwrap();
    let whole = boundaries.pop().unwrap();
    for length in 0..whole {
        let ended = say(&nic, |records| {
            let mut bytes = records.concat();
            bytes.truncate(length);
            *records = vec![bytes];
        });
        let expected = match boundaries.contains(&length) {
            true => Ok(()),
            false => Err(Ended::Cut),
        };
        assert_eq!(ended, expected, "after {length} bytes");
        assert_eq!(nic.dump(), before, "after {length} bytes");
    }
    for length in 0..GREETING_LEN {
        let greeting = Greeting::new(Nonce::new([7; 32]));
        let cut = &greeting.as_bytes()[..length];
        assert_eq!(nic.receive(cut), Err(Ended::Cut));
    }
}

#[test]
fn a_record_that_is_too_long_is_not_even_read() {
    let nic = Nic::with_policy(&two_hosts());
    for length in [MAX_BODY as u16 + 1, u16::MAX] {
        let ended = say(&nic, |records| {
            *records = vec![length.to_be_bytes().to_vec()]
        });
        assert_eq!(ended, Err(Ended::Record(RecordError::Oversized)));
    }
    assert_eq!(nic.version(), 1);
}

#[test]
fn a_body_that_is_no_request_is_not_understood() {
    let nic = Nic::with_policy(&two_hosts());
    // Too much behind a request, and the number of none.
    for body in [&[3_u8, 0][..], &[99], &[]] {
        let (_, ended) = nic.try_to_meet(async |host| {
            let mut record = [0; MAX_RECORD];
            let sealed = host.session.seal(&Bytes(body), &mut record).unwrap();
            host.connection.write_all(sealed).await.unwrap();
        });
        assert_eq!(ended, Err(Ended::Record(RecordError::Malformed)));
    }
}

/// Bytes without their length in front.
struct Bytes<'a>(&'a [u8]);

impl serde::Serialize for Bytes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0
            .iter()
            .try_for_each(|byte| tuple.serialize_element(byte))?;
        tuple.end()
    }
}

#[test]
fn another_version_learns_which_one_this_is() {
    let nic = Nic::with_policy(&two_hosts());
    for (place, expected) in [
        (7, HandshakeError::Version(VERSION ^ 1)),
        (0, HandshakeError::NotNetvirt),
    ] {
        let mut greeting = *Greeting::new(Nonce::new([7; 32])).as_bytes();
        greeting[place] ^= 1;
        let [mut near, far] = connection();
        let other = async {
            near.write_all(&greeting).await.unwrap();
            let mut answer = [0; ANSWER_LEN];
            near.read_exact(&mut answer).await.unwrap();
            answer
        };
        let (answer, ended) = run(other, nic.serve(far));
        assert_eq!(ended, Err(Ended::Handshake(expected)));
        assert_eq!((&answer[..7], answer[7]), (&b"netvirt"[..], VERSION));
    }
}

#[test]
fn no_two_nonces_are_the_same() {
    let drawn = |seed| {
        let mut nonces = Nonces::new([seed; 32]);
        std::iter::repeat_with(move || nonces.draw()).take(100)
    };
    let nonces: Vec<_> = drawn(1).chain(drawn(2)).collect();
    for (number, nonce) in nonces.iter().enumerate() {
        assert!(!nonces[..number].contains(nonce));
    }
}
