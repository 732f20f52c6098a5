//! Why a frame was refused.

use core::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)+) => {
        /// Why a frame was refused: exactly one per refused frame, each with a counter.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name of its counter.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// A header does not fit into the frame, or not into the header window (spec row 1).
    Truncated => "truncated",
    /// The port has no policy.
    PortUnknown => "port_unknown",
    /// A virtual machine's IP header contradicts itself or the frame.
    Malformed => "malformed",
    /// A virtual machine sent a VLAN tag; VSID and VLAN exclude each other.
    VmVlan => "vm_vlan",
    /// The source MAC address is not the port's.
    MacSpoof => "mac_spoof",
    /// The source address has no record that says it lives on this port.
    CaSpoof => "ca_spoof",
    /// An ARP message claims an address or a MAC address that is not the port's.
    ArpSpoof => "arp_spoof",
    /// A neighbour discovery message claims an address or a MAC address that is not the port's.
    NdSpoof => "nd_spoof",
    /// An ARP or neighbour discovery message about the sender's own address: it needs no carrying.
    OwnAddress => "own_address",
    /// A question for an address that no record knows, or for a router where there is none.
    NeighbourUnknown => "neighbour_unknown",
    /// A virtual machine acted as a router: router advertisement or redirect. Nor is a redirect of the provider network
    /// any business of a virtual machine.
    RouterGuard => "router_guard",
    /// Neither IPv4, IPv6 nor ARP.
    Ethertype => "ethertype",
    /// A packet for the gateway itself that it does not answer.
    GatewayAddress => "gateway_address",
    /// Broadcast or multicast from an address that no record has, to no group that is replicated, or for many on one layer and
    /// for one on the other. Out of a group of the provider network: to an address that is not mapped to it.
    Multicast => "multicast",
    /// More broadcast and multicast than the port may send. Of one frame: more copies than are made.
    StormLimit => "storm_limit",
    /// No route of the routing domain leads to the destination.
    NoRoute => "no_route",
    /// The destination lies in a subnet of the routing domain, and no record knows it.
    NoRecord => "no_record",
    /// The destination's host has no usable path: no provider route, or none of the right family.
    NoPath => "no_path",
    /// The TTL or hop limit does not survive the distributed router.
    TtlExceeded => "ttl_exceeded",
    /// The packet does not fit through the path.
    TooBig => "too_big",
    /// IP rewrite cannot carry this: a header chain too long to find the transport in or to reach behind, a routing
    /// protocol whose checksum covers the addresses, an ICMPv6 error of a type that is not known. Of a copy: broadcast or
    /// multicast.
    RewriteUnsupported => "rewrite_unsupported",
    /// IP rewrite cannot carry an address list in the header: source route or type 0 routing header.
    SourceRoute => "source_route",
    /// A first fragment too short to hold the checksum that rewrite must adjust (RFC 1858, RFC 3128).
    TinyFragment => "tiny_fragment",
    /// IP rewrite cannot translate the packet that an ICMP error quotes: it is cut short within its IP header, no record
    /// that the receiver may know has its addresses, or it is an ICMP error itself.
    IcmpInnerUnknown => "icmp_inner_unknown",
    /// An ICMP error of a router of the provider network for a machine that was told as many as its port's limit allows.
    ErrorLimit => "error_limit",
    /// A frame from the uplink to a MAC address that is not this host's.
    OuterDstMac => "outer_dst_mac",
    /// The outer VLAN is not the provider address's.
    PaVlan => "pa_vlan",
    /// The outer IP header contradicts itself or the frame, or its checksum is wrong.
    OuterMalformed => "outer_malformed",
    /// The outer packet is a fragment (RFC 7637 §4.4 lets the receiver discard it).
    OuterFragment => "outer_fragment",
    /// The outer source is no other host: multicast, loopback, unspecified or our own.
    OuterSrcBad => "outer_src_bad",
    /// GRE version is not 0.
    GreVersion => "gre_version",
    /// GRE flags that must be discarded, or that strict reception refuses.
    GreFlags => "gre_flags",
    /// The GRE checksum is wrong.
    GreCsum => "gre_csum",
    /// GRE without key or not Transparent Ethernet Bridging: not NVGRE.
    GreProto => "gre_proto",
    /// The VSID is reserved, or this host's policy does not know it.
    VsidUnknown => "vsid_unknown",
    /// The inner Ethernet header is short, tagged, or has no station as its source.
    InnerL2 => "inner_l2",
    /// The inner frame is neither IPv4 nor IPv6.
    InnerEthertype => "inner_ethertype",
    /// The inner IP header contradicts itself or the frame, or its checksum is wrong.
    InnerMalformed => "inner_malformed",
    /// The inner source does not live on the host that owns the outer source.
    SrcPaMismatch => "src_pa_mismatch",
    /// A rewritten packet from a provider address that no record knows, or of another routing domain; or an ICMP error of a
    /// router that tells a smaller MTU than any link has.
    SrcPaUnknown => "src_pa_unknown",
    /// The inner source MAC address is neither the sender's nor the router's.
    InnerSrcMac => "inner_src_mac",
    /// The destination does not live here.
    NoLocalDst => "no_local_dst",
    /// A frame for a machine that moved on, which was already sent on once.
    RedirectLoop => "redirect_loop",
    /// Congestion was marked on a packet whose sender cannot hear of it (RFC 6040 §4.2).
    EcnNotCapable => "ecn_not_capable",
    /// What is left to be done to the frame, such as a partial checksum, would begin in front of the packet's transport
    /// header.
    OffloadBad => "offload_bad",
    /// Adapter: the buffer has no room for the header.
    NoHeadroom => "no_headroom",
    /// Adapter: the device did not take the frame: its queue is full, it is down or gone, or the frame is too large for
    /// it or otherwise not to its liking.
    PortFull => "port_full",
    /// Adapter: too many frames already wait for this next hop, or too many next hops are asked for.
    NeighbourQueueFull => "neighbour_queue_full",
    /// Adapter: the next hop did not answer.
    NeighbourTimeout => "neighbour_timeout",
    /// Adapter: a frame that is still to be cut into segments, towards a device that takes only finished frames.
    SuperFrame => "super_frame",
}

impl DropReason {
    /// The index of its counter.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether the frame was refused because the policy says nothing of it, so that a larger one might carry it.
    pub const fn is_uncovered(self) -> bool {
        matches!(
            self,
            Self::PortUnknown
                | Self::NeighbourUnknown
                | Self::NoRoute
                | Self::NoRecord
                | Self::NoPath
                | Self::IcmpInnerUnknown
                | Self::VsidUnknown
                | Self::SrcPaMismatch
                | Self::SrcPaUnknown
                | Self::NoLocalDst
        )
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
