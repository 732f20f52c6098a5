//! The network as the text of a policy file, and where in the script each part of that comes from.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::ops::Range;

use super::network::{Host, Machine, Network, PhysicalNetwork, Route, RoutingDomain, Subnet};
use super::tables::At;
use crate::policy_file::Span;

/// The width of comments.
const WIDTH: usize = 110;

/// A policy file that was written.
pub struct Written {
    pub text: String,
    /// The parts of the text, and the places in the script that they come from; inner ones behind outer ones.
    places: Vec<(Range<usize>, Span)>,
}

impl Written {
    /// The place in the script that this part of the text comes from.
    pub fn origin(&self, part: &Range<usize>) -> Option<&Span> {
        let holding = self
            .places
            .iter()
            .filter(|(range, _)| range.contains(&part.start));
        holding
            .min_by_key(|(range, _)| range.len())
            .map(|(_, origin)| origin)
    }
}

/// Writes `network`, which was found in the script `file_name`.
pub fn write(network: &Network, file_name: &str) -> Written {
    let mut writer = Writer {
        written: Written {
            text: String::new(),
            places: Vec::new(),
        },
    };
    writer.comment(&format!(
        "The virtual network of {file_name}, as `netvirt import` understood it."
    ));
    writer.comment(
        "What is marked \"Assumed\" no command states: see that it is true before the file is used. A running switch \
         also needs to know the interface of each uplink: `uplink = { mac = \"…\", interface = \"eth1\" }`.",
    );
    for physical in &network.physical {
        writer.physical_network(physical);
    }
    for host in &network.hosts {
        writer.host(host);
    }
    let mut interfaces = BTreeSet::new();
    for domain in &network.domains {
        writer.domain(domain);
        let in_domain = |machine: &&Machine| {
            domain
                .subnets
                .iter()
                .any(|subnet| subnet.vsid == machine.vsid)
        };
        for machine in network.machines.iter().filter(in_domain) {
            writer.machine(machine, &network.hosts, &mut interfaces);
        }
    }
    writer.written
}

