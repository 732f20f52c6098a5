//! Reads the tables of a policy file into the model, and finds what they refer to by name.

use std::collections::BTreeMap;

use netvirt_core::limit::RateLimit;
use netvirt_core::policy::{DscpPolicy, FlowIdPolicy, Settings, Uncovered};
use netvirt_core::{HostId, MacAddress, Vsid};
use sha2::{Digest, Sha256};
use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Log, Span, suggestion};
use super::host_policy::OffloadNic;
use super::model::{
    GroupMapping, Host, Model, PeeringRule, PhysicalNetwork, Route, RoutingDomain, StaticNeighbour,
    Subnet, Uplink, VirtualMachine,
};
use super::mtu::ETHERNET_MTU;
use super::reader::{FromToml, Located, TableReader};
use super::values::{
    DscpSetting, FlowIdSetting, GroupAddress, HostName, InterfaceName, Name, RoutePrefix, RuleOr,
    SubnetMethod, SubnetPrefix, SubnetReference, UnicastPrefix,
};
use crate::hex::Hex;

/// The metric that Hyper-V's samples give a route.
const DEFAULT_METRIC: u32 = 255;
/// A locally administered address: the distributed router's, the same on all hosts.
const DEFAULT_ROUTER_MAC: MacAddress = MacAddress([0x02, 0x15, 0x5d, 0x00, 0x00, 0x01]);

/// Reads `text`; what cannot be read is noted and left out.
pub(super) fn read(text: &str, log: &Log) -> Option<Model> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    for error in &syntax_errors {
        let span = error.span().unwrap_or(0..0);
        let message = format!("this is not TOML: {}", error.message());
        let diagnostic = Diagnostic::error(&span, message);
        log.note(match error.message() {
            "duplicate key" => diagnostic.remedy("write each key of a table once"),
            _ => diagnostic,
        });
    }
    if !syntax_errors.is_empty() {
        return None;
    }
    let mut file = TableReader::new(document.get_ref(), "policy file", document.span(), log);
    let settings = read_settings(file.table("settings", "settings table"), log);
    let networks = entries(
        &mut file,
        "physical-network",
        "physical network",
        read_network,
    );
    Names::collect(
        "physical network",
        &networks,
        |network| Some(&network.name),
        log,
    );
    let hosts = entries(&mut file, "host", "host", read_host);
    let hosts_by_name = Names::collect("host", &hosts, |host| Some(&host.name), log);
    let mut subnets = Entries::default();
    let domains = entries(
        &mut file,
        "routing-domain",
        "routing domain",
        |domain, position| read_domain(domain, position, &mut subnets),
    );
    let domains_by_name =
        Names::collect("routing domain", &domains, |domain| Some(&domain.name), log);
    let directory = SubnetDirectory::new(&subnets, log);
    let machines = entries(&mut file, "vm", "virtual machine", |machine, _| {
        read_machine(machine, &hosts_by_name, &directory)
    });
    Names::collect(
        "virtual machine",
        &machines,
        |machine| Some(&machine.name),
        log,
    );
    let peerings = entries(&mut file, "peering", "peering", |rule, _| {
        read_peering(rule, &domains_by_name)
    });
    file.finish();
    Some(Model {
        digest: Hex(&Sha256::digest(text)).to_string(),
        settings,
        networks_incomplete: networks.incomplete,
        subnets_incomplete: subnets.incomplete,
        machines_incomplete: machines.incomplete,
        networks: networks.list,
        hosts: hosts.list,
        domains: domains.list,
        subnets: subnets.list,
        machines: machines.list,
        peerings: peerings.list,
    })
}

/// The tables of one kind that could be read.
struct Entries<T> {
    list: Vec<T>,
    /// Whether one of them could not: then a name that is missing may be the name of that one.
    incomplete: bool,
}

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            incomplete: false,
        }
    }
}

impl<T> Entries<T> {
    fn add(&mut self, entry: Option<T>) {
        self.incomplete |= entry.is_none();
        self.list.extend(entry);
    }
}

fn entries<'t, T>(
    parent: &mut TableReader<'t>,
    key: &'static str,
    kind: &'static str,
    mut read: impl FnMut(&mut TableReader<'t>, usize) -> Option<T>,
) -> Entries<T> {
    let tables = parent.tables(key, kind);
    let mut entries = Entries {
        list: Vec::new(),
        incomplete: parent.is_broken(),
    };
    for mut table in tables {
        let entry = read(&mut table, entries.list.len());
        entries.add(entry.filter(|_| !table.is_broken()));
        table.finish();
    }
    entries
}

