"""The noise of one server's clients, and their own count of it.

A round is the same whenever it is played: names, types, packets and their order follow from the server and the round's number.
Everything that is asked is answered before more than a few questions are open, so that no queue on the way overflows; what
gets no answer by design is sent between two questions that get one.
"""
import hashlib, os, random, select, socket, struct, time
from collections import Counter
from packets import *

JUNK_LIKE = ("com", "net", "io", "dev")
OPT = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)
FORGER = mac("02:00:00:00:77:ee")  # the source of frames that are made here
CACHED = [f"c{number}.cached.example" for number in range(20)]
EXACT = "api.open.example"
REPEATED = [f"{word}.{zone}" for word in ("telemetry", "ads", "pixel", "update", "beacon") for zone in ("denied.com", "tracker.net", "cdn.io")]
WINDOW = 10
PATIENCE_OF_CLIENTS = 20
CONNECTIONS = 500  # distinct (address, port) of a server's refused connections
PARTS = 3000  # octets of a datagram that comes in parts: the host's own chains refuse its first one


def own(server, host, version=4):
    return f"10.77.{server}.{host}" if version == 4 else f"fd00:77:{server}::{host}"


def network(server, version):
    return f"10.77.{server}.0/24" if version == 4 else f"fd00:77:{server}::/64"


def marked_name(server):
    return f"marked-{server}.exfiltration-{server}.com"


def marked_address(server):
    return f"45.11.99.{server}"


def question(text, kind=1, klass=1):
    message = query(name(text) if text else [], 0, kind, OPT, 1)
    end = question_end(message)
    return message[:end - 2] + struct.pack(">H", klass) + message[end:]


def faulty(number):
    """Messages that get an error for an answer."""
    message = question("faulty.example")
    return (message[:4] + b"\0\2" + message[6:], message + b"x", b"\0\0\x10" + message[3:],
            message[:-5] + b"\1" + message[-4:])[number % 4]


def dead(number):
    """Messages that get no answer: a response, too short."""
    message = question("dead.example")
    return (message[:2] + b"\x81" + message[3:], message[:7])[number % 2]


