//! Why frames are refused, each reason in a sentence.

use netvirt_core::datapath::DropReason;

/// A refusal in a sentence for people.
pub(super) const fn meaning(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Truncated => {
            "a header does not fit into the frame, or into what was captured of it"
        }
        DropReason::PortUnknown => "the port has no policy",
        DropReason::Malformed => "the machine's headers contradict themselves or the frame",
        DropReason::VmVlan => "the machine sent a VLAN tag; a port has a VSID or a VLAN, not both",
        DropReason::MacSpoof => "the source MAC address is not the port's",
        DropReason::CaSpoof => "no record says that the source address lives on this port",
        DropReason::ArpSpoof => "an ARP message claims an address that is not the port's",
        DropReason::NdSpoof => "neighbour discovery claims an address that is not the port's",
        DropReason::OwnAddress => "a message about the sender's own address needs no carrying",
        DropReason::NeighbourUnknown => {
            "no record knows the address that is asked for, or no router is there to answer"
        }
        DropReason::RouterGuard => "a machine must not act as a router",
        DropReason::Ethertype => "neither IPv4, IPv6 nor ARP",
        DropReason::GatewayAddress => "the gateway answers nothing but echo requests",
        DropReason::Multicast => {
            "for many, but from an address without record, to no group that is carried, or not so on every layer"
        }
        DropReason::StormLimit => "the port sends more broadcast and multicast than it may",
        DropReason::NoRoute => "no route of the routing domain leads to the destination",
        DropReason::NoRecord => "no record knows who has the destination's address",
        DropReason::NoPath => "no usable path leads to the host of the destination",
        DropReason::TtlExceeded => "the TTL or hop limit ends at the distributed router",
        DropReason::TooBig => "the packet does not fit through the path",
        DropReason::RewriteUnsupported => "IP rewrite cannot carry this packet",
        DropReason::SourceRoute => {
            "IP rewrite cannot carry addresses in options or extension headers"
        }
        DropReason::TinyFragment => {
            "the first fragment is too short to hold the checksum to adjust"
        }
        DropReason::IcmpInnerUnknown => {
            "the packet that the ICMP error quotes cannot be translated: it is cut short in its IP header, an ICMP error \
             itself, or has an address that no record knows"
        }
        DropReason::OuterDstMac => {
            "the frame is for another MAC address than the provider address's"
        }
        DropReason::PaVlan => "the frame is not in the VLAN of the provider address",
        DropReason::OuterMalformed => "the outer IP header contradicts itself or the frame",
        DropReason::OuterFragment => "fragments of tunnelled packets are not put together",
        DropReason::OuterSrcBad => "the outer source is no address of another host",
        DropReason::GreVersion => "only GRE version 0 is understood",
        DropReason::GreFlags => "the GRE header has flags that NVGRE does not use",
        DropReason::GreCsum => "the GRE checksum is wrong",
        DropReason::GreProto => "GRE, but not NVGRE: no key, or no Ethernet frame inside",
        DropReason::VsidUnknown => "the VSID is reserved, or unknown on this host",
        DropReason::InnerL2 => "the inner Ethernet header is short, tagged, or from no station",
        DropReason::InnerEthertype => "the inner frame is neither IPv4 nor IPv6",
        DropReason::InnerMalformed => "the inner IP header contradicts itself or the frame",
        DropReason::SrcPaMismatch => {
            "the inner source does not live on the host that sent the frame"
        }
        DropReason::SrcPaUnknown => {
            "the sender's provider address stands for no machine that may send here"
        }
        DropReason::InnerSrcMac => {
            "the inner source MAC address is neither the sender's nor the router's"
        }
        DropReason::NoLocalDst => "the inner destination does not live here",
        DropReason::RedirectLoop => "the frame was already sent on once after a machine that moved",
        DropReason::EcnNotCapable => {
            "congestion was marked on a packet whose sender cannot hear of it"
        }
        DropReason::OffloadBad => {
            "what is left to be done to the frame begins in front of its transport header"
        }
        DropReason::NoHeadroom => "the buffer has no room for the header",
        DropReason::PortFull => {
            "the device did not take the frame: its queue is full, it is down or gone, or the frame is too large"
        }
        DropReason::NeighbourQueueFull => "too many frames wait for this next hop",
        DropReason::NeighbourTimeout => "the next hop did not answer",
        DropReason::SuperFrame => {
            "the frame is still to be cut into segments, and its device takes only finished frames"
        }
        _ => "refused",
    }
}
