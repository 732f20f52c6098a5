//! What becomes of the captured frames, in words and bytes.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, iter};

use netvirt_core::wire;
use netvirt_std::capture::CaptureReader;
use serde_json::Value;

use crate::ROOM;
use crate::networks::packets::checksum;
use crate::support::{bytes, netvirt, replay, replay_arguments};

/// Bytes of a frame that are shown; of the others their number and their checksum.
const SHOWN: usize = 192;

/// A frame of a capture: when, what it shows, and itself.
type Taken = (u64, String, Vec<u8>);

/// The story of one section: each host, and where it matters a tolerant one too.
pub fn of(section: &str) -> String {
    let rows = sentences();
    let mut story = String::new();
    let strict = Path::new(ROOM).join("network.toml");
    let text = fs::read_to_string(&strict).unwrap();
    let room = tempfile::tempdir().unwrap();
    let tolerant = room.path().join("network.toml");
    fs::write(
        &tolerant,
        text.replace("reception = \"strict\"", "reception = \"tolerant\""),
    )
    .unwrap();
    for (host, captures) in captures(section) {
        tell(&mut story, &rows, &strict, &host, &captures, "");
        if section == "1.5" {
            tell(&mut story, &rows, &tolerant, &host, &captures, ", tolerant");
        }
    }
    story
}

/// The sentence of each row.
fn sentences() -> BTreeMap<String, String> {
    let text = fs::read_to_string(Path::new(ROOM).join("rows.txt")).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    rows.map(|row| {
        let (id, sentence) = row.split_once(' ').unwrap();
        let sentence = sentence.trim();
        // What is for later may have frames already.
        let sentence = match sentence.strip_prefix("[later: ") {
            Some(marked) => marked.split_once("] ").unwrap().1,
            None => sentence,
        };
        (id.to_owned(), sentence.to_owned())
    })
    .collect()
}

/// The captures of a section by host: port and file.
fn captures(section: &str) -> BTreeMap<String, Vec<(String, PathBuf)>> {
    let mut hosts: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(ROOM).join(section))
        .unwrap_or_else(|error| panic!("{section}: {error}; UPDATE=1 writes it"))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let (host, port) = name.split_once('.').unwrap();
        let captures = hosts.entry(host.to_owned()).or_default();
        captures.push((port.to_owned(), file));
    }
    hosts
}

fn tell(
    story: &mut String,
    rows: &BTreeMap<String, String>,
    policy: &Path,
    host: &str,
    captures: &[(String, PathBuf)],
    note: &str,
) {
    let mut taken: Vec<Taken> = captures
        .iter()
        .flat_map(|(_, file)| CaptureReader::open(file).unwrap())
        .map(|frame| frame.unwrap())
        .map(|frame| (frame.timestamp, frame.comment.unwrap(), frame.bytes))
        .collect();
    taken.sort();
    let inputs: Vec<String> = captures
        .iter()
        .map(|(port, file)| format!("{port}={}", file.display()))
        .collect();
    let lines = replay(policy, host, &inputs);
    writeln!(story, "{:=<100}", format!("== {host}{note} ")).unwrap();
    let before = iter::once("").chain(taken.iter().map(|(_, row, _)| row.as_str()));
    for ((line, (_, row, frame)), before) in lines.iter().zip(&taken).zip(before) {
        if row != before {
            writeln!(story, "\n{row}: {}", rows[row]).unwrap();
        }
        paragraph(story, line, frame);
    }
    let people = netvirt(replay_arguments(policy.to_str().unwrap(), host, &inputs)).good();
    let counted = people.split_once("\n\n").unwrap().1;
    writeln!(story, "\n{counted}").unwrap();
}

/// One frame: where it came in, what was decided, what left.
fn paragraph(story: &mut String, line: &Value, frame: &[u8]) {
    let word = |key: &str| line[key].as_str();
    let why = word("reason").or(word("punt"));
    let why = why.map_or(String::new(), |why| format!(" ({why})"));
    let vsid = line["vsid"].as_u64();
    let vsid = vsid.map_or(String::new(), |vsid| format!(" in VSID {vsid}"));
    writeln!(story, "\n  {}{why}{vsid}", word("verdict").unwrap()).unwrap();
    show(story, "from", word("port").unwrap(), frame);
    for out in line["out"].as_array().unwrap() {
        let frame = bytes(out["frame"].as_str().unwrap());
        show(story, "to", out["port"].as_str().unwrap(), &frame);
    }
}

fn show(story: &mut String, way: &str, port: &str, frame: &[u8]) {
    writeln!(
        story,
        "    {way:<4} {port}: {}",
        summary(frame, 0, frame.len())
    )
    .unwrap();
    let (shown, rest) = frame.split_at(frame.len().min(SHOWN));
    for bytes in shown.chunks(32) {
        let digits: Vec<String> = bytes
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        writeln!(story, "         {}", digits.join(" ")).unwrap();
    }
    if !rest.is_empty() {
        let (count, sum) = (rest.len(), checksum(rest));
        writeln!(
            story,
            "         and {count} bytes with the checksum {sum:04x}"
        )
        .unwrap();
    }
}

/// The packet in words, and the one inside a tunnel.
fn summary(frame: &[u8], offset: usize, end: usize) -> String {
    let Ok(facts) = wire::parse(frame, end, offset) else {
        return "not to be read".to_owned();
    };
    let packet = frame.get(..facts.end as usize).unwrap_or(frame);
    let gre = wire::read_gre(packet, usize::from(facts.transport_offset));
    match gre {
        Ok(gre) if facts.protocol == 47 && offset == 0 => {
            let key = gre.key.unwrap_or(0);
            let inner = summary(frame, gre.payload_offset, packet.len());
            format!("{facts}, VSID {}, inside {inner}", key >> 8)
        }
        _ => facts.to_string(),
    }
}
