//! What is on the screen, and what keys do to it.

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::Paragraph;

use super::rates::{Rates, Snapshot, View};

/// What is looked at, and what is known.
#[derive(Debug)]
pub struct Screen {
    socket: String,
    view: usize,
    /// By which of its orders each view is sorted.
    orders: [usize; View::ALL.len()],
    last: Option<Snapshot>,
    rates: Option<Rates>,
    trouble: Option<String>,
    is_done: bool,
}

impl Screen {
    pub fn new(socket: String) -> Self {
        Self {
            socket,
            view: 0,
            orders: [0; View::ALL.len()],
            last: None,
            rates: None,
            trouble: None,
            is_done: false,
        }
    }

    pub const fn is_done(&self) -> bool {
        self.is_done
    }

    /// Takes what the switch counted, or why it does not answer. What was known before it fell silent says nothing of
    /// what happened since it came back.
    pub fn hear(&mut self, heard: Result<Snapshot, String>) {
        match heard {
            Ok(snapshot) => {
                let last = self.last.as_ref();
                self.rates = last.map(|last| Rates::between(last, &snapshot));
                self.last = Some(snapshot);
                self.trouble = None;
            }
            Err(trouble) => {
                self.last = None;
                self.rates = None;
                self.trouble = Some(trouble);
            }
        }
    }

