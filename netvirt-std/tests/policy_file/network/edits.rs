//! What an operator does to a file from one version to the next.

use proptest::prelude::*;

use super::*;

/// What an operator does to a file.
#[derive(Debug, Clone)]
pub enum Edit {
    ChangeNetwork(usize, NetworkPlan),
    ChangeHost(usize, HostPlan),
    ExchangeAddressesOfHosts(usize, usize),
    ChangeSubnet(usize, SubnetPlan),
    ChangeMethod(usize, usize),
    ExchangeSubnets(usize, usize),
    ExchangePrefixes(usize, usize),
    ChangeMachine(usize, MachinePlan),
    MoveMachine(usize, usize),
    RetireMigrations,
    ExchangeHosts(usize, usize),
    ExchangeMacs(usize, usize),
    ExchangeSubnetsOfMachines(usize, usize),
    ExchangeAddresses(usize, usize),
    ExchangeProviderAddresses(usize, usize),
    ReverseMachines,
    ChangeRoutes(Vec<RoutePlan>),
    ReverseMetrics,
    ChangePeerings(Vec<(usize, usize, bool)>),
    ChangeSettings(u8),
    ChangeAll(Box<Plan>),
}

pub fn any_edit() -> impl Strategy<Value = Edit> {
    use Edit::*;
    let machines = || (0..MACHINES, 0..MACHINES);
    let subnets = || (0..VSIDS.len(), 0..VSIDS.len());
    let hosts = || (0..HOSTS, 0..HOSTS);
    prop_oneof![
        2 => (0..NETWORKS.len(), any_network()).prop_map(|(n, new)| ChangeNetwork(n, new)),
        2 => (0..HOSTS, any_host()).prop_map(|(n, new)| ChangeHost(n, new)),
        2 => hosts().prop_map(|(a, b)| ExchangeAddressesOfHosts(a, b)),
        2 => (0..VSIDS.len(), any_subnet()).prop_map(|(n, new)| ChangeSubnet(n, new)),
        2 => (0..VSIDS.len(), 0..METHODS.len()).prop_map(|(n, method)| ChangeMethod(n, method)),
        1 => subnets().prop_map(|(a, b)| ExchangeSubnets(a, b)),
        2 => subnets().prop_map(|(a, b)| ExchangePrefixes(a, b)),
        3 => (0..MACHINES, any_machine()).prop_map(|(n, new)| ChangeMachine(n, new)),
        4 => (0..MACHINES, 0..HOSTS).prop_map(|(n, host)| MoveMachine(n, host)),
        2 => Just(RetireMigrations),
        2 => machines().prop_map(|(a, b)| ExchangeHosts(a, b)),
        2 => machines().prop_map(|(a, b)| ExchangeMacs(a, b)),
        2 => machines().prop_map(|(a, b)| ExchangeSubnetsOfMachines(a, b)),
        2 => machines().prop_map(|(a, b)| ExchangeAddresses(a, b)),
        3 => machines().prop_map(|(a, b)| ExchangeProviderAddresses(a, b)),
        1 => Just(ReverseMachines),
        1 => prop::collection::vec(any_route(), 0..4).prop_map(ChangeRoutes),
        1 => Just(ReverseMetrics),
        1 => prop::collection::vec(any_peering(), 0..3).prop_map(ChangePeerings),
        1 => (0..3u8).prop_map(ChangeSettings),
        1 => any_plan().prop_map(|plan| ChangeAll(Box::new(plan))),
    ]
}

impl Plan {
    pub fn edit(&mut self, edit: &Edit) {
        let machines = &mut self.machines;
        match edit.clone() {
            Edit::ChangeNetwork(n, new) => self.networks[n] = new,
            Edit::ChangeHost(n, new) => self.hosts[n] = new,
            Edit::ExchangeAddressesOfHosts(a, b) => {
                exchange(&mut self.hosts, a, b, |host| &mut host.addresses);
            }
            Edit::ChangeSubnet(n, new) => self.subnets[n] = new,
            Edit::ChangeMethod(n, method) => self.subnets[n].method = method,
            Edit::ExchangeSubnets(a, b) => self.subnets.swap(a, b),
            Edit::ExchangePrefixes(a, b) => {
                exchange(&mut self.subnets, a, b, |subnet| &mut subnet.prefixes);
            }
            Edit::ChangeMachine(n, new) => machines[n] = new,
            Edit::MoveMachine(n, host) => {
                machines[n].previous = Some(std::mem::replace(&mut machines[n].host, host));
            }
            Edit::RetireMigrations => machines.iter_mut().for_each(|m| m.previous = None),
            Edit::ExchangeHosts(a, b) => exchange(machines, a, b, |machine| &mut machine.host),
            Edit::ExchangeMacs(a, b) => exchange(machines, a, b, |machine| &mut machine.mac),
            Edit::ExchangeSubnetsOfMachines(a, b) => {
                exchange(machines, a, b, |machine| &mut machine.subnet);
            }
            Edit::ExchangeAddresses(a, b) => {
                exchange(machines, a, b, |machine| &mut machine.addresses);
            }
            Edit::ExchangeProviderAddresses(a, b) => {
                let (first, second) =
                    (machines[a].addresses.clone(), machines[b].addresses.clone());
                for (to, from) in [(a, second), (b, first)] {
                    let provider_addresses = from.into_iter().map(|(_, provider)| provider);
                    for (pair, provider) in
                        machines[to].addresses.iter_mut().zip(provider_addresses)
                    {
                        pair.1 = provider;
                    }
                }
            }
            Edit::ReverseMachines => machines.reverse(),
            Edit::ChangeRoutes(routes) => self.routes = routes,
            Edit::ReverseMetrics => {
                self.routes
                    .iter_mut()
                    .for_each(|route| route.metric = 2 - route.metric);
            }
            Edit::ChangePeerings(peerings) => self.peerings = peerings,
            Edit::ChangeSettings(settings) => self.settings = settings,
            Edit::ChangeAll(plan) => *self = *plan,
        }
    }
}

fn exchange<T, V>(list: &mut [T], a: usize, b: usize, field: impl Fn(&mut T) -> &mut V)
where
    V: Clone,
{
    let first = field(&mut list[a]).clone();
    let second = std::mem::replace(field(&mut list[b]), first);
    *field(&mut list[a]) = second;
}
