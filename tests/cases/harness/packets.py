"""Packets of the cases: scapy expressions over named addresses, and what a case leaves open.

An expression is evaluated in a namespace of scapy layers and the constants below; it gives a scapy
packet or bytes. Names that start with ANY_ stand for values the gateway chooses (a NAT port, an IPv4
id): the first packet that shows one binds it, from then on it has that value. Where it stands in a
packet is found by evaluating the expression with two stand-ins; lengths and checksums are scapy's.
"""
import functools
import ipaddress
import struct

from scapy.fields import BitField, ByteField, FlagsField, ShortField
from scapy.layers import inet, inet6, l2, sctp, vxlan
from scapy.packet import Packet, Padding, Raw, bind_layers


class CaseError(Exception):
    """The case itself is wrong, or the gateway did something else; the text says what."""


class ExpressionError(CaseError):
    """An expression that no gateway could satisfy."""


class GUE(Packet):
    """Generic UDP Encapsulation, variant 0, without extension fields (draft-ietf-intarea-gue)."""

    name = "GUE"
    fields_desc = [
        BitField("version", 0, 2),
        FlagsField("control", 0, 1, ["C"]),
        BitField("hlen", 0, 5),
        ByteField("proto", 4),
        ShortField("flags", 0),
    ]


bind_layers(inet.UDP, GUE, dport=6080)
bind_layers(GUE, inet.IP, proto=4)
bind_layers(GUE, inet6.IPv6, proto=41)

# Ports of the gateway: name, number, its own MAC.
PORTS = {"wan": 0, "lan": 1}
MACS = {"wan": "02:00:00:00:02:00", "lan": "02:00:00:00:02:01"}
BACKENDS = 4

# By family: clients behind a router on wan, backends (and nodes) on lan.
_ADDRESSES = {
    "ipv4": {"CLIENT": "192.0.2.10", "CLIENT2": "192.0.2.11", "VIP": "198.51.100.1", "VIP2": "198.51.100.2",
             "NAT_SOURCE": "10.0.0.254", "NAT_SOURCE2": "10.0.0.253", "TUNNEL_SOURCE": "10.0.0.252",
             "PATH_ROUTER": "203.0.113.1", "UNSPECIFIED": "0.0.0.0", "LOOPBACK": "127.0.0.1",
             "MULTICAST": "224.0.0.5", "BROADCAST": "255.255.255.255", "EVERYWHERE": "0.0.0.0/0"},
    "ipv6": {"CLIENT": "2001:db8:1::10", "CLIENT2": "2001:db8:1::11", "VIP": "2001:db8:100::1",
             "VIP2": "2001:db8:100::2", "NAT_SOURCE": "fd00::fe", "NAT_SOURCE2": "fd00::fd",
             "TUNNEL_SOURCE": "fd00::fc", "PATH_ROUTER": "2001:db8:2::1", "UNSPECIFIED": "::",
             "LOOPBACK": "::1", "MULTICAST": "ff02::5", "EVERYWHERE": "::/0"},
}
for _n in range(1, BACKENDS + 1):
    _ADDRESSES["ipv4"][f"BACKEND{_n}"] = f"10.0.0.{_n}"
    _ADDRESSES["ipv6"][f"BACKEND{_n}"] = f"fd00::{_n}"
    _ADDRESSES["ipv4"][f"NODE{_n}"] = f"10.9.0.{_n}"
    _ADDRESSES["ipv6"][f"NODE{_n}"] = f"fd09::{_n}"


def _macs():
    macs = {"WAN_MAC": MACS["wan"], "LAN_MAC": MACS["lan"], "ROUTER_MAC": "02:00:00:00:01:01"}
    for n in range(1, BACKENDS + 1):
        macs[f"BACKEND{n}_MAC"] = f"02:00:00:00:03:{n:02x}"
    return macs


def _frames(macs):
    def frame(source, destination):
        return l2.Ether(src=macs[source], dst=macs[destination])

    frames = {"FROM_CLIENT": frame("ROUTER_MAC", "WAN_MAC"), "TO_CLIENT": frame("WAN_MAC", "ROUTER_MAC")}
    for n in range(1, BACKENDS + 1):
        frames[f"FROM_BACKEND{n}"] = frame(f"BACKEND{n}_MAC", "LAN_MAC")
        frames[f"TO_BACKEND{n}"] = frame("LAN_MAC", f"BACKEND{n}_MAC")
    return frames


def _ip(family):
    """L3(src, dst, ...): the family's IP header under IPv4's names; id and df are IPv4's alone."""

    def header(src, dst, ttl=64, tos=0, id=1, df=False):  # As the field is named. pylint: disable=redefined-builtin
        if family == "ipv4":
            return inet.IP(src=src, dst=dst, ttl=ttl, tos=tos, id=id, flags="DF" if df else 0)
        return inet6.IPv6(src=src, dst=dst, hlim=ttl, tc=tos)

    return header


