//! Gives rewrite addresses their provider addresses and writes them into the file.
//!
//! The text is not parsed and printed again: what is new is inserted at the one place where it belongs,
//! so every other byte of the operator's file stays, line endings included.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netvirt_core::{CustomerAddress, Family, ProviderAddress};

use super::diagnostic::{Diagnostic, Diagnostics, Log};
use super::model::{Model, PhysicalNetwork, VirtualMachine};
use super::reader::Located;
use super::values::AddressRange;
use super::{read, validate};

/// A provider address that was given to a customer address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// The virtual machine's name.
    pub machine: String,
    /// The customer address.
    pub address: CustomerAddress,
    /// The provider address that it now has.
    pub provider_address: ProviderAddress,
}

/// Gives each address of a subnet of method rewrite or transition that has no provider address the lowest free
/// one from the pools of its host's physical networks. Returns the new text and what was given.
///
/// Addresses once given are never changed, so that running it again changes nothing.
///
/// # Errors
///
/// All errors of the file, or the pools that are exhausted.
pub fn allocate(text: &str, file_name: &str) -> Result<(String, Vec<Assigned>), Diagnostics> {
    let log = Log::default();
    let model = read::read(text, &log);
    if let Some(model) = &model {
        validate::check(model, &log);
    }
    let (Some(model), false) = (model, log.has_errors()) else {
        return Err(log.into_diagnostics(file_name, text));
    };
    let mut insertions = Vec::new();
    let mut assigned = Vec::new();
    let mut pools = Pools::new(&model);
    for machine in &model.machines {
        let given = assign(&model, machine, &mut pools, &log);
        insertions.extend(insertion(text, machine, &given));
        assigned.extend(given);
    }
    if log.has_errors() {
        return Err(log.into_diagnostics(file_name, text));
    }
    Ok((insert(text, &insertions), assigned))
}

fn assign(
    model: &Model,
    machine: &VirtualMachine,
    pools: &mut Pools<'_>,
    log: &Log,
) -> Vec<Assigned> {
    if !model.subnet_of(machine).method.has_provider_addresses() {
        return Vec::new();
    }
    let networks = model.networks_of(&model.hosts[machine.host.value]);
    let without = machine
        .addresses()
        .iter()
        .skip(machine.provider_addresses().len());
    let mut given = Vec::new();
    for address in without {
        let family = Family::of(address.value.get());
        let suitable: Vec<&PhysicalNetwork> = networks
            .iter()
            .copied()
            .filter(|network| Family::of(network.prefix.value.address()) == family)
            .collect();
        match suitable.iter().find_map(|network| pools.take(network)) {
            Some(provider_address) => given.push(Assigned {
                machine: machine.name.value.0.clone(),
                address: address.value,
                provider_address,
            }),
            None => pools.note_exhausted(address, &suitable, log),
        }
    }
    given
}

/// The pools of all physical networks and how far each has been searched.
struct Pools<'m> {
    in_use: BTreeSet<IpAddr>,
    searches: BTreeMap<usize, Box<dyn Iterator<Item = IpAddr> + 'm>>,
    /// Those that were found exhausted, each told once.
    exhausted: BTreeSet<usize>,
}

impl<'m> Pools<'m> {
    fn new(model: &'m Model) -> Self {
        let hosts = model.hosts.iter();
        let of_hosts = hosts.flat_map(|host| {
            let neighbours = host.neighbours.iter().map(|neighbour| &neighbour.address);
            host.addresses.iter().chain(neighbours)
        });
        let of_machines = model
            .machines
            .iter()
            .flat_map(VirtualMachine::provider_addresses);
        let routes = model.networks.iter().flat_map(|network| &network.routes);
        let of_routers = routes.map(|route| &route.next_hop);
        let all = of_hosts.chain(of_machines).chain(of_routers);
        let searches = model.networks.iter().map(|network| {
            let mut ranges: Vec<AddressRange> = network.pool.iter().map(|r| r.value).collect();
            ranges.sort_by_key(|range| range.first);
            let addresses = ranges.into_iter().flat_map(addresses_in);
            let search: Box<dyn Iterator<Item = IpAddr>> = Box::new(addresses);
            (network.prefix.span.start, search)
        });
        Self {
            in_use: all.map(|address| address.value.get()).collect(),
            searches: searches.collect(),
            exhausted: BTreeSet::new(),
        }
    }

