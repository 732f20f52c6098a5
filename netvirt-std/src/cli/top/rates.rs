//! What happens in a second, from what was counted at two times.

use std::time::Duration;

use netvirt_std::counters::{Count, CounterReport};
use netvirt_std::report::{Align, Si, Table};

/// What a switch had counted at a time of whatever clock.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub taken: Duration,
    pub report: CounterReport,
}

/// Frames and bits, in a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rate {
    pub frames: f64,
    pub bits: f64,
}

/// What passes a port in a second.
#[derive(Debug, Clone, PartialEq)]
pub struct PortRate {
    pub machine: String,
    pub received: Rate,
    pub delivered: Rate,
    pub refused: f64,
}

/// What is decided in a virtual subnet in a second.
#[derive(Debug, Clone, PartialEq)]
pub struct TenantRate {
    pub domain: String,
    pub vsid: u32,
    pub sent: Rate,
    pub received: Rate,
    pub refused: f64,
}

/// Frames refused for a reason, or of which something rare is counted: in a second, and since the switch was started.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedRate {
    pub name: String,
    pub frames: f64,
    pub total: u64,
}

/// What happens in a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    pub received: f64,
    pub delivered: f64,
    pub transmitted: f64,
    pub dropped: f64,
    pub ports: Vec<PortRate>,
    pub tenants: Vec<TenantRate>,
    /// Reasons for which something was refused at all.
    pub drops: Vec<NamedRate>,
    /// What was rare and happened at all.
    pub events: Vec<NamedRate>,
}

/// Makes rates of counters.
struct Interval(Duration);

impl Interval {
    /// A counter that is smaller than before began again from zero.
    fn rate(&self, earlier: u64, later: u64) -> f64 {
        let grown = later.checked_sub(earlier).unwrap_or(later);
        match self.0.as_secs_f64() {
            seconds if seconds > 0.0 => grown as f64 / seconds,
            _ => 0.0,
        }
    }

    fn of(&self, earlier: Count, later: Count) -> Rate {
        Rate {
            frames: self.rate(earlier.frames, later.frames),
            bits: 8.0 * self.rate(earlier.bytes, later.bytes),
        }
    }

    /// Those that are not zero.
    fn named(&self, earlier: &[(String, u64)], later: &[(String, u64)]) -> Vec<NamedRate> {
        let later = later.iter().filter(|(_, total)| *total > 0);
        let rates = later.map(|(name, total)| {
            let before = earlier.iter().find(|(before, _)| before == name);
            NamedRate {
                name: name.clone(),
                frames: self.rate(before.map_or(0, |(_, total)| *total), *total),
                total: *total,
            }
        });
        rates.collect()
    }
}

impl Rates {
    /// What happened between two times. Ports, subnets, reasons and events are known by their names; what is new began with
    /// nothing.
    pub fn between(earlier: &Snapshot, later: &Snapshot) -> Self {
        let interval = Interval(later.taken.saturating_sub(earlier.taken));
        let (before, after) = (&earlier.report, &later.report);
        let ports = after.ports.iter().map(|port| {
            let before = before.ports.iter().find(|before| before.port == port.port);
            let count = |of: fn(&netvirt_std::counters::PortCount) -> Count| {
                interval.of(before.map(of).unwrap_or_default(), of(port))
            };
            PortRate {
                machine: port.port.clone(),
                received: count(|port| port.received),
                delivered: count(|port| port.delivered),
                refused: interval.rate(before.map_or(0, |before| before.refused), port.refused),
            }
        });
        let tenants = after.subnets.iter().map(|subnet| {
            let mut known = before.subnets.iter();
            let before = known.find(|before| before.vsid == subnet.vsid);
            let count = |of: fn(&netvirt_std::counters::SubnetCount) -> Count| {
                interval.of(before.map(of).unwrap_or_default(), of(subnet))
            };
            TenantRate {
                domain: subnet.domain.clone(),
                vsid: subnet.vsid,
                sent: count(|subnet| subnet.sent),
                received: count(|subnet| subnet.received),
                refused: interval.rate(before.map_or(0, |before| before.refused), subnet.refused),
            }
        });
        Self {
            received: interval.rate(before.received, after.received),
            delivered: interval.rate(before.delivered, after.delivered),
            transmitted: interval.rate(before.transmitted, after.transmitted),
            dropped: interval.rate(before.dropped, after.dropped),
            ports: ports.collect(),
            tenants: tenants.collect(),
            drops: interval.named(&before.reasons, &after.reasons),
            events: interval.named(&before.events, &after.events),
        }
    }

