"""Captures for the oracles, made by scapy, which computes its checksums by itself.

    packets.py machine OUT          what machine 1 of oracle.toml sends to machine 2, and through its gateway to machine 3
    packets.py break IN OUT         the frames of a capture of NVGRE with all checksums wrong that can be
"""

import sys

from scapy.all import (
    ICMP, IP, SCTP, TCP, UDP, Ether, GRE, ICMPv6EchoRequest, IPOption_Router_Alert, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop, PadN, SCTPChunkData, SCTPChunkInit, fragment, fragment6, raw, rdpcap, wrpcap,
)

MACHINE_1 = "06:06:00:00:00:05"
MACHINE_2 = "06:06:00:00:00:07"
ROUTER = "02:00:00:00:00:01"
DATA = bytes(range(251))
SYN_OPTIONS = [("MSS", 1400), ("SAckOK", b""), ("Timestamp", (7, 0)), ("NOP", None), ("WScale", 7)]


def machine():
    same_subnet = Ether(src=MACHINE_1, dst=MACHINE_2)
    routed = Ether(src=MACHINE_1, dst=ROUTER)
    frames = []
    for link, ipv4, ipv6 in [
        (same_subnet, "10.0.0.7", "2001:db8:1::7"),
        (routed, "10.0.1.6", "2001:db8:2::6"),
    ]:
        for network in [
            IP(src="10.0.0.5", dst=ipv4, ttl=9, id=0x1234),
            IP(src="10.0.0.5", dst=ipv4, ttl=255, id=0, flags="DF", tos=0xB8),
            IP(src="10.0.0.5", dst=ipv4, ttl=64, id=7, options=[IPOption_Router_Alert()]),
            IPv6(src="2001:db8:1::5", dst=ipv6, hlim=9, fl=0x12345),
            IPv6(src="2001:db8:1::5", dst=ipv6, hlim=255, tc=0xB8),
        ]:
            frames += [link / packet for packet in transports(network)]
        frames += [link / packet for packet in fragments(ipv4, ipv6)]
    return frames


def transports(network):
    """The transport protocols over an IP header, among them packets whose checksums are wrong and stay so."""
    ports = {"sport": 5000, "dport": 5001}
    datagram = UDP(**ports) / b"hello"
    segment = TCP(**ports, flags="PA", seq=1, ack=2) / DATA
    yield from (network / each for each in (
        datagram,
        UDP(**ports) / DATA,
        UDP(**ports),
        UDP(**ports, chksum=0xBAD) / DATA,
        TCP(**ports, flags="S", options=SYN_OPTIONS),
        segment,
        TCP(**ports, flags="FA", chksum=0xBAD) / b"x",
        SCTP(**ports) / SCTPChunkInit(),
        SCTP(**ports) / SCTPChunkData(data=DATA),
        echo(network) / DATA,
        echo(network) / b"odd",
    ))
    if network.version == 4:
        yield network / UDP(**ports, chksum=0) / b"no checksum"
        return
    yield network / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]) / datagram
    yield network / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]) / segment


def echo(network):
    return ICMP(id=3, seq=4) if network.version == 4 else ICMPv6EchoRequest(id=3, seq=4)


def fragments(ipv4, ipv6):
    long = UDP(sport=5000, dport=5001) / (DATA * 12)
    yield from fragment(IP(src="10.0.0.5", dst=ipv4, id=0x4321) / long, 1000)
    yield from fragment(IP(src="10.0.0.5", dst=ipv4, id=0x4322) / TCP(sport=5, dport=6) / (DATA * 12), 1000)
    yield from fragment6(IPv6(src="2001:db8:1::5", dst=ipv6) / IPv6ExtHdrFragment(id=0x4323) / long, 1000)


def broken(frame):
    """Wrong checksums in the outer IP header, in the inner one, and in the inner transport header where it has one."""
    frame = Ether(raw(frame))
    if IP in frame and frame.payload.version == 4:
        frame[IP].chksum ^= 0x5555
    inner = frame[GRE].payload
    packet = inner.payload
    if packet.version == 4:
        packet.chksum ^= 0x5555
    for transport in (TCP, UDP):
        if transport in packet and packet[transport].chksum != 0:
            packet[transport].chksum ^= 0x5555
    return frame


def main():
    match sys.argv[1:]:
        case ["machine", out]:
            wrpcap(out, machine())
        case ["break", frames, out]:
            wrpcap(out, [broken(frame) for frame in rdpcap(frames)])
        case _:
            sys.exit(__doc__)


main()