    /// The lowest free address of the network's pool.
    fn take(&mut self, network: &PhysicalNetwork) -> Option<ProviderAddress> {
        let search = self.searches.get_mut(&network.prefix.span.start)?;
        let free = search.find(|address| self.in_use.insert(*address))?;
        ProviderAddress::new(free).ok()
    }

    fn note_exhausted(
        &mut self,
        address: &Located<CustomerAddress>,
        networks: &[&PhysicalNetwork],
        log: &Log,
    ) {
        let Some(network) = networks.last() else {
            return; // That the host has no network of this IP version is an error of the file.
        };
        if !self.exhausted.insert(network.prefix.span.start) {
            return;
        }
        let name = &network.name.value;
        let diagnostic = match network.pool.last() {
            Some(range) => {
                let message = format!("the pool of physical network {name} is exhausted");
                Diagnostic::error(&range.span, message).remedy("add another range to `pool`")
            }
            None => {
                let message = format!("physical network {name} has no pool");
                Diagnostic::error(&network.name.span, message).remedy(format!(
                    "add `pool = [\"first-last\"]` with free addresses of {}",
                    network.prefix.value
                ))
            }
        };
        log.note(diagnostic.there(&address.span, "needs a provider address"));
    }
}

fn addresses_in(range: AddressRange) -> Box<dyn Iterator<Item = IpAddr>> {
    match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => Box::new(
            (first.to_bits()..=last.to_bits()).map(|bits| Ipv4Addr::from_bits(bits).into()),
        ),
        (IpAddr::V6(first), IpAddr::V6(last)) => Box::new(
            (first.to_bits()..=last.to_bits()).map(|bits| Ipv6Addr::from_bits(bits).into()),
        ),
        _ => Box::new(std::iter::empty()),
    }
}

/// Text to be put in at a position of the file.
struct Insertion {
    position: usize,
    text: String,
}

fn insertion(text: &str, machine: &VirtualMachine, given: &[Assigned]) -> Option<Insertion> {
    let quoted: Vec<String> = given
        .iter()
        .map(|assigned| format!("\"{}\"", assigned.provider_address))
        .collect();
    let quoted = quoted.join(", ");
    if quoted.is_empty() {
        return None;
    }
    let addresses = &machine.addresses.as_ref()?.span;
    let (position, text) = match &machine.provider_addresses {
        Some(list) => match list.value.last() {
            Some(last) => (last.span.end, format!(", {quoted}")),
            None => (list.span.start + "[".len(), quoted),
        },
        None if text.get(machine.span.clone())?.starts_with('{') => {
            (addresses.end, format!(", provider-addresses = [{quoted}]"))
        }
        None => line_behind(text, addresses.start, addresses.end, &quoted),
    };
    Some(Insertion { position, text })
}

/// A line of its own behind the one that ends the list of addresses, indented like that list's key.
fn line_behind(text: &str, start: usize, end: usize, quoted: &str) -> (usize, String) {
    let line = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let key = text[line..start].trim_start();
    let indentation = &text[line..start - key.len()];
    let entry = format!("{indentation}provider-addresses = [{quoted}]");
    match text[end..].find('\n') {
        Some(newline) => {
            let behind = end + newline + 1;
            let ending = if text[..behind].ends_with("\r\n") {
                "\r\n"
            } else {
                "\n"
            };
            (behind, entry + ending)
        }
        None => (text.len(), format!("\n{entry}")),
    }
}

fn insert(text: &str, insertions: &[Insertion]) -> String {
    let mut sorted: Vec<&Insertion> = insertions.iter().collect();
    sorted.sort_by_key(|insertion| insertion.position);
    let mut result = String::with_capacity(text.len() + 64 * sorted.len());
    let mut copied = 0;
    for insertion in sorted {
        result.push_str(&text[copied..insertion.position]);
        result.push_str(&insertion.text);
        copied = insertion.position;
    }
    result.push_str(&text[copied..]);
    result
}
