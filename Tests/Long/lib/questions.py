"""A zone with everything that a zone can have, and the questions about it, each of which is asked once.

Every name that is asked for has the label MARK, by which it is found on a wire."""
import random
from dns import *

MARK = "inquiry"
ZONE = f"{MARK}.example"
# What policy has to admit.
KINDS = ("A", "AAAA", "CNAME", "TXT", "MX", "SRV", "CAA", "HTTPS", "SVCB", "NAPTR", "TLSA", "SSHFP", "LOC", "HINFO", "RP", "AFSDB", "RT", "KX",
         "MINFO", "URI", "DNAME", "SOA", "NS", "TYPE65280")
# As many as Sluice answers of one name, links that it follows, and octets of records other than addresses.
MOST_ADDRESSES, MOST_LINKS, MOST_OCTETS = 64, 11, 16_384


def same(direct, own):
    return direct.shape == own.shape


# What is not the same, and why it is so: each says whether an answer is just that.

def parameters(data):
    """The parameters of HTTPS and SVCB by their numbers, and what stands before them (RFC 9460 section 2.2)."""
    _, at = read_name(data, 2)
    head, found = data[:at], {}
    while at + 4 <= len(data):
        key, count = struct.unpack(">HH", data[at:at + 4])
        found[key] = data[at + 4:at + 4 + count]
        at += 4 + count
    return head, found


def bound(direct, own, change):
    """Whether the one record is the upstream's with its parameters changed."""
    if direct.rcode != own.rcode or len(direct.records) != 1 or len(own.records) != 1:
        return False
    (owner, kind, data), (own_owner, own_kind, own_data) = *direct.records, *own.records
    head, found = parameters(data)
    return (owner, kind, head, change(found)) == (own_owner, own_kind, *parameters(own_data))


def without_ech(direct, own):
    """Of HTTPS `ech` is taken out; hints stay, and what they hold is open."""
    return bound(direct, own, lambda found: {key: value for key, value in found.items() if key != 5})


def open_protocols(direct, own):
    """Of HTTPS `alpn` is cut to what the entry's ports carry: h3 needs 443/udp."""
    return bound(direct, own, lambda found: found | {1: b"\x02h2"})


def closed_port(direct, own):
    """An HTTPS record for a port that the entry does not open is left out."""
    return direct.rcode == own.rcode == "NOERROR" and len(direct.records) == 1 and not own.records


def cut_to_64(direct, own):
    """More than 64 addresses of a name are cut: all that are answered are open."""
    return direct.rcode == own.rcode and own.records < direct.records and len(own.records) == MOST_ADDRESSES


def cut_to_octets(direct, own):
    """More than 16 KiB of records are cut."""
    return direct.rcode == own.rcode and bool(own.records) and own.records < direct.records


def nothing_private(direct, own):
    """An address that is not public is NODATA."""
    return direct.rcode == own.rcode == "NOERROR" and bool(direct.records) and not own.records


def too_long(direct, own):
    """A chain of more than eleven CNAMEs is SERVFAIL, as some upstreams have it themselves."""
    return own.rcode == "SERVFAIL" and not own.records and (direct.rcode == own.rcode or b"chain-too-long" in own.text)


def without_dname(direct, own):
    """A DNAME is not handed on, the CNAME that is made of it is (RFC 6672 section 3.1)."""
    return direct.rcode == own.rcode and {record for record in direct.records if record[1] != 39} == own.records


class Question:
    def __init__(self, shape, name, kind, expected=same):
        self.shape, self.name, self.kind, self.expected = shape, name, kind, expected