    /// All frames in a line.
    pub fn totals(&self) -> String {
        format!(
            "frames/s: received {}, delivered {}, transmitted {}, dropped {}",
            Si(self.received),
            Si(self.delivered),
            Si(self.transmitted),
            Si(self.dropped)
        )
    }
}

/// What can be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    Ports,
    Tenants,
    Drops,
    Events,
}

impl View {
    pub const ALL: [Self; 4] = [Self::Ports, Self::Tenants, Self::Drops, Self::Events];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Ports => "Ports",
            Self::Tenants => "Tenants",
            Self::Drops => "Drops",
            Self::Events => "Events",
        }
    }

    /// By what its lines can be sorted, largest first; the last is the order of the policy.
    pub const fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Ports => &["received", "delivered", "refused", "name"],
            Self::Tenants => &["sent", "received", "refused", "name"],
            Self::Drops | Self::Events => &["frames/s", "total", "name"],
        }
    }
}

impl Rates {
    /// A view as a table, sorted by one of its orders.
    pub fn table(&self, view: View, order: &str) -> String {
        match view {
            View::Ports => self.ports_table(order),
            View::Tenants => self.tenants_table(order),
            View::Drops => named_table("refused because", &self.drops, order),
            View::Events => named_table("beside these", &self.events, order),
        }
    }

    fn ports_table(&self, order: &str) -> String {
        let ports = sorted(&self.ports, |port| match order {
            "received" => Some(port.received.bits),
            "delivered" => Some(port.delivered.bits),
            "refused" => Some(port.refused),
            _ => None,
        });
        let mut table = Table::new([
            ("machine", Align::Left),
            ("received/s", Align::Right),
            ("bit/s", Align::Right),
            ("delivered/s", Align::Right),
            ("bit/s", Align::Right),
            ("refused/s", Align::Right),
        ]);
        for port in ports {
            table.row([
                &port.machine,
                &Si(port.received.frames),
                &Si(port.received.bits),
                &Si(port.delivered.frames),
                &Si(port.delivered.bits),
                &Si(port.refused),
            ]);
        }
        table.to_string()
    }

    fn tenants_table(&self, order: &str) -> String {
        let tenants = sorted(&self.tenants, |tenant| match order {
            "sent" => Some(tenant.sent.bits),
            "received" => Some(tenant.received.bits),
            "refused" => Some(tenant.refused),
            _ => None,
        });
        let mut table = Table::new([
            ("routing domain", Align::Left),
            ("VSID", Align::Right),
            ("sent/s", Align::Right),
            ("bit/s", Align::Right),
            ("received/s", Align::Right),
            ("bit/s", Align::Right),
            ("refused/s", Align::Right),
        ]);
        for tenant in tenants {
            table.row([
                &tenant.domain,
                &tenant.vsid,
                &Si(tenant.sent.frames),
                &Si(tenant.sent.bits),
                &Si(tenant.received.frames),
                &Si(tenant.received.bits),
                &Si(tenant.refused),
            ]);
        }
        table.to_string()
    }
}

fn named_table(title: &'static str, rates: &[NamedRate], order: &str) -> String {
    let rates = sorted(rates, |rate| match order {
        "frames/s" => Some(rate.frames),
        "total" => Some(rate.total as f64),
        _ => None,
    });
    let mut table = Table::new([
        (title, Align::Left),
        ("frames/s", Align::Right),
        ("total", Align::Right),
    ]);
    for rate in rates {
        table.row([&rate.name, &Si(rate.frames), &rate.total]);
    }
    table.to_string()
}

/// The largest first; those without a number, and equals, as they come.
fn sorted<T>(lines: &[T], number: impl Fn(&T) -> Option<f64>) -> Vec<&T> {
    let mut lines: Vec<&T> = lines.iter().collect();
    lines.sort_by(|one, other| {
        let [one, other] = [one, other].map(|line| number(line).unwrap_or_default());
        other.total_cmp(&one)
    });
    lines
}

#[cfg(test)]
mod tests {
    use netvirt_std::counters::{PortCount, SubnetCount};

    use super::*;

    fn count(frames: u64, bytes: u64) -> Count {
        Count { frames, bytes }
    }