    pub fn press(&mut self, key: KeyEvent) {
        let views = View::ALL.len();
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.is_done = true;
            }
            KeyCode::Char('q') => self.is_done = true,
            KeyCode::Tab => self.view = (self.view + 1) % views,
            KeyCode::BackTab => self.view = (self.view + views - 1) % views,
            KeyCode::Char(digit @ '1'..='4') => self.view = digit as usize - '1' as usize,
            KeyCode::Char('s') => {
                let order = &mut self.orders[self.view];
                *order = (*order + 1) % View::ALL[self.view].orders().len();
            }
            _ => {}
        }
    }

    fn view(&self) -> View {
        View::ALL[self.view]
    }

    fn order(&self) -> &'static str {
        self.view().orders()[self.orders[self.view]]
    }

    pub fn draw(&self, frame: &mut Frame<'_>) {
        let [title, totals, views, body, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.title().bold(), title);
        frame.render_widget(Line::raw(self.totals()), totals);
        frame.render_widget(self.views(), views);
        frame.render_widget(self.body(), body);
        frame.render_widget(self.keys().dim(), keys);
    }

    fn title(&self) -> Line<'static> {
        let version = self.last.as_ref().map(|last| last.report.policy_version);
        match version {
            Some(version) => format!("netvirt top: {}, policy version {version}", self.socket),
            None => format!("netvirt top: {}", self.socket),
        }
        .into()
    }

    fn totals(&self) -> String {
        match (&self.trouble, &self.rates) {
            (Some(_), _) => "the switch does not answer; it is asked again and again".to_owned(),
            (None, Some(rates)) => rates.totals(),
            (None, None) => "measuring…".to_owned(),
        }
    }

    fn views(&self) -> Line<'static> {
        let titles = View::ALL.iter().enumerate().flat_map(|(number, view)| {
            let title = format!(" {} {} ", number + 1, view.title());
            let style = if number == self.view {
                Style::new().reversed()
            } else {
                Style::new()
            };
            [Span::styled(title, style), Span::raw(" ")]
        });
        titles.collect::<Vec<_>>().into()
    }

    fn body(&self) -> Paragraph<'static> {
        match (&self.trouble, &self.rates) {
            (Some(trouble), _) => {
                Paragraph::new(trouble.clone()).wrap(ratatui::widgets::Wrap { trim: true })
            }
            (None, Some(rates)) => {
                Paragraph::new(Text::raw(rates.table(self.view(), self.order())))
            }
            (None, None) => Paragraph::default(),
        }
    }

    fn keys(&self) -> Line<'static> {
        format!("q quit   tab, 1-4 view   s sorted by {}", self.order()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use netvirt_std::counters::{Count, CounterReport, PortCount};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    fn snapshot(seconds: u64, frames: u64) -> Snapshot {
        let count = Count {
            frames,
            bytes: 100 * frames,
        };
        Snapshot {
            taken: Duration::from_secs(seconds),
            report: CounterReport {
                policy_version: 7,
                received: frames,
                delivered: frames,
                transmitted: 0,
                replicated: 0,
                replied: 0,
                punted: 0,
                held: 0,
                dropped: 0,
                released: None,
                nic: None,
                reasons: vec![("no_record".to_owned(), frames)],
                events: vec![("errors_sent".to_owned(), frames)],
                ports: vec![PortCount {
                    port: "blue-1".to_owned(),
                    received: count,
                    delivered: count,
                    refused: 0,
                }],
                subnets: vec![],
            },
        }
    }

    fn screen() -> Screen {
        Screen::new("/run/netvirt/host-1.sock".to_owned())
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content().chunks(usize::from(width).max(1));
        let text = |line: &[ratatui::buffer::Cell]| {
            let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
            line.trim_end().to_owned()
        };
        lines.map(text).collect()
    }

    fn press(screen: &mut Screen, keys: &str) {
        for key in keys.chars() {
            let code = match key {
                '\t' => KeyCode::Tab,
                key => KeyCode::Char(key),
            };
            screen.press(KeyEvent::new(code, KeyModifiers::NONE));
        }
    }

    #[test]
    fn rates_are_shown_as_soon_as_there_are_two_snapshots() {
        let mut screen = screen();
        screen.hear(Ok(snapshot(0, 100)));
        assert_eq!(drawn(&screen, 80, 8)[1], "measuring…");
        screen.hear(Ok(snapshot(1, 350)));
        let expected = [
            "netvirt top: /run/netvirt/host-1.sock, policy version 7",
            "frames/s: received 250, delivered 250, transmitted 0, dropped 0",
            " 1 Ports   2 Tenants   3 Drops   4 Events",
            "machine  received/s  bit/s  delivered/s  bit/s  refused/s",
            "───────  ──────────  ─────  ───────────  ─────  ─────────",
            "blue-1          250   200k          250   200k          0",
            "",
            "q quit   tab, 1-4 view   s sorted by received",
        ];
        assert_eq!(drawn(&screen, 80, 8), expected);
    }

    #[test]
    fn a_switch_that_goes_away_and_comes_back_is_measured_anew() {
        let mut screen = screen();
        screen.hear(Ok(snapshot(0, 100)));
        screen.hear(Ok(snapshot(1, 200)));
        screen.hear(Err(
            "no switch answers at /run/netvirt/host-1.sock".to_owned()
        ));
        let lines = drawn(&screen, 80, 8);
        assert_eq!(
            lines[1],
            "the switch does not answer; it is asked again and again"
        );
        assert_eq!(lines[3], "no switch answers at /run/netvirt/host-1.sock");
        screen.hear(Ok(snapshot(10, 5)));
        assert_eq!(drawn(&screen, 80, 8)[1], "measuring…");
        screen.hear(Ok(snapshot(11, 25)));
        assert!(drawn(&screen, 80, 8)[1].starts_with("frames/s: received 20,"));
    }

    #[test]
    fn keys_choose_the_view_and_the_order_of_each() {
        let mut screen = screen();
        assert_eq!((screen.view(), screen.order()), (View::Ports, "received"));
        press(&mut screen, "s");
        assert_eq!((screen.view(), screen.order()), (View::Ports, "delivered"));
        press(&mut screen, "\ts");
        assert_eq!((screen.view(), screen.order()), (View::Tenants, "received"));
        press(&mut screen, "3sss");
        assert_eq!((screen.view(), screen.order()), (View::Drops, "frames/s"));
        press(&mut screen, "\t");
        assert_eq!((screen.view(), screen.order()), (View::Events, "frames/s"));
        press(&mut screen, "\t");
        assert_eq!((screen.view(), screen.order()), (View::Ports, "delivered"));
        press(&mut screen, "x9");
        assert!(!screen.is_done());
        press(&mut screen, "q");
        assert!(screen.is_done());
    }

    #[test]
    fn drops_and_events_are_shown_with_their_totals() {
        let mut screen = screen();
        screen.hear(Ok(snapshot(0, 100)));
        screen.hear(Ok(snapshot(2, 200)));
        press(&mut screen, "3");
        assert_eq!(drawn(&screen, 60, 8)[5], "no_record              50    200");
        press(&mut screen, "4");
        assert_eq!(drawn(&screen, 60, 8)[5], "errors_sent         50    200");
    }

    #[test]
    fn small_terminals_show_what_fits() {
        let mut screen = screen();
        screen.hear(Ok(snapshot(0, 100)));
        screen.hear(Ok(snapshot(1, 200)));
        for (width, height) in [(1, 1), (3, 2), (20, 5), (200, 60)] {
            assert_eq!(drawn(&screen, width, height).len(), usize::from(height));
        }
        screen.hear(Err("no switch".to_owned()));
        drawn(&screen, 1, 1);
    }
}