class Client:
    """A client's UDP socket, and what is open on it."""

    def __init__(self, noise, address, gateway, port=0):
        self.noise, self.address, self.gateway = noise, address, gateway
        self.socket = socket.socket(socket.AF_INET6 if is_v6(address) else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((address, port))
        self.socket.connect((gateway, 53))
        self.waiting, self.number = {}, 0

    def ask(self, kind, message, text=None, type=1):
        while len(self.waiting) >= WINDOW:
            if not self.collect():
                return
        self.number = (self.number + 1) % 65536
        self.waiting[self.number] = (kind, text, type)
        self.noise.asked(kind, text, type)
        self.socket.send(struct.pack(">H", self.number) + message[2:])

    def send(self, message):
        """What gets no answer."""
        self.noise.asked("dead", None, 0)
        self.socket.send(message)

    def collect(self):
        """Takes the answers that are there, and waits for one; false when none comes."""
        if not select.select([self.socket], [], [], PATIENCE_OF_CLIENTS)[0]:
            self.noise.count["unanswered"] += len(self.waiting)
            self.waiting.clear()
            return False
        self.take(self.socket.recv(4096))
        return True

    def take(self, message):
        found = self.waiting.pop(struct.unpack(">H", message[:2])[0], None)
        if found is None:
            self.noise.count["answers to nothing"] += 1
        else:
            self.noise.answered(*found, message)

    def settle(self):
        while self.waiting and self.collect():
            pass


class Noise:
    """All clients of a server: `.2` floods, `.3` and its IPv6 twin ask for this and that, among it what is marked."""

    def __init__(self, server, label, router, others):
        self.server, self.label, self.router, self.others = server, label, router, others
        self.count = Counter()  # ("asked", kind), ("answered", kind, rcode, token), ("packets", kind), …
        self.names, self.busy, self.failed = set(), Counter(), set()
        self.twins = Counter()  # by name, how often it failed
        self.flood, self.mixed, self.six = [Client(self, own(server, host, version), own(server, 1, version))
                                            for host, version in ((2, 4), (3, 4), (3, 6))]
        self.service = Client(self, own(server, 3), own(server, 1), 19)
        self.frames = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.frames.bind(("eth0", 0))

    # MARK: - What is counted

    def asked(self, kind, text, type):
        self.count["asked", kind] += 1
        if kind == "allowed":
            self.names.add((text, type))
            self.busy[text, type] += 1

    def answered(self, kind, text, type, message):
        code = message[3] & 15
        at = message.rfind(self.label)
        token = message[at + len(self.label):].decode() if at >= 0 else ""
        self.count["answered", kind, code, token] += 1
        if kind == "allowed":
            self.busy[text, type] -= 1
            if code == 2:
                self.failed.add((text, type))  # asked again it might be another question upstream
                if text in self.twins:
                    self.twins[text] += 1

    def packet(self, kind, source, there, protocol=UDP, port=4444):
        sport = self.random.randrange(20000, 60000)
        body = (udp(source, there, b"noise", sport, port) if protocol == UDP else tcp(source, there, b"", sport, port)
                if protocol == TCP else echo(source, there, b"noise"))
        packet = ip(source, there, (ICMP6 if is_v6(there) else ICMP) if protocol == ICMP else protocol, body)
        self.frames.send(ethernet(self.router, FORGER, IPV6 if is_v6(there) else IPV4, packet))
        self.count["packets", kind] += 1

    # MARK: - What is done

    def allowed(self, client, text, type):
        if not self.busy[text, type] and (text, type) not in self.failed:
            client.ask("allowed", question(text, type), text, type)

    def stream(self, parts):
        """Queries by one connection, all sent before the first answer is read."""
        connection = socket.create_connection((self.mixed.gateway, 53), PATIENCE_OF_CLIENTS, (self.mixed.address, 0))
        with connection:
            data, waiting = b"", {}
            for number, (kind, message, text, type) in enumerate(parts):
                self.asked(kind, text, type)
                waiting[number] = (kind, text, type)
                data += struct.pack(">HH", len(message), number) + message[2:]
            connection.sendall(data)
            reader = connection.makefile("rb")
            while waiting:
                message = reader.read(struct.unpack(">H", reader.read(2))[0])
                self.answered(*waiting.pop(struct.unpack(">H", message[:2])[0]), message)

    def play(self, number):
        self.random = random.Random(f"{self.server} {number}")
        if number == 0:
            for text in CACHED + [EXACT]:
                for type in (1, 28):
                    self.allowed(self.mixed, text, type)
            self.mixed.settle()
        deeds = [(self.junk, 24), (self.repeat, 16), (self.tunnel, 12), (self.connect, 14), (self.forge, 3), (self.knock, 2),
                 (self.hit, 14), (self.new, 6), (self.twice, 1), (self.odd, 8), (self.bad, 3), (self.reach, 2), (self.pipeline, 1)]
        order = [deed for deed, times in deeds for _ in range(times)]
        self.random.shuffle(order)
        for index, deed in enumerate(order):
            deed(number, index)

    def mark(self):
        self.mixed.ask("denied", question(marked_name(self.server)))
        self.packet("raw-address", self.mixed.address, marked_address(self.server), UDP, 4443)

    def junk(self, number, index):
        domain = hashlib.sha256(f"{self.server} {number} {index}".encode()).hexdigest()[:12]
        self.flood.ask("denied", question(f"www.{domain}.{JUNK_LIKE[index % 4]}"))

    def repeat(self, number, index):
        self.random.choice((self.flood, self.mixed)).ask("denied", question(self.random.choice(REPEATED), self.random.choice((1, 28))))

    def tunnel(self, number, index):
        self.flood.ask("denied", question(f"{self.random.randbytes(12).hex()}.data.tunnel.com"))

    def connect(self, number, index):
        client = self.random.choice((self.flood, self.flood, self.mixed, self.six))
        if client is self.flood:
            place = self.random.randrange(CONNECTIONS)
        else:
            place = self.random.randrange(CONNECTIONS // 10)
        version = 6 if client is self.six else 4
        there = f"2a10:77::9:{place % 250:x}" if version == 6 else f"45.11.9.{place % 250}"
        protocol = (UDP, TCP, ICMP)[place % 3]
        self.packet("raw-address", client.address, there, protocol, 4444 + place // 250)

    def forge(self, number, index):
        source, there = self.random.choice((("203.0.113.7", "45.11.9.9"), (own(self.others[0], 2), "45.11.9.9"),
                                            ("2a10:77::9999", "2a10:77::9:9"), (own(self.others[0], 2), own(self.others[0], 1))))
        self.packet("spoofed-source", source, there, self.random.choice((UDP, TCP)), 53)

    def knock(self, number, index):
        """Ports of the host, and another server's container."""
        if self.random.random() < 0.5:
            self.packet("host-fence", self.mixed.address, self.random.choice((own(self.server, 1), "192.0.2.1")), TCP, 22 + number % 20)
        else:
            other = self.random.choice(self.others)
            self.packet(("inbound-refused", other), self.mixed.address, own(other, 3), TCP, 8080)

    def hit(self, number, index):
        self.allowed(self.random.choice((self.mixed, self.six)), self.random.choice(CACHED + [EXACT]), self.random.choice((1, 28)))

    def new(self, number, index):
        text = self.random.choice((f"n{number}-{index}.new.example", f"s{self.server}-{number}-{index}.new.example",
                                   f"n{number}-{index}.gone.example", f"n{number}-{index}.private.example"))
        self.allowed(self.random.choice((self.mixed, self.six)), text, self.random.choice((1, 28)))

    def twice(self, number, index):
        """By two clients in one instant: one question upstream, one grant. Two where both fail, since a full set is not
        remembered, if the second came after the first had failed."""
        text = f"t{number}-{index}.new.example"
        self.twins[text] = 0
        for client in (self.mixed, self.flood):
            client.ask("allowed", question(text), text, 1)

    def odd(self, number, index):
        kind, message = self.random.choice((
            ("special", question("localhost")), ("special", question("db.local")), ("special", question("printer")),
            ("special", question("x.test", 28)), ("reverse", question("4.3.2.10.in-addr.arpa", 12)),
            ("denied", question("8.8.8.8.in-addr.arpa", 12)), ("denied", question(EXACT, 65)), ("denied", question(CACHED[3], 16)),
            ("denied", question(CACHED[5], 33)), ("denied", question("version.bind", 16, 3))))
        self.random.choice((self.mixed, self.six)).ask(kind, message)

    def bad(self, number, index):
        if self.random.random() < 0.5:
            self.mixed.ask("faulty", faulty(self.random.randrange(4)))
        elif self.random.random() < 0.5:
            self.mixed.send(dead(self.random.randrange(2)))
        elif self.random.random() < 0.4:
            self.mixed.socket.send(question("parts.example") + bytes(PARTS))
            self.count["parts"] += 1
        else:
            self.service.send(question(EXACT))

    def reach(self, number, index):
        """Connections that policy opened: of what answers for the name."""
        self.packet("open", self.mixed.address, "45.11.1.1", TCP, 443)

    def pipeline(self, number, index):
        text = f"p{number}.new.example"
        self.stream([("denied", question(f"p{number}.denied.com"), None, 1), ("allowed", question(text), text, 1),
                     ("special", question("localhost"), None, 1), ("faulty", faulty(1), None, 1),
                     ("denied", question(self.random.choice(REPEATED)), None, 1)])

    def settle(self):
        for client in (self.flood, self.mixed, self.six):
            client.settle()


LEAST = 180  # rounds, after which a server is over a small share of the log


def make(space, server, label, router, others, seconds, rounds, mark, pipe):
    """Plays rounds for so many seconds, LEAST at least, or so many rounds, in the server's namespace, and tells the count. What
    is marked comes after four fifths, or in the round that is given."""
    noise, number, fault = None, 0, None
    try:
        with space:
            noise = Noise(server, label, router, others)
            begin = time.monotonic()
            while number < rounds if rounds else time.monotonic() - begin < seconds or number < LEAST:
                noise.play(number)
                if number == mark if rounds else mark is None and number > 0.8 * LEAST and time.monotonic() - begin > 0.8 * seconds:
                    noise.mark()
                    mark = number
                number += 1
            noise.settle()
    except Exception as error:  # told by the one who waits
        fault = f"{type(error).__name__}: {error}"
    questions = (len(noise.names), sum(failed == 2 for failed in noise.twins.values())) if noise else (0, 0)
    pipe.send((noise.count if noise else Counter(), questions, number, mark, fault))