    fn snapshot(seconds: u64, ports: &[(&str, u64)], reasons: &[(&str, u64)]) -> Snapshot {
        let received: u64 = ports.iter().map(|(_, frames)| frames).sum();
        let dropped: u64 = reasons.iter().map(|(_, frames)| frames).sum();
        let port = |(port, frames): &(&str, u64)| PortCount {
            port: (*port).to_owned(),
            received: count(*frames, 100 * frames),
            delivered: count(2 * frames, 200 * frames),
            refused: frames / 2,
        };
        Snapshot {
            taken: Duration::from_secs(seconds),
            report: CounterReport {
                policy_version: 1,
                received,
                delivered: received - dropped,
                transmitted: 0,
                replicated: 0,
                replied: 0,
                punted: 0,
                held: 0,
                dropped,
                released: None,
                nic: None,
                reasons: reasons
                    .iter()
                    .map(|(reason, frames)| ((*reason).to_owned(), *frames))
                    .collect(),
                ports: ports.iter().map(port).collect(),
                events: vec![
                    ("errors_sent".to_owned(), received),
                    ("redirects".to_owned(), 0),
                ],
                subnets: vec![SubnetCount {
                    vsid: 5001,
                    domain: "blue".to_owned(),
                    sent: count(received, 10 * received),
                    received: count(0, 0),
                    refused: dropped,
                }],
            },
        }
    }

    #[test]
    fn rates_are_what_grew_in_a_second() {
        let earlier = snapshot(
            10,
            &[("blue-1", 100), ("red-1", 7)],
            &[("no_record", 4), ("ca_spoof", 0)],
        );
        let later = snapshot(
            14,
            &[("blue-1", 500), ("red-1", 7)],
            &[("no_record", 12), ("ca_spoof", 0)],
        );
        let rates = Rates::between(&earlier, &later);
        assert_eq!((rates.received, rates.dropped), (100.0, 2.0));
        let blue = &rates.ports[0];
        let received = Rate {
            frames: 100.0,
            bits: 80_000.0,
        };
        let delivered = Rate {
            frames: 200.0,
            bits: 160_000.0,
        };
        assert_eq!(
            (blue.received, blue.delivered, blue.refused),
            (received, delivered, 50.0)
        );
        assert_eq!(rates.ports[1].received, Rate::default());
        assert_eq!(rates.tenants[0].sent.bits, 8_000.0);
        let drops = [NamedRate {
            name: "no_record".to_owned(),
            frames: 2.0,
            total: 12,
        }];
        assert_eq!(rates.drops, drops);
        let events = [NamedRate {
            name: "errors_sent".to_owned(),
            frames: 100.0,
            total: 507,
        }];
        assert_eq!(rates.events, events);
    }

    #[test]
    fn what_is_new_or_began_again_grew_from_nothing() {
        let earlier = snapshot(10, &[("blue-1", 100)], &[("no_record", 50)]);
        let later = snapshot(12, &[("red-1", 40), ("blue-1", 20)], &[("no_record", 6)]);
        let rates = Rates::between(&earlier, &later);
        let frames: Vec<_> = rates
            .ports
            .iter()
            .map(|port| port.received.frames)
            .collect();
        assert_eq!(frames, [20.0, 10.0]);
        assert_eq!(rates.drops[0].frames, 3.0);
    }

    #[test]
    fn without_time_nothing_happens() {
        let snapshots = [50, 90].map(|frames| snapshot(10, &[("blue-1", frames)], &[]));
        let rates = Rates::between(&snapshots[0], &snapshots[1]);
        assert_eq!(rates.received, 0.0);
    }

    #[test]
    fn lines_are_sorted_by_what_is_wanted() {
        let earlier = snapshot(0, &[("a", 0), ("b", 0), ("c", 0)], &[]);
        let later = snapshot(1, &[("a", 1000), ("b", 3000), ("c", 1000)], &[]);
        let rates = Rates::between(&earlier, &later);
        let machines = |order: &str| -> Vec<String> {
            let table = rates.table(View::Ports, order);
            let lines = table.lines().skip(2);
            lines.map(|line| line[..1].to_owned()).collect()
        };
        assert_eq!(machines("received"), ["b", "a", "c"]);
        assert_eq!(machines("name"), ["a", "b", "c"]);
        let expected = "\
machine  received/s  bit/s  delivered/s  bit/s  refused/s
───────  ──────────  ─────  ───────────  ─────  ─────────
b              3.0k   2.4M         6.0k   4.8M       1.5k
a              1.0k   800k         2.0k   1.6M        500
c              1.0k   800k         2.0k   1.6M        500
";
        assert_eq!(rates.table(View::Ports, "refused"), expected);
    }
}