/// Names of one kind, each given once.
struct Names<'t> {
    kind: &'static str,
    positions: BTreeMap<&'t str, usize>,
    incomplete: bool,
    log: &'t Log,
}

impl<'t> Names<'t> {
    fn collect<T>(
        kind: &'static str,
        entries: &'t Entries<T>,
        name_of: impl Fn(&'t T) -> Option<&'t Located<Name>>,
        log: &'t Log,
    ) -> Self {
        let mut first_places: BTreeMap<&str, &Span> = BTreeMap::new();
        let mut positions = BTreeMap::new();
        for (position, entry) in entries.list.iter().enumerate() {
            let Some(name) = name_of(entry) else { continue };
            if let Some(first) = first_places.get(name.value.0.as_str()) {
                let message = format!("the {kind} name {} is given twice", name.value);
                log.note(
                    Diagnostic::error(&name.span, message)
                        .there(first, "the first is here")
                        .remedy("give each a name of its own"),
                );
            } else {
                first_places.insert(&name.value.0, &name.span);
                positions.insert(name.value.0.as_str(), position);
            }
        }
        Self {
            kind,
            positions,
            incomplete: entries.incomplete,
            log,
        }
    }

    fn resolve(&self, name: &Located<Name>) -> Option<Located<usize>> {
        let Some(position) = self.positions.get(name.value.0.as_str()) else {
            if !self.incomplete {
                let message = format!("there is no {} named {}", self.kind, name.value);
                let remedy = suggestion(&name.value.0, self.positions.keys().copied());
                self.log
                    .note(Diagnostic::error(&name.span, message).remedy(remedy));
            }
            return None;
        };
        Some(Located {
            value: *position,
            span: name.span.clone(),
        })
    }
}

/// Subnets by name and by VSID.
struct SubnetDirectory<'t> {
    names: Names<'t>,
    vsids: BTreeMap<Vsid, usize>,
}

impl<'t> SubnetDirectory<'t> {
    fn new(subnets: &'t Entries<Subnet>, log: &'t Log) -> Self {
        let numbered = subnets.list.iter().enumerate();
        Self {
            names: Names::collect("subnet", subnets, |subnet| subnet.name.as_ref(), log),
            // Of two with the same VSID, which is an error of its own, the first is meant.
            vsids: numbered
                .rev()
                .map(|(position, s)| (s.vsid.value, position))
                .collect(),
        }
    }

    fn resolve(&self, reference: &Located<SubnetReference>) -> Option<usize> {
        match &reference.value {
            SubnetReference::Vsid(vsid) => self.resolve_vsid(*vsid, &reference.span),
            SubnetReference::Name(name) => self
                .names
                .resolve(&reference.clone().map(|_| name.clone()))
                .map(|position| position.value),
        }
    }

    fn resolve_vsid(&self, vsid: Vsid, span: &Span) -> Option<usize> {
        let found = self.vsids.get(&vsid).copied();
        if found.is_none() && !self.names.incomplete {
            let known: Vec<String> = self.vsids.keys().map(Vsid::to_string).collect();
            let message = format!("no routing domain has a subnet with VSID {vsid}");
            let remedy = suggestion(&vsid.to_string(), known.iter().map(String::as_str));
            self.names
                .log
                .note(Diagnostic::error(span, message).remedy(remedy));
        }
        found
    }
}

/// What is not said is as the field has it.
fn read_settings(table: Option<TableReader<'_>>, log: &Log) -> Settings {
    let usual = Settings::new(HostId(0), DEFAULT_ROUTER_MAC);
    let Some(mut table) = table else {
        return usual;
    };
    let settings = Settings {
        local_host: usual.local_host,
        router_mac: said_or(&mut table, "router-mac", usual.router_mac),
        flow_id: read_flow_id(&mut table, log),
        outer_ttl: read_outer_ttl(&mut table, usual.outer_ttl, log),
        dscp: match table.optional::<DscpSetting>("dscp") {
            Some(Located {
                value: RuleOr::Fixed(dscp),
                ..
            }) => DscpPolicy::Pipe(dscp),
            _ => usual.dscp,
        },
        ecn: said_or(&mut table, "ecn", usual.ecn),
        reception: said_or(&mut table, "reception", usual.reception),
        errors: read_rate_limit(&mut table, "errors", usual.errors, log),
        unreachables: said_or(&mut table, "unreachables", usual.unreachables),
        clamp_mss: said_or(&mut table, "clamp-mss", usual.clamp_mss),
        storm: read_rate_limit(&mut table, "storm", usual.storm, log),
        most_copies: said_or(&mut table, "most-copies", usual.most_copies),
        router_advertisements: said_or(
            &mut table,
            "router-advertisements",
            usual.router_advertisements,
        ),
        uncovered: usual.uncovered,
    };
    table.finish();
    settings
}

