//! Telling machines of the distributed router without being asked.

use std::collections::BTreeMap;
use std::time::Duration;

use netvirt_core::PortId;
use netvirt_core::policy::Policy;
use netvirt_core::wire::RouterAdvertisement;

/// Time until a machine is told again, as RFC 4861 §6.2.1 has it: a hundredth of the time for which it is told.
const INTERVAL: Duration = Duration::from_secs(600);

/// What machines were told, and when they are to be told again.
#[derive(Debug, Default)]
pub(super) struct RouterAdvertisements {
    told: BTreeMap<PortId, Told>,
}

#[derive(Debug, Clone, Copy)]
struct Told {
    message: RouterAdvertisement,
    again: Duration,
}

impl RouterAdvertisements {
    /// What is to be said now because of a change of policy: to machines that are new, or for which it is new. Those for
    /// which there is no router any more are told that too (RFC 4861 §6.2.5), and nothing else: another tenant's machine may
    /// be behind the port by now.
    pub fn of(&mut self, policy: &Policy<'_>, now: Duration) -> Vec<(PortId, RouterAdvertisement)> {
        let mut before = std::mem::take(&mut self.told);
        let mut news = Vec::new();
        for port in policy.ports().map(|port| port.port) {
            let Some(message) = policy.router_advertisement(port) else {
                continue;
            };
            let told = before
                .remove(&port)
                .filter(|told| told.message == message)
                .unwrap_or_else(|| {
                    news.push((port, message));
                    let again = now + INTERVAL;
                    Told { message, again }
                });
            self.told.insert(port, told);
        }
        news.extend(before.into_iter().map(|(port, told)| {
            let farewell = RouterAdvertisement {
                lifetime: 0,
                mtu: None,
                prefixes: [None; RouterAdvertisement::MAX_PREFIXES],
                ..told.message
            };
            (port, farewell)
        }));
        news
    }

    /// What is to be said again at this time.
    pub fn due(&mut self, now: Duration) -> Vec<(PortId, RouterAdvertisement)> {
        let due = self.told.iter_mut().filter(|(_, told)| now >= told.again);
        let said = due.map(|(port, told)| {
            told.again = now + INTERVAL;
            (*port, told.message)
        });
        said.collect()
    }
}

#[cfg(test)]
mod tests {
    use netvirt_core::table::Seed;

    use super::*;
    use crate::live::PolicyWriter;
    use crate::memory::HostCapacity;
    use crate::policy_file::PolicyFile;

    /// The policy of a host with three machines, the subnets of two of which have IPv6.
    fn writer(settings: &str) -> PolicyWriter {
        let text = format!(
            r#"
            [settings]
            {settings}
            [[physical-network]]
            name = "site"
            prefix = "192.168.4.0/24"
            [[host]]
            name = "host"
            uplink = {{ mac = "02:00:00:00:00:0b" }}
            addresses = ["192.168.4.11"]
            [[routing-domain]]
            name = "blue"
            [[routing-domain.subnet]]
            vsid = 5001
            prefixes = ["10.0.0.0/24", "fd00:1::/64"]
            [[routing-domain.subnet]]
            vsid = 5002
            prefixes = ["10.0.1.0/24"]
            [[vm]]
            name = "a"
            subnet = 5001
            host = "host"
            mac = "06:06:00:00:00:05"
            addresses = ["fd00:1::5"]
            [[vm]]
            name = "b"
            subnet = 5001
            host = "host"
            mac = "06:06:00:00:00:07"
            addresses = ["10.0.0.7"]
            [[vm]]
            name = "c"
            subnet = 5002
            host = "host"
            mac = "06:06:00:00:01:05"
            addresses = ["10.0.1.5"]
            "#
        );
        let file = PolicyFile::parse(&text, "policy.toml").unwrap();
        let changes = file.for_host("host").unwrap().changes;
        let mut writer = PolicyWriter::new(&HostCapacity::for_changes(&changes), Seed::new(1, 2));
        writer.prepare(&changes).unwrap();
        assert!(writer.commit());
        writer
    }

    fn told(messages: &[(PortId, RouterAdvertisement)]) -> Vec<(u32, u16)> {
        let told = messages.iter();
        told.map(|(port, message)| (port.0, message.lifetime))
            .collect()
    }

    #[test]
    fn machines_of_ipv6_subnets_are_told_once_and_then_every_ten_minutes() {
        let writer = writer("");
        let policy = writer.policies().read();
        let start = Duration::from_secs(7);
        let mut advertisements = RouterAdvertisements::default();
        assert_eq!(
            told(&advertisements.of(&policy, start)),
            [(0, 65535), (1, 65535)]
        );
        assert_eq!(told(&advertisements.of(&policy, start)), []);
        let again = start + INTERVAL;
        assert_eq!(
            told(&advertisements.due(again - Duration::from_nanos(1))),
            []
        );
        assert_eq!(told(&advertisements.due(again)), [(0, 65535), (1, 65535)]);
        assert_eq!(told(&advertisements.due(again)), []);
        assert_eq!(advertisements.due(again + INTERVAL).len(), 2);
    }

    #[test]
    fn what_changes_is_told_at_once_and_its_end_too() {
        let start = Duration::ZERO;
        let mut advertisements = RouterAdvertisements::default();
        let [usual, autonomous, off] = ["on-link", "autonomous", "off"]
            .map(|word| writer(&format!("router-advertisements = \"{word}\"")));
        advertisements.of(&usual.policies().read(), start);
        let news = advertisements.of(&autonomous.policies().read(), start);
        assert_eq!(told(&news), [(0, 65535), (1, 65535)]);
        assert!(news[0].1.prefixes[0].unwrap().autonomous);
        let news = advertisements.of(&off.policies().read(), start);
        assert_eq!(told(&news), [(0, 0), (1, 0)]);
        assert!(
            news.iter()
                .all(|(_, last)| last.prefixes == [None; 3] && last.mtu.is_none())
        );
        assert_eq!(told(&advertisements.due(start + INTERVAL)), []);
    }
}
