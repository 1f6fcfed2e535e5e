"""What a container that holds every capability of Docker's default tries in order to get one octet out.

Each attack is a function with a name and a line that says what it tries. It sends marked packets through its `Attempt`; a
packet of which the log must tell says so by `tell`.
"""
import time
from packets import *
from testbed import *

ATTACKS = []


class Kind:
    def __init__(self, name, text, run, only, is_flood):
        self.name, self.text, self.run, self.only, self.is_flood = name, text, run, only, is_flood


def attack(name, text, only=None, is_flood=False):
    """Registers an attack; `only` says on which beds it makes sense; a flood is not told packet by packet, and comes last."""
    def register(function):
        ATTACKS.append(Kind(name, text, function, only, is_flood))
        return function
    return register


class Attempt:
    """One attack on one bed: what was sent, and what the log must tell of it."""
    # The rules log 50 packets a second and a hundred at once: what shall be told of is sent no faster than this.
    rate, burst = 40, 40

    def __init__(self, bed, kind):
        self.bed, self.kind = bed, kind
        self.count = 0
        self.tells = []  # (set of codes, client, address)
        self.faults = []  # what else was promised and did not hold

    def mark(self):
        self.count += 1
        return self.bed.ledger.begin(self.kind.name)

    def data(self, size=48):
        """Octets that bear a mark of their own, over and over."""
        mark = self.mark()
        return (mark * (size // 8 + 1))[:max(size, 8)]

    def address(self, version, last=0x66):
        """An address of the internet that nothing opened, another one for each kind."""
        number = 60 + ATTACKS.index(self.kind)  # below 200, where the neighbour's begin
        return f"45.11.{number}.{last}" if version == 4 else f"2a10:77::{number:x}:{last:x}"

    def pace(self):
        bed, now = self.bed, time.monotonic()
        tokens, last = getattr(bed, "tokens", (self.burst, now))
        tokens = min(self.burst, tokens + (now - last) * self.rate)
        if tokens < 1:
            time.sleep((1 - tokens) / self.rate)
            tokens, now = 1, time.monotonic()
        bed.tokens = (tokens - 1, now)

    def send(self, packet, tell=None, source=None, destination=None, to=None, kind=None):
        """A packet as it stands; `tell` is the code, or codes, that its event has."""
        self.pace() if not self.kind.is_flood else time.sleep(0.001)
        if tell:
            self.tells.append(({tell} if isinstance(tell, str) else set(tell), source, destination))
        self.bed.send(packet, to, kind)

    def udp(self, source, destination, tell=None, dport=4444, sport=5555, ttl=64, to=None, size=48):
        body = udp(source, destination, self.data(size), sport, dport)
        self.send(ip(source, destination, UDP, body, ttl), tell, source, destination, to or mac_for(destination, self.bed.router))

    def tcp(self, source, destination, tell=None, dport=4444, sport=5555, flags=SYN, seq=1000, ack=0):
        body = tcp(source, destination, self.data(), sport, dport, flags, seq, ack)
        self.send(ip(source, destination, TCP, body), tell, source, destination)

    def echo(self, source, destination, tell=None, ttl=64):
        self.send(ip(source, destination, ICMP6 if is_v6(destination) else ICMP, echo(source, destination, self.data()), ttl),
                  tell, source, destination)

    def refusal(self, version):
        """The code of a packet of the container's own address to what is not open."""
        return REFUSED if self.bed.governs(version) else "spoofed-source"


REFUSED = {"raw-address", "never-resolved", "expired", "wrong-port", "other-resolver", "host-fence", "dns-over-tls"}
SPOOFED = "spoofed-source"


# MARK: - What is not open, from the container's own address

@attack("closed address", "UDP, TCP and echo to addresses that nothing opened, from the container's own address")
def closed(a):
    for version in (4, 6):
        own, there = OWN[version], a.address(version)
        a.udp(own, there, a.refusal(version))
        a.tcp(own, there, a.refusal(version))
        a.echo(own, there, a.refusal(version))
        a.udp(own, there, dport=53)
        a.tcp(own, there, dport=853)


@attack("other ports", "other ports and protocols of an address that is open on one port")
def other_ports(a):
    for version in (4, 6):
        own, there = OWN[version], OPEN[version]
        if version in a.bed.versions:
            a.bed.ask(name(OPEN_NAME), 28 if version == 6 else 1)
        for port in (80, 444, 53):
            a.tcp(own, there, a.refusal(version), dport=port)
        a.udp(own, there, a.refusal(version), dport=443)
        a.echo(own, there, a.refusal(version))


@attack("upstream", "the upstream's own address: what may only be asked through Sluice")
def upstream(a):
    for version in (4, 6):
        for port in (53, 853, 9):
            a.udp(OWN[version], UPSTREAM[version], a.refusal(version), dport=port)
            a.tcp(OWN[version], UPSTREAM[version], dport=port)


@attack("neighbours", "other servers' containers and those of no server, by every transport")
def neighbours(a):
    for version in (4, 6):
        for there in (NEIGHBOUR[version], STRANGER[version]):
            a.udp(OWN[version], there, a.refusal(version))
            a.tcp(OWN[version], there, dport=8080)
            a.echo(OWN[version], there)


# MARK: - Forged sources

@attack("source of nobody", "public and private sources that are nobody's")
def spoof_nobody(a):
    for source in ("203.0.113.77", "8.8.8.8", "100.64.1.1", "172.17.0.2", "192.168.1.1"):
        a.udp(source, a.address(4), SPOOFED)
        a.tcp(source, a.address(4))
    for source in ("2a10:77::9999", "2600::1", "fd99::1", "2002:a4d:102::1", "64:ff9b::a4d:102", "fec0::1"):
        a.udp(source, a.address(6), SPOOFED)
        a.tcp(source, a.address(6))


@attack("source of a neighbour", "another server's container, to what that one may reach")
def spoof_neighbour(a):
    for version, there in ((4, "45.11.200.9"), (6, "2a10:77::c8:9")):
        a.udp(NEIGHBOUR[version], there, SPOOFED)
        a.tcp(NEIGHBOUR[version], there, SPOOFED, dport=443)
        a.echo(NEIGHBOUR[version], there, SPOOFED)


@attack("source of a stranger", "a container that no policy governs")
def spoof_stranger(a):
    for version in (4, 6):
        a.udp(STRANGER[version], a.address(version), SPOOFED)
        a.tcp(STRANGER[version], a.address(version), SPOOFED)


@attack("another network of the link", "addresses of a network that lies behind the same interface and that no policy governs")
def spoof_link(a):
    for source, there, host in (("10.98.0.2", a.address(4), "10.98.0.1"), ("fd00:98::2", a.address(6), "fd00:98::1")):
        a.udp(source, there, SPOOFED)
        a.tcp(source, there, SPOOFED)
        a.echo(source, there)
        a.udp(source, host, SPOOFED, dport=22)
        a.tcp(source, host, SPOOFED, dport=22)


@attack("source of the host", "the host's own addresses, and the upstream's")
def spoof_host(a):
    for version in (4, 6):
        for source in (HOST[version], GATEWAY[version], "10.77.2.1" if version == 4 else "fd00:77:2::1", UPSTREAM[version]):
            a.udp(source, a.address(version))
            a.tcp(source, a.address(version))
            a.udp(source, HOST[version], dport=22)
    for version in (4, 6):
        a.udp(UPSTREAM[version], a.address(version), SPOOFED)


@attack("source of the destination", "what is open, with the destination itself, or another address of the internet, as source")
def spoof_open(a):
    for version in (4, 6):
        if version in a.bed.versions:
            a.bed.ask(name(OPEN_NAME), 28 if version == 6 else 1)
        for source in (OPEN[version], a.address(version), NEIGHBOUR[version], STRANGER[version]):
            a.tcp(source, OPEN[version], SPOOFED if source != OPEN[version] else None, dport=443)
            a.udp(source, OPEN[version], dport=443)


@attack("special sources", "loopback, unspecified, broadcast, multicast, link-local, reserved and mapped sources")
def spoof_special(a):
    for source in ("127.0.0.1", "0.0.0.0", "0.1.2.3", "255.255.255.255", "10.77.1.255", "224.0.0.1", "239.1.2.3", "169.254.1.1",
                   "240.0.0.1", "192.0.2.255"):
        a.udp(source, a.address(4), SPOOFED if source == "169.254.1.1" else None)
    for source in ("::", "::1", "ff02::1", "::ffff:10.77.1.2", "::10.77.1.2", "fe80::1", LINK_LOCAL, "100::1", "2001:db8::1"):
        a.udp(source, a.address(6), SPOOFED if source == "2001:db8::1" else None)
        a.echo(source, a.address(6))


@attack("queries in another's name", "questions to the resolver with another container's address as source")
def spoof_query(a):
    for version in (4, 6):
        for source in (NEIGHBOUR[version], STRANGER[version], a.address(version), UPSTREAM[version], HOST[version]):
            mark = a.mark().hex().encode()
            message = query([mark, b"slow", b"example"], 77)
            a.pace()
            a.tells.append(({SPOOFED}, source, GATEWAY[version])) if source != HOST[version] else None
            # An answer to it, or a question to the upstream, is a stray that the witness counts.
            a.bed.send(ip(source, GATEWAY[version], UDP, udp(source, GATEWAY[version], message, 5353, 53)))
    a.bed.settle()
    for _, _, message in list(a.bed.witness.questions):
        if MAGIC.hex().encode() in message:
            a.faults.append("a question in another's name reached the upstream")
            a.bed.witness.questions.clear()
            break


# MARK: - What the host answers before its hooks

@attack("answers to forged sources", "errors that the host's own stack sends to a forged source, with octets of the packet")
def reflections(a):
    bed = a.bed
    for version in (4, 6):
        nobody = a.address(version)
        for source in (nobody, NEIGHBOUR[version], STRANGER[version]):
            # The time of the packet is exceeded at the host itself (RFC 1812 section 5.3.1, RFC 4443 section 3.3).
            a.udp(source, a.address(version, 0x10), SPOOFED, ttl=1)
            a.echo(source, a.address(version, 0x11), ttl=1)
            # No route, no such protocol, no such port, no such host.
            a.udp(source, "198.51.100.1" if version == 4 else "4000::1")
            a.udp(source, GATEWAY[version], SPOOFED, dport=9)
            a.tcp(source, GATEWAY[version], SPOOFED, dport=9)
            a.send(ip(source, GATEWAY[version], 253, a.data()))
            # Back out of the interface that it came by: redirects (RFC 792, RFC 4861 section 8).
            a.udp(source, "10.77.1.3" if version == 4 else "fd00:77:1::3")


@attack("too big for a forged source", "packets too long for the way on, whose error goes to a forged source")
def too_big(a):
    bed = a.bed
    bed.host.ip("link set uplink mtu 1300")
    try:
        for version in (4, 6):
            for source in (NEIGHBOUR[version], STRANGER[version]):
                body = udp(source, a.address(version), a.data(1352))
                a.send(ipv4(source, a.address(4), UDP, body, flags=2) if version == 4 else ipv6(source, a.address(6), UDP, body))
        bed.settle()
    finally:
        bed.host.ip("link set uplink mtu 1500")


@attack("unknown options", "options that the host must answer with an error to a forged source")
def unknown_options(a):
    for source in (NEIGHBOUR[6], STRANGER[6], a.address(6)):
        # Hop-by-hop and destination options, unknown, action 10: send a parameter problem (RFC 8200 section 4.2).
        for header in (0, 60):
            for there in (a.address(6), GATEWAY[6]):
                body = udp(source, there, a.data())
                a.send(ipv6(source, there, header, bytes([UDP, 0, 0x9E, 4, 0, 0, 0, 0]) + body))
        # A next header that nobody knows, and a jumbogram's option with a wrong length (RFC 2675 section 3).
        a.send(ipv6(source, GATEWAY[6], 0, bytes([UDP, 0, 0xC2, 4, 0, 0, 0, 8]) + udp(source, GATEWAY[6], a.data())))
        a.send(ipv6(source, GATEWAY[6], 60, bytes([200, 0, 1, 4, 0, 0, 0, 0]) + a.data()))
    for source in (NEIGHBOUR[4], STRANGER[4], a.address(4)):
        # Record route with a wrong pointer, a timestamp option that overflows, a source route with a wrong length (RFC 1812).
        for options in (b"\x07\x07\x01\0\0\0\0", b"\x44\x04\x05\xf0", b"\x83\x02\0\0", b"\x07\x02\0\0"):
            for there in (a.address(4), GATEWAY[4]):
                a.send(ipv4(source, there, UDP, udp(source, there, a.data()), options=options))


@attack("fragments that never end", "a first fragment whose time runs out at the host, the error going to a forged source")
def fragment_timeout(a):
    for version in (4, 6):
        for index, source in enumerate((NEIGHBOUR[version], STRANGER[version], a.address(version))):
            for there in (GATEWAY[version], a.address(version, 0x20)):
                body = udp(source, there, a.data(56))
                if version == 4:
                    a.send(ipv4(source, there, UDP, body, ident=900 + index, flags=1))
                else:
                    a.send(ipv6(source, there, 44, fragment6(UDP, body, 0, True, 900 + index)))
    # The host's time for them is one second.
    time.sleep(1.6 * PATIENCE)


@attack("resets that find nobody", "addresses of its network at which nobody answers: what the host sends back in vain becomes an error to the destination")
def unanswered(a):
    for link in ("ipv4", "ipv6"):
        a.bed.host.sysctl(*[f"net.{link}.neigh.br-mcp.{setting}" for setting in ("mcast_solicit=1", "retrans_time_ms=200")])
    for version in (4, 6):
        for last in (77, 78):
            source = f"10.77.1.{last}" if version == 4 else f"fd00:77:1::{last}"
            # Sequence number and ports come back in the reset, and go out in the error about it.
            a.tcp(source, a.address(version, last), a.refusal(version) if last == 77 else None, seq=0x5E17C0DE)
            a.udp(source, a.address(version, last))
            a.tcp(source, a.address(version, last), flags=ACK, ack=0x5E17C0DE)
            # To an address of the host the same, where a service of it refuses.
            a.tcp(source, GATEWAY[version], dport=53, flags=FIN | ACK, ack=0x5E17C0DE)
    time.sleep(0.7 * PATIENCE)


# MARK: - Odd shapes

@attack("source routes", "loose and strict source routes, and IPv6 routing headers of every type")
def source_routes(a):
    own, there = OWN[4], a.address(4)
    for option in (0x83, 0x89):
        for first, last in ((GATEWAY[4], there), (HOST[4], there), (there, GATEWAY[4])):
            options = bytes([option, 7, 4]) + octets(last)
            a.send(ipv4(own, first, UDP, udp(own, last, a.data()), options=options))
            a.send(ipv4(a.address(4, 0x30), first, UDP, udp(a.address(4, 0x30), last, a.data()), options=options))
    for kind in (0, 1, 2, 3, 4, 253):
        for source in (OWN[6], a.address(6, 0x30), LINK_LOCAL):
            for first in (GATEWAY[6], HOST[6], a.bed.link_local):
                segments = octets(a.address(6))
                header = bytes([UDP, 2, kind, 1, 0, 0, 0, 0]) + segments
                a.send(ipv6(source, first, 43, header + udp(source, a.address(6), a.data())))
    # Segment routing (RFC 8754 section 2) where the host has switched it on, and a port that the resolver's listener has.
    try:
        a.bed.host.sysctl(*[f"net.ipv6.conf.{link}.seg6_enabled=1" for link in ("all", "br-mcp")])
    except Failure:
        return
    for first in (GATEWAY[6], HOST[6]):
        for last in (a.address(6), NEIGHBOUR[6], HOST[6]):
            for port in (4444, 53):
                header = bytes([UDP, 4, 4, 1, 1, 0, 0, 0]) + octets(last) + octets(first)
                a.send(ipv6(OWN[6], first, 43, header + udp(OWN[6], last, a.data(), dport=port)))
    a.bed.host.sysctl(*[f"net.ipv6.conf.{link}.seg6_enabled=0" for link in ("all", "br-mcp")])


@attack("extension headers", "closed addresses and ports behind chains of extension headers, from the container's own address")
def extension_headers(a):
    own = OWN[6]
    options, routing = b"\0\x01\x04\0\0\0\0", b"\0\0\0\0\0\0\0"
    for there in (a.address(6), OPEN[6], NEIGHBOUR[6], HOST[6]):
        for chain in ((60,), (0,), (43,), (0, 60, 43, 60), (60,) * 12, (0, 60, 44), (51,), (135,)):
            body, following = tcp(own, there, a.data(), dport=25), TCP
            for header in reversed(chain):
                rest = {43: routing, 44: b"\0\0\0\0\0\0\x63", 51: b"\x02\0\0\0\0\0\x01\0\0\0\x01\0\0\0\0"}.get(header, options)
                body, following = bytes([following]) + rest + body, header
            a.send(ipv6(own, there, following, body))


@attack("fragments", "first fragments too short for ports, overlapping ones, later ones alone, out of order")
def fragments(a):
    for version in (4, 6):
        own, there, opened = OWN[version], a.address(version), OPEN[version]
        if version in a.bed.versions:
            a.bed.ask(name(OPEN_NAME), 28 if version == 6 else 1)
        for number, target in enumerate((there, opened)):
            # To the open address, but to a port that is closed.
            whole = tcp(own, target, a.data(64), dport=25)

            def piece(offset, octets, more, ident):
                if version == 4:
                    a.send(ipv4(own, target, TCP, octets, ident=ident, offset=offset, flags=int(more)))
                else:
                    a.send(ipv6(own, target, 44, fragment6(TCP, octets, offset, more, ident)))
            ident = 100 + number * 20
            piece(0, whole[:8], True, ident)
            piece(8, whole[8:], False, ident)
            # The port of the first is open, and an overlapping one writes another over it (RFC 1858, RFC 5722).
            open_port = tcp(own, target, a.data(64), dport=443)
            piece(0, open_port[:24], True, ident + 1)
            piece(0, whole[:24], True, ident + 1)
            piece(24, whole[24:], False, ident + 1)
            piece(8, a.data(64), False, ident + 2)
            piece(1480, a.data(64), True, ident + 3)
            piece(8, whole[8:], False, ident + 4)
            piece(0, whole[:8], True, ident + 4)
            # An atomic fragment (RFC 6946).
            piece(0, whole, False, ident + 5)


@attack("TCP out of order", "SYN/ACK first, data in the midst, FIN, RST, no flags and all of them")
def tcp_flags(a):
    for version in (4, 6):
        for port, flags in enumerate((SYN | ACK, ACK, PSH | ACK, FIN | ACK, FIN, RST, RST | ACK, 0, 0x3F, SYN | FIN, SYN | RST, 0x29)):
            a.tcp(OWN[version], a.address(version), dport=443, sport=6000 + port, flags=flags, ack=77)
        a.tcp(OWN[version], a.address(version), a.refusal(version) | {"inbound-refused"} if isinstance(a.refusal(version), set) else SPOOFED,
              dport=4433, sport=6100, flags=PSH | ACK, ack=9)


@attack("simultaneous open", "a connection that an accomplice outside opens at the same moment, port for port")
def simultaneous(a):
    for version in (4, 6):
        there, own = a.address(version), OWN[version]
        for turn in range(2):
            sport, dport = 7000 + turn, 443
            a.bed.send_from("internet", ip(there, own, TCP, tcp(there, own, b"", dport, sport, SYN, 5000)))
            a.tcp(own, there, dport=dport, sport=sport, flags=SYN)
            a.bed.send_from("internet", ip(there, own, TCP, tcp(there, own, b"", dport, sport, SYN | ACK, 5000, 1001)))
            a.tcp(own, there, dport=dport, sport=sport, flags=SYN | ACK, seq=1000, ack=5001)
            a.tcp(own, there, dport=dport, sport=sport, flags=PSH | ACK, seq=1001, ack=5001)
        a.bed.send_from("internet", ip(there, own, UDP, udp(there, own, b"hello", 4444, 7007)))
        a.udp(own, there, dport=4444, sport=7007)


@attack("forged errors", "ICMP errors with the headers of open connections, to addresses that are closed")
def forged_errors(a):
    for version in (4, 6):
        if version not in a.bed.versions:
            continue
        own, opened, there = OWN[version], OPEN[version], a.address(version)
        a.bed.ask(name(OPEN_NAME), 28 if version == 6 else 1)
        a.bed.send(ip(own, opened, TCP, tcp(own, opened, a.bed.ledger.begin(None, True), 7100, 443)))
        a.bed.settle()
        for source, destination in ((opened, own), (own, opened), (there, own), (own, there), (UPSTREAM[version], HOST[version])):
            inner = ip(source, destination, TCP, tcp(source, destination, b"", 443 if source == opened else 7100, 7100 if source == opened else 443))
            for kind in ((3, 1), (11, 0), (5, 1), (12, 0)) if version == 4 else ((1, 4), (2, 0), (3, 0), (4, 0), (137, 0)):
                body = inner + a.data()
                if version == 4:
                    message = icmp(kind[0], kind[1], b"\0" * 4, body)
                else:
                    message = icmp6(own, there, kind[0], kind[1], b"\0" * 4, body)
                a.send(ip(own, there, ICMP if version == 4 else ICMP6, message))


@attack("ICMP of every type", "every type of ICMP and ICMPv6 with a payload, to the internet and a neighbour", is_flood=True)
def icmp_types(a):
    for kind in range(256):
        for there in (a.address(4), NEIGHBOUR[4]):
            a.send(ipv4(OWN[4], there, ICMP, icmp(kind, 0, b"\0" * 4, a.data())))
        for there in (a.address(6), NEIGHBOUR[6]):
            a.send(ipv6(OWN[6], there, ICMP6, icmp6(OWN[6], there, kind, 0, b"\0" * 4, a.data())))


@attack("every protocol", "IP protocols 0 to 255, from its own and a forged source, to the internet, a neighbour and the host", is_flood=True)
def protocols(a):
    for protocol in range(256):
        for version in (4, 6):
            targets = [(OWN[version], a.address(version)), (a.address(version, 0x40), a.address(version, 0x41)),
                       (OWN[version], NEIGHBOUR[version]), (OWN[version], HOST[version]), (a.address(version, 0x42), GATEWAY[version]),
                       (OWN[version], OPEN[version])]
            for source, there in targets if protocol % 8 == 0 else targets[:1] + targets[3:4] + targets[5:]:
                data = bytes([59, 0, 0, 0, 0, 0, 0, 0]) + a.data() if version == 6 and protocol in (0, 43, 44, 60) else a.data()
                a.send(ip(source, there, protocol, data))


@attack("groups", "multicast and broadcast, to the host's links and beyond, with any source")
def groups(a):
    for source in (OWN[4], a.address(4), "0.0.0.0", "169.254.9.9"):
        for there in ("224.0.0.251", "224.0.0.252", "239.1.2.3", "255.255.255.255", "10.77.1.255", "10.77.2.255", "192.0.2.255"):
            a.udp(source, there, dport=5353)
        a.echo(source, "255.255.255.255")
    for source in (OWN[6], LINK_LOCAL, a.address(6), "::"):
        for there in ("ff02::fb", "ff02::1:3", "ff02::1", "ff05::1:3", "ff0e::1", "ff01::1"):
            a.udp(source, there, dport=5353)
        a.echo(source, "ff02::1")


@attack("frames that are not IP", "VLAN tags, unknown EtherTypes, LLC, MPLS, IP behind a wrong type, other Ethernet addresses")
def frames(a):
    for version in (4, 6):
        kind = IPV4 if version == 4 else IPV6

        def packet():
            return ip(OWN[version], a.address(version), UDP, udp(OWN[version], a.address(version), a.data()))
        for tag in (0x8100, 0x88A8):
            for number in (0, 1, 100):
                a.send(struct.pack(">HH", number, kind) + packet(), kind=tag)
        a.send(struct.pack(">HHHH", 100, 0x8100, 100, kind) + packet(), kind=0x88A8)
        for other in (0x8847, 0x8863, 0x8864, 0x88E5, 0x9000, 0x88B5, 60, IPV6 if version == 4 else IPV4):
            a.send(packet(), kind=other)
        for to in (BROADCAST, b"\x01\x80\xc2\0\0\0", b"\x01\x00\x5e\0\0\x01", b"\x33\x33\0\0\0\x01", b"\x02\0\0\0\0\x99"):
            a.send(packet(), to=to)


@attack("ARP and neighbour discovery", "claims of the gateway's, a neighbour's and the upstream's address, with and without hop limit 255")
def discovery(a):
    bed = a.bed
    for claimed in (GATEWAY[4], NEIGHBOUR[4], UPSTREAM[4], HOST[4], a.address(4)):
        for operation in (1, 2):
            a.send(arp(operation, OWN_MAC, claimed, bed.router, GATEWAY[4]) + a.data(), kind=ARP)
            a.send(arp(operation, OWN_MAC, claimed, BROADCAST, claimed) + a.data(), to=BROADCAST, kind=ARP)
    for claimed in (GATEWAY[6], NEIGHBOUR[6], UPSTREAM[6], HOST[6], a.address(6)):
        for source, there, hops in ((OWN[6], GATEWAY[6], 64), (claimed, "ff02::1", 255), (LINK_LOCAL, NEIGHBOUR[6], 255),
                                    (claimed, a.address(6), 255), (OWN[6], a.address(6), 255)):
            body = icmp6(source, there, 136, 0, b"\x20\0\0\0", octets(claimed) + b"\x02\x01" + OWN_MAC + a.data())
            a.send(ipv6(source, there, ICMP6, body, hops), to=mac_for(there, bed.router))
            body = icmp6(source, there, 135, 0, b"\0" * 4, octets(claimed) + b"\x01\x01" + OWN_MAC + a.data())
            a.send(ipv6(source, there, ICMP6, body, hops), to=mac_for(there, bed.router))


@attack("router advertisements", "advertisements and redirects to the host: it shall take no route from a container")
def advertisements(a):
    bed = a.bed
    option = b"\x03\x04\x40\xc0" + struct.pack(">III", 3600, 3600, 0) + octets("2001:db8:bad::")
    for source in (LINK_LOCAL, OWN[6]):
        for there in ("ff02::1", bed.link_local, GATEWAY[6]):
            body = icmp6(source, there, 134, 0, struct.pack(">BBH", 64, 0, 1800) + b"\0" * 8, option + a.data())
            a.send(ipv6(source, there, ICMP6, body, 255), SPOOFED if source == LINK_LOCAL and there == bed.link_local else None,
                   source, there, to=mac_for(there, bed.router))
            body = icmp6(source, there, 137, 0, b"\0" * 4, octets(OWN[6]) + octets(a.address(6)) + a.data())
            a.send(ipv6(source, there, ICMP6, body, 255), to=mac_for(there, bed.router))
    inner = ipv4(HOST[4], a.address(4), UDP, udp(HOST[4], a.address(4), b""))
    for source in (OWN[4], GATEWAY[4], UPSTREAM[4]):
        a.send(ipv4(source, HOST[4], ICMP, icmp(5, 1, octets(OWN[4]), inner + a.data())))
    bed.settle()
    if "2001:db8:bad" in run("ip", "-n", bed.host.name, "-6", "route") + run("ip", "-n", bed.host.name, "-6", "address"):
        a.faults.append("the host took a prefix from the container")


# MARK: - The host itself

@attack("the host's services", "every address of the host, on ports that are not the resolver's")
def host_services(a):
    for version in (4, 6):
        for there in (HOST[version], GATEWAY[version], "10.77.2.1" if version == 4 else "fd00:77:2::1"):
            tells = {"host-fence", "other-resolver"} if a.bed.governs(version) else SPOOFED
            for port in (22, 123, 8080):
                a.udp(OWN[version], there, tells, dport=port)
                a.tcp(OWN[version], there, tells, dport=port)
            a.echo(OWN[version], there)
        if GATEWAY[version] != HOST[version]:
            a.udp(OWN[version], HOST[version], dport=53)
            a.tcp(OWN[version], HOST[version], dport=53)


@attack("the host by link-local addresses", "services of the host by fe80:: and 169.254/16, where no network is named")
def host_link_local(a):
    bed = a.bed
    for source in (LINK_LOCAL, "fe80::1234"):
        for port in (22, 53, 80, 5353, 8080):
            a.udp(source, bed.link_local, SPOOFED, dport=port)
            a.tcp(source, bed.link_local, SPOOFED, dport=port)
        a.echo(source, bed.link_local, SPOOFED)
        a.udp(source, GATEWAY[6], dport=22)
        a.udp(source, "fe80::2", dport=22)
    if bed.governs(6):
        a.udp(OWN[6], bed.link_local, {"host-fence"}, dport=22)
    a.udp("169.254.7.7", GATEWAY[4], SPOOFED, dport=22)


@attack("the host's loopback and anycast", "127/8 where the host routes it, ::1, and the subnet router's anycast address")
def loopback(a):
    for source in (OWN[4], "127.0.0.1", a.address(4)):
        for port in (22, 53, 8080):
            a.udp(source, "127.0.0.1", dport=port)
            a.tcp(source, "127.0.0.1", dport=port)
    for source in (OWN[6], "::1", LINK_LOCAL, a.address(6)):
        for there in ("::1", "fd00:77:1::", "fe80::", "::ffff:127.0.0.1"):
            a.udp(source, there, dport=22)


@attack("published ports of others", "a neighbour's published port by the host's addresses, and the container's own")
def hairpin(a):
    for there in (HOST[4], GATEWAY[4], "10.77.2.1"):
        for port in (9082, 9081):
            tell = a.refusal(4) if port == 9082 else None
            a.tcp(OWN[4], there, tell, dport=port)
            a.udp(OWN[4], there, dport=port)
            a.tcp(a.address(4), there, dport=port)


@attack("DHCP", "DHCP to the host, where the document does not ask for it", only=lambda bed: not bed.asks_dhcp)
def dhcp(a):
    for source, there in (("0.0.0.0", "255.255.255.255"), (OWN[4], GATEWAY[4]), ("0.0.0.0", GATEWAY[4])):
        a.udp(source, there, sport=68, dport=67)
    for source, there in ((LINK_LOCAL, "ff02::1:2"), (LINK_LOCAL, a.bed.link_local), (OWN[6], GATEWAY[6])):
        a.udp(source, there, sport=546, dport=547)


@attack("beside DHCP", "other ports and sources behind `dhcp: on`", only=lambda bed: bed.asks_dhcp)
def beside_dhcp(a):
    for source, there in (("0.0.0.0", "255.255.255.255"), ("0.0.0.0", GATEWAY[4]), (a.address(4), GATEWAY[4])):
        for sport, dport in ((68, 69), (68, 53), (67, 68), (68, 68)):
            a.udp(source, there, sport=sport, dport=dport)
    for sport, dport in ((546, 548), (546, 22), (547, 546)):
        a.udp(LINK_LOCAL, "ff02::1:2", sport=sport, dport=dport)


@attack("local service discovery", "mDNS, LLMNR, SSDP and NTP to the host")
def local_discovery(a):
    for source in (OWN[4], "169.254.3.3"):
        for there, port in (("224.0.0.251", 5353), ("224.0.0.252", 5355), ("239.255.255.250", 1900), (GATEWAY[4], 123), (GATEWAY[4], 5353)):
            a.udp(source, there, dport=port, ttl=255 if port == 5353 else 1)
    for source in (OWN[6], LINK_LOCAL):
        for there, port in (("ff02::fb", 5353), ("ff02::1:3", 5355), ("ff02::101", 123), (a.bed.link_local, 5353)):
            a.udp(source, there, dport=port, ttl=255)


# MARK: - Names

@attack("octets in questions", "names that are not listed, types that are not, options and further records in questions that are")
def questions(a):
    bed = a.bed
    bed.witness.questions.clear()
    version = bed.versions[0]
    for labels in ([b"evil", b"example", b"com"], [b"github", b"com"], [b"a", b"b", b"slow", b"example"], [b"api", b"github", b"com", b"example"]):
        a.pace()
        bed.ask([a.mark().hex().encode()] + labels, wait=0.2)
    for kind in (16, 255, 65, 12, 15, 5, 10):
        bed.ask(name(OPEN_NAME), kind, wait=0.2)
    # An option of EDNS, padding, a client's own OPT data, trailing octets, a second question, flags.
    for option in (8, 12, 10, 3, 65001):
        data = a.data()
        record = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 4 + len(data)) + struct.pack(">HH", option, len(data)) + data
        bed.ask(None, message=query([b"o%07d" % a.count, b"slow", b"example"], 4000 + a.count, 1, record, 1), port=21000 + a.count, wait=0)
    bed.ask(None, message=query([b"t%07d" % a.count, b"slow", b"example"], 4100) + a.data(), port=21500, wait=0)
    bed.settle()
    for _, _, message in list(bed.witness.questions):
        if MAGIC in message or MAGIC.hex().encode() in message.lower():
            a.faults.append(f"octets of a question reached the upstream: {message[12:60]!r}")
            break
    kinds = {struct.unpack(">H", message[question_end(message) - 4:question_end(message) - 2])[0] for _, _, message in list(bed.witness.questions)}
    if kinds - {1, 28, 6, 2}:
        a.faults.append(f"types {kinds} reached the upstream")


# MARK: - Forged answers of the upstream

@attack("forged answers", "the upstream's answer, forged by a container that knows port and id, with rp_filter 0, 1 and 2")
def forged_answers(a):
    bed = a.bed
    version = bed.versions[0]  # the upstream is asked in this one
    for turn, mode in enumerate((0, 2, 1)):
        bed.host.sysctl(*[f"net.ipv4.conf.{link}.rp_filter={mode}" for link in ("all", "br-mcp")])
        for index in range(2):
            label = b"f%07d" % (len(bed.ledger.kinds) % 10_000_000)
            bed.witness.questions.clear()
            port = 23000 + turn * 10 + index
            bed.ask([label, b"slow", b"example"], 1, wait=0, port=port)

            def asked():
                return next((entry for entry in list(bed.witness.questions) if label in entry[2]), None)
            try:
                source, upstream_port, message = eventually("the question to the upstream", 3, asked)
            except Failure:
                continue
            there = a.address(4, 0x50 + turn * 4 + index)
            forged = answer(message, struct.unpack(">H", message[:2])[0], [there])
            sender = UPSTREAM[version]
            a.mark()

            def forge():
                a.send(ip(sender, source, UDP, udp(sender, source, forged, 53, upstream_port)),
                       SPOOFED if mode == 0 or version == 6 else None, sender, source)
            got = bed.wire.exchange(
                forge, 0.5, lambda packet: packet.protocol == UDP and packet.ports == (53, port) and packet.data)
            if got and there in addresses_of(got):
                a.faults.append(f"a forged answer was believed, rp_filter {mode}")
                if bed.governs(4):
                    a.tcp(OWN[4], there, dport=443)
            bed.settle()
    bed.host.sysctl("net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.br-mcp.rp_filter=0")


# MARK: - Inbound

def converse(a, there, own, port, place, tell, protocol=TCP):
    """An accomplice connects to the container and gets what it has to say."""
    bed = a.bed
    sport = 40000 + len(bed.ledger.kinds) % 20000
    a.pace()
    if tell:
        a.tells.append(({tell}, there, None))
    if protocol == UDP:
        bed.send_from(place, ip(there, own, UDP, udp(there, own, b"hello", sport, port)))
        bed.settle()
        a.send(ip(OWN[6 if is_v6(own) else 4], there, UDP, udp(OWN[6 if is_v6(own) else 4], there, a.data(), port, sport)))
        return
    bed.send_from(place, ip(there, own, TCP, tcp(there, own, b"", sport, port, SYN, 5000)))
    bed.settle()
    mine = OWN[6 if is_v6(own) else 4]
    inner = port if port < 9000 else port - 1000
    a.send(ip(mine, there, TCP, tcp(mine, there, a.data(), inner, sport, SYN | ACK, 1000, 5001)))
    bed.send_from(place, ip(there, own, TCP, tcp(there, own, b"", sport, port, ACK, 5001, 1001)))
    a.send(ip(mine, there, TCP, tcp(mine, there, a.data(), inner, sport, PSH | ACK, 1001, 5001)))
    bed.settle()


@attack("connections to the container", "an accomplice outside connects to a port that `inbound` does not list, routed and published")
def inbound(a):
    for version in (4, 6):
        tell = "inbound-refused" if a.bed.governs(version) else None
        converse(a, a.address(version), OWN[version], 8081, "internet", tell)
        converse(a, a.address(version, 0x60), OWN[version], 8081, "internet", tell, UDP)
        converse(a, a.address(version, 0x61), OWN[version], 8080, "internet", tell, UDP)
    converse(a, a.address(4, 0x62), HOST[4], 9081, "internet", "inbound-refused" if a.bed.governs(4) else None)
    for version in (4, 6):
        there = a.address(version, 0x63)
        a.bed.send_from("internet", ip(there, OWN[version], ICMP if version == 4 else ICMP6, echo(there, OWN[version], b"ping")))
        a.bed.settle()
        data = a.data()
        reply = icmp(0, 0, struct.pack(">HH", 77, 1), data) if version == 4 else icmp6(OWN[6], there, 129, 0, struct.pack(">HH", 77, 1), data)
        a.send(ip(OWN[version], there, ICMP if version == 4 else ICMP6, reply))


@attack("connections from neighbours", "containers of another server, whose policy lists this one, and of none connect to it")
def inbound_neighbours(a):
    for version in (4, 6):
        for place, there in (("neighbour", NEIGHBOUR[version]), ("stranger", STRANGER[version])):
            converse(a, there, OWN[version], 8081, place, "inbound-refused" if a.bed.governs(version) else None)
            converse(a, there, OWN[version], 8082, place, None, UDP)
    for place, there in (("neighbour", NEIGHBOUR[4]), ("stranger", STRANGER[4])):
        converse(a, there, "10.77.2.1" if place == "neighbour" else "10.99.0.1", 9081, place, None)


@attack("connections of the host", "what the host itself opened to the container is no way to anything else")
def from_host(a):
    bed = a.bed
    for version in bed.versions:
        sender = bed.host.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
        sender.bind((GATEWAY[version], 0))
        port = sender.getsockname()[1]
        sender.sendto(b"hello", (OWN[version], 7200))
        bed.settle()
        inner = ip(GATEWAY[version], OWN[version], UDP, udp(GATEWAY[version], OWN[version], b"hello", port, 7200))
        there = a.address(version)
        a.udp(OWN[version], there, sport=7200, dport=port)
        if version == 4:
            a.send(ip(OWN[4], there, ICMP, icmp(3, 3, b"\0" * 4, inner + a.data())))
        else:
            a.send(ip(OWN[6], there, ICMP6, icmp6(OWN[6], there, 1, 4, b"\0" * 4, inner + a.data())))
        # The same ports of another address of the host, and another port of the same.
        a.udp(OWN[version], HOST[version], sport=7200, dport=port)
        a.udp(OWN[version], GATEWAY[version], sport=7201, dport=port)
        sender.close()


@attack("expected connections", "helpers of connection tracking: FTP's and TFTP's expectations, made by an accomplice",
        only=lambda bed: bed.governs(4) and helpers(bed))
def expectations(a):
    bed, own, there = a.bed, OWN[4], "45.11.0.21"
    sport = 7300
    bed.send(ip(own, there, TCP, tcp(own, there, b"", sport, 21, SYN, 1000)))
    bed.settle()
    bed.send_from("internet", ip(there, own, TCP, tcp(there, own, b"", 21, sport, SYN | ACK, 5000, 1001)))
    bed.settle()
    bed.send(ip(own, there, TCP, tcp(own, there, b"", sport, 21, ACK, 1001, 5001)))
    bed.settle()
    passive = b"227 Entering Passive Mode (45,11,0,21,17,92).\r\n"
    bed.send_from("internet", ip(there, own, TCP, tcp(there, own, passive, 21, sport, PSH | ACK, 5001, 1001)))
    bed.settle()
    a.tcp(own, there, dport=17 * 256 + 92, sport=7301)
    active = b"PORT 10,77,1,2,17,93\r\n"
    bed.send(ip(own, there, TCP, tcp(own, there, active, sport, 21, PSH | ACK, 1001, 5001 + len(passive))))
    bed.settle()
    bed.send_from("internet", ip(there, own, TCP, tcp(there, own, b"", 20, 17 * 256 + 93, SYN, 9000)))
    bed.settle()
    a.tcp(own, there, sport=17 * 256 + 93, dport=20, flags=SYN | ACK, seq=1, ack=9001)
    bed.send(ip(own, there, UDP, udp(own, there, b"\0\x01file\0octet\0", 7302, 69)))
    bed.settle()
    bed.send_from("internet", ip(there, own, UDP, udp(there, own, b"\0\x03\0\x01", 7777, 7302)))
    bed.settle()
    a.udp(own, there, sport=7302, dport=7777)


def helpers(bed):
    """Whether this kernel has the helpers; they are then set for FTP and TFTP, as an operator's rules would."""
    if not hasattr(bed, "has_helpers"):
        try:
            bed.host.nft('table ip helpers { ct helper ftp { type "ftp" protocol tcp; }; ct helper tftp { type "tftp" protocol udp; }; '
                         'chain set { type filter hook prerouting priority -150; tcp dport 21 ct helper set "ftp"; '
                         'udp dport 69 ct helper set "tftp"; }; }')
            bed.has_helpers = True
        except Failure:
            bed.has_helpers = False
    return bed.has_helpers