fn said_or<T: FromToml>(table: &mut TableReader<'_>, key: &'static str, usual: T) -> T {
    table.optional(key).map_or(usual, |said| said.value)
}

fn read_flow_id(table: &mut TableReader<'_>, log: &Log) -> FlowIdPolicy {
    let flow_id = table
        .optional::<FlowIdSetting>("flow-id")
        .map(|flow_id| flow_id.value);
    let seed = table.optional::<u64>("flow-seed");
    match (flow_id, seed) {
        (Some(RuleOr::Fixed(value)), seed) => {
            if let Some(seed) = seed {
                log.note(
                    Diagnostic::warning(&seed.span, "a fixed FlowID makes no use of a seed")
                        .remedy("remove `flow-seed`, or write `flow-id = \"per-flow\"`"),
                );
            }
            FlowIdPolicy::Fixed(value)
        }
        (_, seed) => FlowIdPolicy::PerFlow {
            seed: seed.map_or(0, |seed| seed.value),
        },
    }
}

fn read_outer_ttl(table: &mut TableReader<'_>, usual: u8, log: &Log) -> u8 {
    let Some(ttl) = table.optional::<u8>("outer-ttl") else {
        return usual;
    };
    if ttl.value == 0 {
        log.note(
            Diagnostic::error(&ttl.span, "a packet with TTL 0 never leaves its host")
                .remedy("write 1 to 255; 64 is usual"),
        );
    }
    ttl.value
}

/// How often something may happen: `{ per-second = …, burst = … }`.
fn read_rate_limit(
    table: &mut TableReader<'_>,
    key: &'static str,
    usual: RateLimit,
    log: &Log,
) -> RateLimit {
    let Some(mut table) = table.table(key, "rate limit") else {
        return usual;
    };
    let burst = table.optional::<u32>("burst");
    let limit = RateLimit {
        per_second: said_or(&mut table, "per-second", usual.per_second),
        burst: burst.as_ref().map_or(usual.burst, |burst| burst.value),
    };
    if let Some(burst) = burst
        && burst.value == 0
        && limit.per_second != 0
    {
        log.note(
            Diagnostic::error(&burst.span, "a burst of 0 lets nothing pass")
                .remedy("write 1 or more, or `per-second = 0` for none at all"),
        );
    }
    table.finish();
    limit
}

fn read_network(table: &mut TableReader<'_>, _: usize) -> Option<PhysicalNetwork> {
    let name = table.required("name");
    let prefix = table.required::<UnicastPrefix>("prefix");
    let vlan = table.optional("vlan");
    let mtu = table.optional("mtu");
    let pool = table.list("pool");
    let routes = entries(table, "route", "route", |route, _| read_route(route));
    Some(PhysicalNetwork {
        name: name?,
        prefix: prefix?.map(|prefix| prefix.0),
        vlan: vlan.map(|vlan| vlan.value),
        mtu: mtu.unwrap_or(Located {
            value: ETHERNET_MTU,
            span: table.span().clone(),
        }),
        pool: pool.map_or(Vec::new(), |pool| pool.value),
        routes: routes.list,
        routes_incomplete: routes.incomplete,
    })
}

fn read_route<A: FromToml>(table: &mut TableReader<'_>) -> Option<Route<A>> {
    let prefix = table.required::<RoutePrefix>("prefix");
    let next_hop = table.required("next-hop");
    let metric = table.optional("metric");
    Some(Route {
        prefix: prefix?.map(|prefix| prefix.0),
        next_hop: next_hop?,
        metric: metric.map_or(DEFAULT_METRIC, |metric| metric.value),
    })
}

fn read_host(table: &mut TableReader<'_>, _: usize) -> Option<Host> {
    let name = table.required::<HostName>("name");
    let uplink = table
        .required_table("uplink", "{ mac = \"…\" }")
        .and_then(|mut uplink| {
            let mac = uplink.required("mac");
            let interface = uplink.optional("interface");
            let nic = uplink.table("nic", "offload NIC");
            let nic = nic.and_then(read_offload_nic);
            uplink.finish();
            Some(Uplink {
                mac: mac?,
                interface,
                nic,
            })
        });
    let addresses = table.required_list("addresses");
    let neighbours = entries(table, "neighbours", "neighbour", |neighbour, _| {
        let address = neighbour.required("address");
        let mac = neighbour.required("mac");
        Some(StaticNeighbour {
            address: address?,
            mac: mac?.value,
        })
    });
    Some(Host {
        name: name?.map(|HostName(name)| name),
        uplink: uplink?,
        addresses: addresses?,
        neighbours: neighbours.list,
    })
}

