//! `netvirt top`

mod rates;
mod screen;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use netvirt_std::control::{Client, ClientError};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};

use super::{Failure, control};
use rates::{Rates, Snapshot, View};
use screen::Screen;

#[derive(Args)]
pub struct TopArgs {
    /// The switch's socket [default: the only one in /run/netvirt].
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// How long is measured, 0.1 to 3600 seconds.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,
    /// Measure once, and write all rates as text.
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("give a number of seconds from 0.1 to 3600".to_owned()),
    }
}

/// Shows how fast a switch works.
pub fn run(args: &TopArgs, out: &mut impl Write) -> Result<(), Failure> {
    let source = Source {
        client: control::client(args.control.as_deref())?,
        started: Instant::now(),
    };
    if args.once {
        return once(&source, args.interval, out);
    }
    if !io::stdout().is_terminal() {
        return Err(no_terminal("standard output is something else"));
    }
    let terminal = ratatui::try_init().map_err(|error| no_terminal(&error.to_string()))?;
    let done = watch(&source, args.interval, terminal);
    ratatui::restore();
    done
}

fn no_terminal(why: &str) -> Failure {
    Failure::Impossible(format!(
        "there is no terminal to draw on: {why}; --once writes text"
    ))
}

/// A switch, and a clock.
struct Source {
    client: Client,
    started: Instant,
}

impl Source {
    fn snapshot(&self) -> Result<Snapshot, ClientError> {
        let report = self.client.counters(&[])?;
        Ok(Snapshot {
            taken: self.started.elapsed(),
            report,
        })
    }
}

fn once(source: &Source, interval: Duration, out: &mut impl Write) -> Result<(), Failure> {
    let earlier = source.snapshot()?;
    thread::sleep(interval);
    let rates = Rates::between(&earlier, &source.snapshot()?);
    writeln!(out, "{}", rates.totals())?;
    for view in View::ALL {
        let table = rates.table(view, view.orders()[0]);
        write!(out, "\n{table}")?;
    }
    Ok(())
}

fn watch(
    source: &Source,
    interval: Duration,
    mut terminal: DefaultTerminal,
) -> Result<(), Failure> {
    let mut screen = Screen::new(source.client.socket().display().to_string());
    let mut due = Instant::now();
    while !screen.is_done() {
        if Instant::now() >= due {
            let heard = source.snapshot();
            screen.hear(heard.map_err(|error| error.to_string()));
            due = Instant::now() + interval;
        }
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(due.saturating_duration_since(Instant::now()))?
            && let Event::Key(key) = event::read()?
            && key.is_press()
        {
            screen.press(key);
        }
    }
    Ok(())
}