def _error(family):
    """error(KIND, mtu): an ICMP or ICMPv6 error without the packet it quotes (RFC 792, 1191, 4443)."""
    kinds = {
        "host-unreachable": (inet.ICMP(type=3, code=1), inet6.ICMPv6DestUnreach(code=3)),
        "port-unreachable": (inet.ICMP(type=3, code=3), inet6.ICMPv6DestUnreach(code=4)),
        "time-exceeded": (inet.ICMP(type=11, code=0), inet6.ICMPv6TimeExceeded(code=0)),
        "parameter-problem": (inet.ICMP(type=12, code=0, ptr=1), inet6.ICMPv6ParamProblem(code=0, ptr=4)),
    }

    def build_error(kind, mtu=0):
        if kind == "too-big":
            return inet.ICMP(type=3, code=4, nexthopmtu=mtu) if family == "ipv4" else inet6.ICMPv6PacketTooBig(mtu=mtu)
        return kinds[kind][family != "ipv4"]

    return build_error


def quote(family, packet):
    """What a router's error quotes of a packet: up to 576 bytes in all (RFC 1812 4.3.2.3), or 1280 (RFC 4443)."""
    return bytes(packet)[:576 - 20 - 8 if family == "ipv4" else 1280 - 40 - 8]


def fragment(packet, start, stop, id):  # As the field is named. pylint: disable=redefined-builtin
    """Of an IP packet, the fragment with these bytes behind its header (RFC 791 3.2, RFC 8200 4.5)."""
    data = bytes(packet)
    header = packet.copy()
    header.remove_payload()
    length = 40 if isinstance(packet, inet6.IPv6) else 20
    piece, more = data[length:][start:stop], len(data) - length > stop
    if isinstance(packet, inet.IP):
        header.proto, header.id, header.frag, header.flags = data[9], id, start // 8, "MF" if more else 0
        return header / Raw(piece)
    header.nh = 44
    return header / inet6.IPv6ExtHdrFragment(nh=data[6], offset=start // 8, m=int(more), id=id) / Raw(piece)


def proxy_header(source, destination, source_port, destination_port):
    """PROXY protocol version 2 (HAProxy, "The PROXY protocol", 2.2): command PROXY, TCP, no TLVs."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    family = 0x11 if len(addresses) == 8 else 0x21
    rest = addresses + struct.pack("!HH", source_port, destination_port)
    return b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, family, len(rest)) + rest


def outer(destination, tos=0, df=True, id=0, label=0, source=None):
    """A tunnel's outer IP header, which starts a life of its own: TTL 64; DSCP, ECN and DF from inside."""
    if ":" in destination:
        return inet6.IPv6(src=source or _ADDRESSES["ipv6"]["TUNNEL_SOURCE"], dst=destination, hlim=64, tc=tos, fl=label)
    return inet.IP(src=source or _ADDRESSES["ipv4"]["TUNNEL_SOURCE"], dst=destination, ttl=64, tos=tos,
                   flags="DF" if df else 0, id=0 if df else id)


def outer_udp(destination, sport, dport, **of_ip):
    """The same with UDP: no checksum over IPv4 (RFC 7348 4.1), one over IPv6 (RFC 8200 8.1)."""
    checksum = None if ":" in destination else 0
    return outer(destination, **of_ip) / inet.UDP(sport=sport, dport=dport, chksum=checksum)


def toeplitz(source, destination, source_port, destination_port):
    """The RSS hash of NDIS ("RSS hashing functions"), with the key of its verification suite."""
    key = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
    data = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    data += struct.pack("!HH", source_port, destination_port)
    bits = int.from_bytes(key, "big")
    result = 0
    for i in range(8 * len(data)):
        if data[i // 8] >> (7 - i % 8) & 1:
            result ^= bits >> (8 * len(key) - 32 - i) & 0xFFFFFFFF
    return result


def owner(port, workers, source, destination, source_port, destination_port):
    """The worker that a port's indirection table, as gateway.cpp makes it, gives a packet to."""
    return (toeplitz(source, destination, source_port, destination_port) % 128) // (1 + PORTS[port]) % workers


def zero_udp_sum(source, destination, source_port, destination_port):
    """Two bytes of payload with which the UDP checksum comes out as 0, and is sent as 0xffff."""
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address(destination).packed
    total = sum(struct.unpack(f"!{len(addresses) // 2}H", addresses)) + 17 + 10 + source_port + destination_port + 10
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", 0xFFFF - total)


def payload(length):
    """Bytes that show where they belong."""
    return bytes(i * 7 + (i >> 8) & 0xFF for i in range(length))


@functools.lru_cache(maxsize=None)
def constants(family):
    """Names an expression may use, for one family; _V4, _V6 and _OTHER behind a name choose."""
    if family not in _ADDRESSES:
        raise CaseError(f"family {family}; ipv4 and ipv6 are known")
    names = {"__builtins__": {}, "bytes": bytes, "len": len, "range": range, "hex": bytes.fromhex, "int": int,
             "fragment": fragment, "proxy_header": proxy_header,
             "error": _error(family), "quote": functools.partial(quote, family), "outer": outer, "outer_udp": outer_udp, "owner": owner, "payload": payload, "zero_udp_sum": zero_udp_sum, "Padding": Padding, "Raw": Raw, "GUE": GUE, "VXLAN": vxlan.VXLAN,
             "FAMILY": family, "L3": _ip(family)}
    for module, wanted in (
        (l2, ("Ether", "Dot1Q", "Dot1AD", "ARP")),
        (inet, ("IP", "TCP", "UDP", "ICMP", "IPerror", "TCPerror", "UDPerror", "IPOption")),
        (inet6, ("IPv6", "ICMPv6EchoRequest", "ICMPv6EchoReply", "ICMPv6DestUnreach", "ICMPv6PacketTooBig",
                 "ICMPv6TimeExceeded", "ICMPv6ParamProblem", "ICMPv6ND_NS", "IPv6ExtHdrHopByHop",
                 "IPv6ExtHdrDestOpt", "IPv6ExtHdrRouting", "IPv6ExtHdrFragment", "PadN", "RouterAlert")),
        (sctp, tuple(n for n in dir(sctp) if n.startswith("SCTP"))),
    ):
        names.update((name, getattr(module, name)) for name in wanted)
    names.update((n, getattr(inet, n)) for n in dir(inet) if n.startswith("IPOption_"))
    macs = _macs()
    names.update(macs)
    names.update(_frames(macs))
    other = "ipv6" if family == "ipv4" else "ipv4"
    for suffix, of in (("", family), ("_OTHER", other), ("_V4", "ipv4"), ("_V6", "ipv6")):
        names.update((name + suffix, value) for name, value in _ADDRESSES[of].items())
    return names


# Hexadecimal digits of an open value, by the start of its name.
_OPEN = {"ANY_PORT": 4, "ANY_ID": 4, "ANY_LONG": 8, "ANY_LABEL": 5, "ANY_V4": 8, "ANY_V6": 32}


def _value(name, number):
    if name.startswith("ANY_V4") or name.startswith("ANY_V6"):
        return str(ipaddress.ip_address(number.to_bytes(4 if name.startswith("ANY_V4") else 16, "big")))
    return number


def _digits(name, family):
    if name.startswith("ANY_FRAGMENT"):
        return 4 if family == "ipv4" else 8
    for start, digits in _OPEN.items():
        if name.startswith(start):
            return digits
    raise CaseError(f"{name}: open values are ANY_FRAGMENT, {', '.join(_OPEN)} and whatever follows these")


def _stand_in(digits, index, which):
    number = int.from_bytes(bytes([0xA6 - 0x51 * which, 0x31 + index]) * 8, "big")
    return number & (1 << 4 * digits) - 1


class Scope(dict):
    """A case's own names: bound open values, values of `each`, N of a repeated step."""

    def __init__(self, names):
        super().__init__(names)
        self.stand_in = None  # Number of the set of stand-ins to give open names; None: give none.
        self.asked = []

    def __missing__(self, name):
        if not name.startswith("ANY_"):
            raise KeyError(name)
        if self.stand_in is None:
            raise CaseError(f"{name} is used before any packet has shown it")
        if name not in self.asked:
            self.asked.append(name)
        return _value(name, _stand_in(_digits(name, self["family"]), self.asked.index(name), self.stand_in))


def evaluate(text, scope):
    """Of any expression; packets come as they are."""
    try:
        return eval(text, constants(scope["family"]), scope)
    except CaseError:
        raise
    except Exception as error:  # Whatever a wrong expression raises.
        raise ExpressionError(f"{text}: {type(error).__name__}: {error}") from error


def build(text, scope):
    """The bytes of a packet expression."""
    packet = evaluate(text, scope)
    if not isinstance(packet, (Packet, bytes)):
        raise ExpressionError(f"{text}: gives a {type(packet).__name__}, neither a packet nor bytes")
    try:
        return bytes(packet)
    except Exception as error:
        raise ExpressionError(f"{text}: cannot be built: {type(error).__name__}: {error}") from error


def check(texts, scope):
    """Builds all of them, with stand-ins for what is open."""
    scope.stand_in = 0
    try:
        for text in texts:
            build(text, scope)
    finally:
        scope.stand_in = None


def expect(text, scope, actual):
    """The bytes `text` stands for; names that were open are bound to what `actual` shows."""
    variants = []
    scope.asked = []
    for stand_in in (0, 1):
        scope.stand_in = stand_in
        try:
            variants.append(build(text, scope).hex())
        finally:
            scope.stand_in = None
    open_names = scope.asked
    shown = actual.hex()
    for index, name in enumerate(open_names):
        digits = _digits(name, scope["family"])
        ones, twos = (f"{_stand_in(digits, index, which):0{digits}x}" for which in (0, 1))
        at = [i for i in range(len(variants[0]) - digits + 1)
              if variants[0].startswith(ones, i) and variants[1].startswith(twos, i)]
        if not at:  # Stands nowhere in this one: in IPv6, say, where it is IPv4's id.
            continue
        part = shown[at[0]:at[0] + digits]
        if len(part) < digits:
            part = "0" * digits  # Too short to show it; the comparison will tell.
        scope[name] = _value(name, int(part, 16))
    scope.stand_in = 0
    try:
        return build(text, scope)
    finally:
        scope.stand_in = None