fn read_offload_nic(mut table: TableReader<'_>) -> Option<OffloadNic> {
    let mac = table.required::<MacAddress>("mac");
    let uncovered = said_or(&mut table, "uncovered", Uncovered::Punt);
    table.finish();
    Some(OffloadNic {
        mac: mac?.value,
        uncovered,
    })
}

fn read_domain(
    table: &mut TableReader<'_>,
    position: usize,
    subnets: &mut Entries<Subnet>,
) -> Option<RoutingDomain> {
    let name = table.required("name");
    let id = table.optional("id");
    let routes = entries(table, "route", "route", |route, _| read_route(route));
    let own_subnets = entries(table, "subnet", "subnet", |subnet, _| {
        read_subnet(subnet, position)
    });
    if table.is_broken() {
        // Its position goes to the next domain, so its subnets must not stay either.
        subnets.incomplete = true;
        return None;
    }
    subnets.incomplete |= own_subnets.incomplete;
    subnets.list.extend(own_subnets.list);
    Some(RoutingDomain {
        name: name?,
        id,
        routes: routes.list,
    })
}

fn read_subnet(table: &mut TableReader<'_>, domain: usize) -> Option<Subnet> {
    let name = table.optional("name");
    let vsid = table.required("vsid");
    let prefixes = table.required_list::<SubnetPrefix>("prefixes");
    let method = table.optional("method");
    let groups = entries(table, "multicast", "multicast group", |group, _| {
        let address = group.required::<GroupAddress>("group");
        let provider = group.required("provider");
        Some(GroupMapping {
            address: address?.map(|GroupAddress(address)| address),
            provider: provider?,
        })
    });
    Some(Subnet {
        domain,
        name,
        vsid: vsid?,
        prefixes: prefixes?
            .into_iter()
            .map(|p| p.map(|prefix| prefix.0))
            .collect(),
        method: method.map_or(SubnetMethod::Encapsulate, |method| method.value),
        groups: groups.list,
    })
}

fn read_machine(
    table: &mut TableReader<'_>,
    hosts: &Names<'_>,
    subnets: &SubnetDirectory<'_>,
) -> Option<VirtualMachine> {
    let name = table.required("name");
    let subnet = table
        .required("subnet")
        .and_then(|reference| subnets.resolve(&reference));
    let host = table.required("host").and_then(|name| hosts.resolve(&name));
    let migrating_from = table.optional("migrating-from");
    let mac = table.required("mac");
    let addresses = table.list("addresses");
    let provider_addresses = table.list("provider-addresses");
    let use_vm_mac = table.optional("use-vm-mac");
    let gateway = table.optional("gateway");
    let interface = table.optional("interface");
    let namespace = table.optional("namespace");
    let attach = table.optional("attach");
    let mtu = table.optional("mtu");
    let name: Located<Name> = name?;
    Some(VirtualMachine {
        span: table.span().clone(),
        interface: interface.or_else(|| interface_named_after(&name)),
        name,
        subnet: subnet?,
        host: host?,
        migrating_from: match migrating_from {
            Some(name) => Some(hosts.resolve(&name)?),
            None => None,
        },
        mac: mac?,
        addresses,
        provider_addresses,
        use_vm_mac,
        gateway,
        namespace,
        attach,
        mtu,
    })
}

fn interface_named_after(machine: &Located<Name>) -> Option<Located<InterfaceName>> {
    Some(Located {
        value: InterfaceName::new(&machine.value.0)?,
        span: machine.span.clone(),
    })
}

fn read_peering(table: &mut TableReader<'_>, domains: &Names<'_>) -> Option<PeeringRule> {
    let from = table
        .required("from")
        .and_then(|name| domains.resolve(&name));
    let to = table.required("to").and_then(|name| domains.resolve(&name));
    let both_ways = table.optional::<bool>("both-ways");
    Some(PeeringRule {
        span: table.span().clone(),
        from: from?.value,
        to: to?.value,
        both_ways: both_ways.is_some_and(|both| both.value),
    })
}