class Book:
    """`count` questions and the lines of the zone that answer them."""

    def __init__(self, count, seed=16):
        self.random = random.Random(seed)
        self.lines = ["$ORIGIN .", "$TTL 3600", ". IN SOA ns. hostmaster. 1 3600 600 86400 300", ". IN NS ns.", "ns. IN A 192.0.2.54",
                      f"*.wild.{ZONE}. A 45.11.9.1", f"*.wild.{ZONE}. TXT \"w\"", f"*.far.{ZONE}. CNAME wide.chain.example.",
                      "wide.chain.example. A 45.11.9.2", f"moved.{ZONE}. DNAME target.chain.example.", "*.target.chain.example. A 45.11.9.3",
                      f"leaf.{ZONE}. A 45.11.9.4"]
        shapes = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("shape_")]
        self.questions = [shapes[number % len(shapes)](f"q{number}.{ZONE}", number) for number in range(count)]
        self.random.shuffle(self.questions)

    @property
    def zone(self):
        return "\n".join(self.lines) + "\n"

    def add(self, owner, kind, *data):
        self.lines += [f"{owner}. {kind} {text}" for text in data]

    def address(self):
        return f"45.11.{self.random.randrange(10, 200)}.{self.random.randrange(1, 255)}"

    def addresses(self, count):
        return [f"45.11.{200 + at // 250}.{at % 250 + 1}" for at in self.random.sample(range(10_000), count)]

    def six(self):
        return f"2a10:77::{self.random.randrange(1, 0xFFFF):x}:{self.random.randrange(1, 0xFFFF):x}"

    def simple(self, shape, name, kind, *data):
        self.add(name, kind, *data)
        return Question(shape, name, kind)

    def shape_a(self, name, number):
        return self.simple("A", name, "A", self.address())

    def shape_aaaa(self, name, number):
        return self.simple("AAAA", name, "AAAA", self.six())

    def shape_several(self, name, number):
        return self.simple("several A", name, "A", *self.addresses(2 + number % 20))

    def shape_both(self, name, number):
        self.add(name, "A", self.address())
        return self.simple("AAAA beside A", name, "AAAA", self.six(), self.six())

    def shape_no_ttl(self, name, number):
        self.lines.append(f"{name}. 0 A {self.address()}")
        return Question("TTL 0", name, "A")

    def shape_txt(self, name, number):
        octets = "".join(f"\\{self.random.randrange(256):03d}" for _ in range(number % 250))
        return self.simple("TXT", name, "TXT", f'"v=spf1 -all" "{octets}" ""', '"second"')

    def shape_mx(self, name, number):
        return self.simple("MX", name, "MX", f"10 {name}.", f"20 mail.{name}.", "30 Mail.Other.Example.", "40 two.other.example.")

    def shape_srv(self, name, number):
        return self.simple("SRV", f"_sip._tcp.{name}", "SRV", f"1 2 443 {name}.", "1 3 8443 one.other.example.", "1 4 8443 two.other.example.")

    def shape_caa(self, name, number):
        return self.simple("CAA", name, "CAA", '0 issue "ca.example"', '128 iodef "mailto:a@b.example"')

    def shape_https(self, name, number):
        self.add(name, "HTTPS", "1 . alpn=h2,h3 port=8443")
        return Question("HTTPS to another port", name, "HTTPS", closed_port)

    def shape_alpn(self, name, number):
        self.add(name, "HTTPS", "1 . alpn=h2,h3")
        return Question("HTTPS", name, "HTTPS", open_protocols)

    def shape_svcb(self, name, number):
        return self.simple("SVCB, an alias", name, "SVCB", f"0 leaf.{ZONE}.")

    def shape_hints(self, name, number):
        self.add(name, "HTTPS", "1 . alpn=h2 ipv4hint=45.11.0.1 ech=AAAA ipv6hint=2a10:77::1")
        return Question("HTTPS with hints", name, "HTTPS", without_ech)

    def shape_naptr(self, name, number):
        return self.simple("NAPTR", name, "NAPTR", f'100 10 "S" "SIP+D2U" "!^.*$!sip:x@y!" _sip._udp.{name}.', '100 20 "" "" "" a.other.example.', '100 30 "" "" "" b.other.example.')

    def shape_tlsa(self, name, number):
        return self.simple("TLSA", f"_443._tcp.{name}", "TLSA", "3 1 1 " + "ab" * 32)

    def shape_sshfp(self, name, number):
        return self.simple("SSHFP", name, "SSHFP", "1 1 " + "cd" * 20, "4 2 " + "ef" * 32)

    def shape_loc(self, name, number):
        return self.simple("LOC", name, "LOC", "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m")

    def shape_hinfo(self, name, number):
        return self.simple("HINFO", name, "HINFO", '"CPU" "OS"')

    def shape_rp(self, name, number):
        return self.simple("RP", name, "RP", "mbox.other.example. text.other.example.", f"mbox.{name}. .")

    def shape_afsdb(self, name, number):
        return self.simple("AFSDB", name, "AFSDB", f"1 {name}.", "1 one.other.example.", "2 two.other.example.")

    def shape_rt(self, name, number):
        return self.simple("RT", name, "RT", f"5 {name}.", "6 one.other.example.", "7 two.other.example.")

    def shape_kx(self, name, number):
        return self.simple("KX", name, "KX", f"5 {name}.", "6 one.other.example.", "7 two.other.example.")

    def shape_minfo(self, name, number):
        return self.simple("MINFO", name, "MINFO", f"{name}. one.other.example.", "one.other.example. two.other.example.")

    def shape_uri(self, name, number):
        return self.simple("URI", name, "URI", '10 1 "https://a.example/b"')

    def shape_unknown(self, name, number):
        return self.simple("a type that nobody knows", name, "TYPE65280", "\\# 5 c00c0a0001")

    def shape_letters(self, name, number):
        self.add(name.replace("q", "Q"), "CNAME", "MiXeD.Chain.EXAMPLE.")
        if "MiXeD" not in "".join(self.lines[:20]):
            self.lines.insert(12, "MiXeD.Chain.EXAMPLE. A 45.11.9.5")
        return Question("letters", name, "A")

    def chain(self, name, number, links, kind="A", *data):
        """A chain through names that are not listed."""
        owners = [name] + [f"l{link}.c{number}.chain.example" for link in range(links)]
        for owner, target in zip(owners, owners[1:]):
            self.add(owner, "CNAME", target + ".")
        if data:
            self.add(owners[-1], kind, *data)

    def shape_chain(self, name, number):
        self.chain(name, number, 1 + number % 8, "A", *self.addresses(1 + number % 3))
        return Question("a chain", name, "A")

    def shape_longest_chain(self, name, number):
        self.chain(name, number, 10, "AAAA", self.six())
        return Question("a chain of ten", name, "AAAA")

    def shape_longer_chain(self, name, number):
        self.chain(name, number, 12, "A", self.address())
        return Question("a chain of twelve", name, "A", too_long)

    def shape_chain_to_nothing(self, name, number):
        self.chain(name, number, 1 + number % 3)
        return Question("a chain to no name", name, "A")

    def shape_chain_to_other_type(self, name, number):
        self.chain(name, number, 2, "TXT", '"x"')
        return Question("a chain to another type", name, "A")

    def shape_chain_to_text(self, name, number):
        self.chain(name, number, 2, "TXT", '"x" "y"')
        return Question("a chain to TXT", name, "TXT")

    def shape_cname(self, name, number):
        self.chain(name, number, 2, "A", self.address())
        return Question("CNAME itself", name, "CNAME")

    def shape_wildcard(self, name, number):
        return Question("a wildcard", f"w{number}.wild.{ZONE}", "A")

    def shape_wildcard_deep(self, name, number):
        return Question("a wildcard, two labels", f"a.w{number}.wild.{ZONE}", "TXT")

    def shape_wildcard_cname(self, name, number):
        return Question("a wildcard's CNAME", f"w{number}.far.{ZONE}", "A")

    def shape_wildcard_nodata(self, name, number):
        return Question("a wildcard without the type", f"n{number}.wild.{ZONE}", "MX")

    def shape_nxdomain(self, name, number):
        return Question("no such name", name, ("A", "AAAA", "TXT", "MX")[number % 4])

    def shape_below_leaf(self, name, number):
        return Question("no name below a name", f"x{number}.leaf.{ZONE}", "A")

    def shape_nodata(self, name, number):
        self.add(name, "A", self.address())
        return Question("no such type", name, ("AAAA", "TXT", "HTTPS", "SOA", "NS")[number % 5])

    def shape_empty(self, name, number):
        self.add(f"below.{name}", "A", self.address())
        return Question("an empty name", name, "A")

    def shape_big(self, name, number):
        return self.simple("60 AAAA, by TCP", name, "AAAA", *[f"2a10:77::{at:x}:{number & 0xFFFF:x}" for at in range(60)])

    def shape_crowd(self, name, number):
        self.add(name, "A", *self.addresses(100))
        return Question("100 A", name, "A", cut_to_64)

    def shape_big_text(self, name, number):
        text = " ".join('"' + chr(97 + at % 26) * 250 + '"' for at in range(20))
        return self.simple("5 KB of TXT, by TCP", name, "TXT", text)

    def shape_huge_text(self, name, number):
        lines = [" ".join('"' + chr(97 + (at + line) % 26) * 250 + '"' for at in range(16)) for line in range(8)]
        self.add(name, "TXT", *lines)
        return Question("32 KB of TXT", name, "TXT", cut_to_octets)

    def shape_long_name(self, name, number):
        room = 253 - len(name) - 1
        labels = []
        while room > 0:
            count = min(63, room)
            labels.append("x" * count)
            room -= count + 1
        return self.simple("255 octets of name", ".".join(labels + [name]), "A", self.address())

    def shape_private(self, name, number):
        self.add(name, "A", ("10.1.2.3", "127.0.0.1", "169.254.169.254")[number % 3])
        return Question("a private address", name, "A", nothing_private)

    def shape_dname(self, name, number):
        return Question("below a DNAME", f"d{number}.moved.{ZONE}", "A", without_dname)
