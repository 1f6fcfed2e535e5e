"""Packets, octet for octet: Ethernet, IP, UDP, TCP, ICMP and DNS, as valid or as wrong as a hostile sender wants them."""
import ipaddress, socket, struct

TCP, UDP, ICMP, ICMP6, IGMP = 6, 17, 1, 58, 2
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
BROADCAST = b"\xff" * 6


def octets(address):
    """An IP address in text as octets of the wire."""
    return ipaddress.ip_address(address).packed


def is_v6(address):
    return ":" in address


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_for(destination, router):
    """The Ethernet address for a destination: a group's own (RFC 1112 section 6.4, RFC 2464 section 7), else the router's."""
    address = ipaddress.ip_address(destination)
    if address.version == 6:
        return b"\x33\x33" + address.packed[12:] if address.is_multicast else router
    if address.is_multicast:
        return b"\x01\x00\x5e" + bytes([address.packed[1] & 0x7F]) + address.packed[2:]
    return BROADCAST if destination == "255.255.255.255" else router


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def pseudo(source, destination, protocol, length):
    if is_v6(destination):
        return octets(source) + octets(destination) + struct.pack(">II", length, protocol)
    return octets(source) + octets(destination) + struct.pack(">BBH", 0, protocol, length)


def ethernet(to, sender, kind, payload):
    return to + sender + struct.pack(">H", kind) + payload


def ipv4(source, destination, protocol, payload, ttl=64, options=b"", ident=1, offset=0, flags=0):
    """`offset` in octets; `flags` 1 more fragments, 2 don't fragment."""
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x40 | words, 0, words * 4 + len(payload), ident, flags << 13 | offset // 8, ttl, protocol, 0,
        octets(source), octets(destination)) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(source, destination, protocol, payload, hops=64):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, hops) + octets(source) + octets(destination) + payload


def ip(source, destination, protocol, payload, ttl=64):
    if is_v6(destination):
        return ipv6(source, destination, protocol, payload, ttl)
    return ipv4(source, destination, protocol, payload, ttl)


def fragment6(protocol, payload, offset=0, more=False, ident=1):
    """A fragment header (RFC 8200 section 4.5) and what follows it; the protocol before it is 44."""
    return struct.pack(">BBHI", protocol, 0, offset | int(more), ident) + payload


def udp(source, destination, data, sport=5555, dport=4444):
    head = struct.pack(">HHHH", sport, dport, 8 + len(data), 0)
    value = checksum(pseudo(source, destination, UDP, 8 + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack(">H", value) + data


def tcp(source, destination, data, sport=5555, dport=4444, flags=SYN, seq=1000, ack=0):
    head = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, 5 << 4, flags, 64240, 0, 0)
    value = checksum(pseudo(source, destination, TCP, 20 + len(data)) + head + data)
    return head[:16] + struct.pack(">H", value) + head[18:] + data


def icmp(kind, code, rest, data):
    head = struct.pack(">BBH", kind, code, 0) + rest + data
    return head[:2] + struct.pack(">H", checksum(head)) + head[4:]


def icmp6(source, destination, kind, code, rest, data):
    head = struct.pack(">BBH", kind, code, 0) + rest + data
    return head[:2] + struct.pack(">H", checksum(pseudo(source, destination, ICMP6, len(head)) + head)) + head[4:]


def echo(source, destination, data, number=1):
    rest = struct.pack(">HH", 77, number)
    if is_v6(destination):
        return icmp6(source, destination, 128, 0, rest, data)
    return icmp(8, 0, rest, data)


def arp(operation, sender, sender_address, target, target_address):
    """RFC 826."""
    return struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) + sender + octets(sender_address) + target + octets(target_address)


def query(name, ident=1, kind=1, additional=b"", count=0):
    labels = b"".join(bytes([len(label)]) + label for label in name) + b"\0"
    return struct.pack(">HHHHHH", ident, 0x100, 1, 0, 0, count) + labels + struct.pack(">HH", kind, 1) + additional


def name(text):
    return [label.encode() for label in text.split(".")]


def answer(question, ident, addresses):
    """An upstream's answer to a query, with address records for its name."""
    body = question[12:question_end(question)]
    records = b"".join(
        struct.pack(">HHHIH", 0xC00C, 28 if is_v6(address) else 1, 1, 60, len(octets(address))) + octets(address)
        for address in addresses)
    return struct.pack(">HHHHHH", ident, 0x8180, 1, len(addresses), 0, 0) + body + records


def question_end(message):
    """The offset after the first question of a DNS message."""
    at = 12
    while at < len(message) and message[at]:
        at += message[at] + 1
    return at + 5


def addresses_of(message):
    """The addresses in an answer section whose owner names are compressed or plain."""
    count, at, found = struct.unpack(">H", message[6:8])[0], question_end(message), []
    for _ in range(count):
        while at < len(message) and message[at] and message[at] < 0xC0:
            at += message[at] + 1
        at += 2 if at < len(message) and message[at] >= 0xC0 else 1
        kind, _, _, length = struct.unpack(">HHIH", message[at:at + 10])
        if kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, message[at + 10:at + 10 + length]))
        at += 10 + length
    return found


class Parsed:
    """What the headers of a frame say; `source` is None where it is no IP."""

    def __init__(self, frame):
        self.kind = struct.unpack(">H", frame[12:14])[0]
        self.source = self.destination = None
        self.protocol, self.payload, self.hops = -1, frame[14:], 0
        packet = frame[14:]
        if self.kind == IPV4 and len(packet) >= 20:
            self.source, self.destination = socket.inet_ntop(socket.AF_INET, packet[12:16]), socket.inet_ntop(socket.AF_INET, packet[16:20])
            self.protocol, self.payload, self.hops = packet[9], packet[(packet[0] & 15) * 4:struct.unpack(">H", packet[2:4])[0]], packet[8]
        elif self.kind == IPV6 and len(packet) >= 40:
            self.source, self.destination = socket.inet_ntop(socket.AF_INET6, packet[8:24]), socket.inet_ntop(socket.AF_INET6, packet[24:40])
            self.protocol, self.payload, self.hops = packet[6], packet[40:40 + struct.unpack(">H", packet[4:6])[0]], packet[7]
            if self.protocol == 0 and len(self.payload) >= 8:  # hop-by-hop options, as MLD has them
                self.protocol, self.payload = self.payload[0], self.payload[(self.payload[1] + 1) * 8:]

    @property
    def ports(self):
        """Source and destination port, or (0, 0)."""
        if self.protocol in (TCP, UDP) and len(self.payload) >= 4:
            return struct.unpack(">HH", self.payload[:4])
        return 0, 0

    @property
    def data(self):
        """What UDP carries, or TCP."""
        if self.protocol == UDP:
            return self.payload[8:]
        return self.payload[(self.payload[12] >> 4) * 4:] if self.protocol == TCP and len(self.payload) >= 20 else b""
