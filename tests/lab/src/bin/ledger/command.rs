//! What is asked on standard input.

use std::collections::VecDeque;
use std::io;

/// A line of standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Mark { name: String, may_lose: bool },
    Run(u64),
    Pause(String),
    Resume(String),
    Stop,
}

impl Command {
    fn parse(line: &str) -> Result<Self, String> {
        let words: Vec<_> = line.split_whitespace().collect();
        Ok(match words[..] {
            ["mark", name] => Self::Mark {
                name: name.into(),
                may_lose: false,
            },
            ["mark", name, "may-lose"] => Self::Mark {
                name: name.into(),
                may_lose: true,
            },
            ["run", rounds] => Self::Run(
                rounds
                    .parse()
                    .map_err(|error| format!("{rounds}: {error}"))?,
            ),
            ["pause", flow] => Self::Pause(flow.into()),
            ["resume", flow] => Self::Resume(flow.into()),
            ["stop"] => Self::Stop,
            _ => {
                return Err(
                    "mark NAME [may-lose], run ROUNDS, pause FLOW, resume FLOW, or stop".into(),
                );
            }
        })
    }
}

/// Lines of standard input that are not yet carried out.
#[derive(Debug, Default)]
pub struct Commands {
    incomplete: Vec<u8>,
    lines: VecDeque<String>,
    is_closed: bool,
}

impl Commands {
    /// Reads what is there; call it when standard input is readable.
    pub fn fetch(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = rustix::io::read(io::stdin(), &mut buffer)?;
        self.is_closed |= count == 0;
        self.incomplete.extend_from_slice(&buffer[..count]);
        while let Some(end) = self.incomplete.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.incomplete.drain(..=end).collect();
            self.lines
                .push_back(String::from_utf8_lossy(&line).trim().to_owned());
        }
        Ok(())
    }

    /// Whether nothing more will come.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// The next line, and what it means.
    pub fn next(&mut self) -> Option<(String, Result<Command, String>)> {
        let line = self.lines.pop_front()?;
        let command = Command::parse(&line);
        Some((line, command))
    }
}
