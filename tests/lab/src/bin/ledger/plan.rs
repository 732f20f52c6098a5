//! Who sends to whom.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::Arguments;

/// A place that sends and receives, as given on the command line.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub name: String,
    pub tenant: String,
    pub namespace: String,
    pub address: IpAddr,
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split(',').collect();
        let [name, tenant, namespace, address] = parts[..] else {
            return Err("expected NAME,TENANT,NAMESPACE,ADDRESS".into());
        };
        let address = address
            .parse()
            .map_err(|error| format!("{address}: {error}"))?;
        Ok(Self {
            name: name.into(),
            tenant: tenant.into(),
            namespace: namespace.into(),
            address,
        })
    }
}

/// The names of two endpoints.
#[derive(Debug, Clone)]
pub struct Pair(String, String);

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text
            .split_once(',')
            .ok_or("expected two names, with a comma between")?;
        Ok(Self(from.into(), to.into()))
    }
}

/// One direction between two endpoints, which are given by their numbers.
#[derive(Debug, Clone)]
pub struct Flow {
    pub name: String,
    pub from: usize,
    pub to: usize,
    pub source: SocketAddr,
    pub destination: SocketAddr,
    /// What the datagrams say of the tenant that sent them.
    pub token: u64,
    /// Nothing of it may arrive.
    pub is_probe: bool,
}

/// Endpoints and the flows between them.
#[derive(Debug)]
pub struct Plan {
    pub endpoints: Vec<Endpoint>,
    pub flows: Vec<Flow>,
}

impl Plan {
    pub fn new(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let mut plan = Self {
            endpoints: arguments.endpoints.clone(),
            flows: Vec::new(),
        };
        for pair in &arguments.pairs {
            let (one, other) = (plan.endpoint(&pair.0)?, plan.endpoint(&pair.1)?);
            if plan.endpoints[one].tenant != plan.endpoints[other].tenant {
                return Err(format!("{} and {} are of different tenants", pair.0, pair.1).into());
            }
            plan.add_flow(one, other, arguments.port, false);
            plan.add_flow(other, one, arguments.port, false);
        }
        for pair in &arguments.probes {
            let (from, to) = (plan.endpoint(&pair.0)?, plan.endpoint(&pair.1)?);
            plan.add_flow(from, to, arguments.port, true);
        }
        Ok(plan)
    }

    fn endpoint(&self, name: &str) -> Result<usize, String> {
        let place = self
            .endpoints
            .iter()
            .position(|endpoint| endpoint.name == name);
        place.ok_or_else(|| format!("there is no endpoint {name}"))
    }

    pub fn add_flow(&mut self, from: usize, to: usize, port: u16, is_probe: bool) {
        let (sender, receiver) = (&self.endpoints[from], &self.endpoints[to]);
        self.flows.push(Flow {
            name: format!("{}>{}", sender.name, receiver.name),
            from,
            to,
            source: SocketAddr::new(sender.address, port),
            destination: SocketAddr::new(receiver.address, port),
            token: token(&sender.tenant),
            is_probe,
        });
    }

    /// What datagrams for an endpoint say of their tenant.
    pub fn token_at(&self, endpoint: usize) -> u64 {
        token(&self.endpoints[endpoint].tenant)
    }
}

/// FNV-1a of a tenant's name.
fn token(tenant: &str) -> u64 {
    tenant.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
