//! Interfaces, addresses and routes, made by rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use netvirt_core::{MacAddress, Prefix};
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{
    Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
};
use tokio::runtime;

use super::namespace::Space;
use crate::device::Capabilities;
use crate::device::link::Interface;

/// One end of a pair of interfaces: what comes into one comes out of the other.
#[derive(Debug, Clone, Copy)]
pub struct End<'e> {
    /// Where it lies.
    pub space: &'e Space,
    /// Its name.
    pub name: &'e str,
    /// Its MAC address; without, one that the kernel makes up.
    pub mac: Option<MacAddress>,
}

/// Makes a pair of interfaces and lets both work.
///
/// # Errors
/// It is not permitted, or the kernel has no such interfaces.
pub fn add_pair(one: End<'_>, other: End<'_>, mtu: u16) -> io::Result<()> {
    let namespace = other.space.as_fd().as_raw_fd();
    let peer = configured(LinkUnspec::new_with_name(other.name), other.mac, mtu);
    let peer = InfoVeth::Peer(peer.setns_by_fd(namespace).build());
    let pair = configured(LinkVeth::new(one.name, other.name), one.mac, mtu);
    let pair = pair.set_info_data(InfoData::Veth(peer));
    let made = inside(one.space, async |netlink| {
        netlink.link().add(pair.build()).execute().await
    });
    made.map_err(|error| because("a veth pair cannot be made", &error))?;
    // An end cannot work before it has another.
    for end in [one, other] {
        Interface::open(end.name, end.space)?.set_up()?;
    }
    Ok(())
}

fn configured<T: Default>(
    link: LinkMessageBuilder<T>,
    mac: Option<MacAddress>,
    mtu: u16,
) -> LinkMessageBuilder<T> {
    let link = link.mtu(mtu.into());
    match mac {
        Some(mac) => link.address(mac.0.to_vec()),
        None => link,
    }
}

/// Makes a bridge of interfaces that are there. It adds nothing to what they carry.
///
/// # Errors
/// It is not permitted, or the kernel has no bridges.
pub fn add_bridge(space: &Space, name: &str, ports: &[&str]) -> io::Result<()> {
    let bridge = LinkBridge::new(name).mcast_snooping(false).up().build();
    let made = inside(space, async |netlink| {
        netlink.link().add(bridge).execute().await
    });
    made.map_err(|error| because("a bridge cannot be made", &error))?;
    let bridge = Interface::open(name, space)?.index();
    for port in ports {
        let port = LinkUnspec::new_with_name(port).controller(bridge).build();
        let joined = inside(space, async |netlink| {
            netlink.link().set(port).execute().await
        });
        joined.map_err(|error| because("an interface cannot join a bridge", &error))?;
    }
    Ok(())
}

/// Has the kernel cut what it sends through an interface into packets itself.
///
/// # Errors
/// It is not permitted.
pub fn disable_segmentation_offload(space: &Space, interface: &str) -> io::Result<()> {
    Interface::open(interface, space)?.set_transmit_offloads(Capabilities {
        checksum: true,
        segmentation: false,
    })
}

/// Gives an interface an address, and makes the subnet's gateway that of everything else.
///
/// # Errors
/// It is not permitted, or the kernel has no IPv6.
pub fn add_address(
    space: &Space,
    interface: &str,
    address: IpAddr,
    subnet: Prefix,
) -> io::Result<()> {
    let index = Interface::open(interface, space)?.index();
    let added = inside(space, async |netlink| {
        let mut added = netlink.address().add(index, address, subnet.length());
        // It is in use at once: nobody else can have it.
        added.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        added.execute().await?;
        let routes = netlink.route();
        match subnet.gateway() {
            Some(IpAddr::V4(gateway)) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway);
                routes.add(route.build()).execute().await
            }
            Some(IpAddr::V6(gateway)) => {
                let route = RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway);
                routes.add(route.build()).execute().await
            }
            None => Ok(()),
        }
    });
    added.map_err(|error| because(&format!("{address} cannot be added"), &error))
}

fn because(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Has the kernel do something to the interfaces of a namespace.
fn inside(
    space: &Space,
    work: impl AsyncFnOnce(Handle) -> Result<(), rtnetlink::Error> + Send,
) -> io::Result<()> {
    space.run_inside(|| {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        runtime.block_on(async {
            let (connection, netlink, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            work(netlink).await.map_err(error_of)
        })
    })?
}

fn error_of(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