struct Writer {
    written: Written,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.written.text += line;
        self.written.text.push('\n');
    }

    /// Writes a comment, broken into lines.
    fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        // TOML has no control characters in comments.
        let words = text.split(|c: char| c.is_whitespace() || c.is_control());
        for word in words.filter(|word| !word.is_empty()) {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = "#".to_owned();
            }
            line = line + " " + word;
        }
        self.line(&line);
    }

    fn assumed(&mut self, assumed: &[String]) {
        for what in assumed {
            self.comment(&format!("Assumed: {what}."));
        }
    }

    /// Writes a part that comes from `origin`.
    fn part(&mut self, origin: &Span, write: impl FnOnce(&mut Self)) {
        let start = self.written.text.len();
        write(self);
        let range = start..self.written.text.len();
        self.written.places.push((range, origin.clone()));
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.line(&format!("{key} = {value}"));
    }

    /// Writes `key = "value"`, where the value comes from its own place.
    fn located(&mut self, key: &str, value: &At<impl Display>) {
        self.part(&value.span, |writer| writer.key(key, Quoted(&value.value)));
    }

    fn list(&mut self, key: &str, values: &[At<impl Display>]) {
        self.written.text += &format!("{key} = [");
        for (position, value) in values.iter().enumerate() {
            self.written.text += if position == 0 { "" } else { ", " };
            self.part(&value.span, |writer| {
                let _ = write!(writer.written.text, "{}", Quoted(&value.value));
            });
        }
        self.line("]");
    }

    fn physical_network(&mut self, network: &PhysicalNetwork) {
        self.line("");
        self.assumed(std::slice::from_ref(&network.assumed));
        self.part(&network.place, |writer| {
            writer.line("[[physical-network]]");
            writer.key("name", Quoted(&network.name));
            writer.key("prefix", Quoted(network.prefix));
            if let Some(vlan) = network.vlan {
                writer.key("vlan", vlan);
            }
            writer.key("mtu", 1500);
        });
        for route in &network.routes {
            self.route("[[physical-network.route]]", route);
        }
    }

    fn route(&mut self, header: &str, route: &Route) {
        self.line("");
        self.part(&route.prefix.span, |writer| {
            writer.line(header);
            writer.located("prefix", &route.prefix);
            writer.located("next-hop", &route.next_hop);
            if let Some(metric) = route.metric {
                writer.key("metric", metric);
            }
        });
    }

    fn host(&mut self, host: &Host) {
        self.line("");
        self.assumed(&host.assumed);
        self.part(&host.place, |writer| {
            writer.line("[[host]]");
            writer.key("name", Quoted(&host.name));
            writer.key("uplink", format_args!("{{ mac = {} }}", Quoted(host.mac)));
            writer.list("addresses", &host.addresses);
        });
    }

    fn domain(&mut self, domain: &RoutingDomain) {
        self.line("");
        self.comment(&format!("---- {} ----", domain.name));
        self.line("");
        self.comment("Assumed: the name; commands know it by its GUID only.");
        self.part(&domain.place, |writer| {
            writer.line("[[routing-domain]]");
            writer.key("name", Quoted(&domain.name));
            writer.key("id", Quoted(domain.id.braced()));
        });
        for subnet in &domain.subnets {
            self.subnet(subnet);
        }
        for route in &domain.routes {
            self.route("[[routing-domain.route]]", route);
        }
    }

    fn subnet(&mut self, subnet: &Subnet) {
        self.line("");
        self.part(&subnet.place, |writer| {
            writer.line("[[routing-domain.subnet]]");
            writer.key("vsid", subnet.vsid);
            writer.list("prefixes", &subnet.prefixes);
            if subnet.rewrite {
                writer.key("method", Quoted("rewrite"));
            }
        });
    }

    fn machine(
        &mut self,
        machine: &Machine,
        hosts: &[Host],
        interfaces: &mut BTreeSet<(usize, String)>,
    ) {
        self.line("");
        if !machine.remarks.is_empty() {
            self.comment(&format!("Its records say: {}.", machine.remarks.join("; ")));
        }
        self.assumed(&machine.assumed);
        let interface = interface(machine, interfaces);
        let host = hosts.get(machine.host).map_or("", |host| &host.name);
        self.part(&machine.place, |writer| {
            writer.line("[[vm]]");
            writer.key("name", Quoted(&machine.name));
            writer.key("subnet", machine.vsid);
            writer.key("host", Quoted(host));
            if let Some(interface) = interface {
                writer.key("interface", Quoted(interface));
            }
            writer.located("mac", &machine.mac);
            if !machine.addresses.is_empty() {
                writer.list("addresses", &machine.addresses);
            }
            if !machine.provider_addresses.is_empty() {
                writer.list("provider-addresses", &machine.provider_addresses);
            }
            if machine.use_vm_mac {
                writer.key("use-vm-mac", true);
            }
            if machine.gateway {
                writer.key("gateway", true);
            }
        });
    }
}

/// The interface of a machine whose name Linux does not take for one.
fn interface(machine: &Machine, taken: &mut BTreeSet<(usize, String)>) -> Option<String> {
    let fits = |name: &str| {
        name.len() <= 15
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
            && name != "."
    };
    if fits(&machine.name) {
        taken.insert((machine.host, machine.name.clone()));
        return None;
    }
    let digits = machine.mac.value.to_string().replace(':', "");
    let by_mac = std::iter::once(format!("vm-{digits}"));
    let mut candidates = by_mac.chain((0..).map(|number| format!("vm-{number}")));
    candidates.find(|name| taken.insert((machine.host, name.clone())))
}

/// A TOML string.
struct Quoted<T>(T);

impl<T: Display> Display for Quoted<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self
            .0
            .to_string()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        write!(f, "\"{text}\"")
    }
}
