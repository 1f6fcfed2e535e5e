#!/usr/bin/env python3
"""The packet-level proof: nothing open that policy does not say, nothing closed that an answer promised.

  sudo Tests/Benchmarks/churn.py --sluice .build/release/sluice [--minutes 30] [--seed 1] [--rate 1200]

Four network namespaces of its own: two servers (A and B), a router with Sluice, and an internet in which every address
of 45.11.0.0/16 and 2a10:77::/64 accepts TCP on ports 443 and 8443, with nsd as the upstream. Names have TTLs of 1-5 s
and addresses that rotate; some are shared by names, and by both servers. All the while the policy is reloaded, sets are
flushed, the table is deleted, the bridge is killed and Sluice is ended and started again.

The prober connects on every answer at once and, all the time, to everything else, and knows what must happen:

  promised   an address that an answer named, until the answer's TTL has run out: must connect
  outside    what no listed name was answered with, or whose longest possible lifetime is over; addresses of names that a
             reload removed, from when it is in force; the other server's addresses; other ports: must fail
  neither    what an answer may still be on its way to open, or what is open longer than promised: not judged

With `--verify sni` names on 443 are checked, with `mixed` every second one is: who connects there says a name, and is connected
once an answer comes. A name that was not answered with the address is outside, whoever else has it; while serve is gone no new
connection passes, and the gate is killed as well.

Prints a table and every violation; exit status 1 if there is one. Needs root, nsd, nftables and iproute2."""
import argparse, collections, ctypes, errno, heapq, os, random, re, select, shutil, signal, socket, struct, subprocess, sys
import tempfile, time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--sluice", required=True, help="the executable")
parser.add_argument("--minutes", type=float, default=30)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--rate", type=int, default=1200, help="connections per second beside those that answers cause")
parser.add_argument("--heal-limit", type=float, default=0.1, help="seconds that a foreign change may break things for")
parser.add_argument("--verify", choices=("address", "mixed", "sni"), default="address", help="whose connections have to say a name")
parser.add_argument("--only", default="", help="kinds of churn, separated by commas; all by default")
parser.add_argument("--keep", action="store_true", help="keep configuration, logs and audit log")

PORTS = (443, 8443)
MIN_LIFETIME, GRACE, MAX_LIFETIME = 3, 2, 10
# A commit under way when its answer was sent or lost may start its lifetime this much later than the oracle knows.
SLACK = 0.5
# Shorter than the retransmission of a SYN, so that an attempt is judged by one packet.
PATIENCE = 0.9
# The same where a name is said, for which this process has to have its turn several times.
SAYING_PATIENCE = 4.0
# No answer by then: whatever it may have opened counts from here.
QUERY_PATIENCE = 4.0
SERVERS = ("a", "b")
FENCE_DOWN, GRANTS_DOWN = "fence", "grants"
libc = ctypes.CDLL(None, use_errno=True)
now = time.monotonic
# What answers a hello: as much of a ServerHello as is looked at.
ANSWER = bytes([22, 3, 3, 0, 44, 2, 0, 0, 40, 3, 3, *range(1, 33), 0, 0x13, 1, 0, 0, 0])


def hello(name):
    """A ClientHello that says a name."""
    sized = lambda width, octets: len(octets).to_bytes(width, "big") + octets
    said = b"\0\0" + sized(2, sized(2, b"\0" + sized(2, name.encode())))
    body = b"\3\3" + bytes(32) + b"\0" + sized(2, b"\x13\1") + sized(1, b"\0") + sized(2, said)
    return b"\x16\3\1" + sized(2, b"\1" + sized(3, body))


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=20, **more).stdout


class Namespace:
    """A network namespace of this run."""

    def __init__(self, label):
        self.name = f"sluice-churn-{os.getpid()}-{label}"
        run("ip", "netns", "add", self.name)
        self.descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self.run("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0")
        self.ip("link", "set", "lo", "up")

    @property
    def path(self):
        return f"/run/netns/{self.name}"

    def words(self, *words):
        return ("nsenter", f"--net={self.path}", *words)

    def run(self, *words, **more):
        return run(*self.words(*words), **more)

    def ip(self, *words):
        run("ip", "-n", self.name, *words)

    def enter(self):
        """Sockets of this thread are made in here from now on."""
        if libc.setns(self.descriptor, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")

    def delete(self):
        for pid in subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.close(self.descriptor)
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)


class Testbed:
    """The namespaces, nsd, and what accepts on every address."""

    def __init__(self, folder):
        self.folder, self.namespaces, self.processes = folder, [], []
        self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def make(self):
        for label in ("a", "b", "r", "net"):
            namespace = Namespace(label)
            self.namespaces.append(namespace)
            setattr(self, label, namespace)
        self.r.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for index, label in enumerate(SERVERS, 1):
            self.link(getattr(self, label), f"br-{label}", f"10.78.{index}.", f"fd00:78:{index}::", 1, 2)
        self.link(self.net, "uplink", "192.0.2.", "2001:db8:2::", 1, 54)
        self.net.ip("route", "add", "local", "45.11.0.0/16", "dev", "lo")
        self.net.ip("route", "add", "local", "2a10:77::/64", "dev", "lo")
        self.r.ip("route", "add", "45.11.0.0/16", "via", "192.0.2.54")
        self.r.ip("route", "add", "2a10:77::/64", "via", "2001:db8:2::54")
        self.accept()

    def link(self, far, name, v4, v6, near_host, far_host):
        run("ip", "link", "add", name, "netns", self.r.name, "type", "veth", "peer", "name", "eth0", "netns", far.name)
        for namespace, device, host in ((self.r, name, near_host), (far, "eth0", far_host)):
            namespace.ip("address", "add", f"{v4}{host}/24", "dev", device)
            namespace.ip("address", "add", f"{v6}{host}/64", "dev", device, "nodad")
            namespace.ip("link", "set", device, "up")
        far.ip("route", "add", "default", "via", f"{v4}{near_host}")
        far.ip("route", "add", "default", "via", f"{v6}{near_host}")

    def accept(self):
        """A process that accepts and closes on both ports of every address; what says something first is answered."""
        # The listeners are open before any client connects.
        self.net.enter()
        listeners = []
        for port in PORTS:
            listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
            listener.listen(4096)
            listeners.append(listener)
        pid = os.fork()
        if pid == 0:
            libc.prctl(1, signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self.answer(listeners)
        self.acceptor = pid
        for listener in listeners:
            listener.close()

    @staticmethod
    def answer(listeners):
        poll, clients = select.epoll(), {}
        ready = {listener.fileno(): listener for listener in listeners}
        for number in ready:
            poll.register(number, select.EPOLLIN)
        while True:
            for number, _ in poll.poll():
                try:
                    if number in ready:
                        while True:
                            client = ready[number].accept()[0]
                            if client.getsockname()[1] != PORTS[0]:
                                client.close()
                                continue
                            client.setblocking(False)
                            clients[client.fileno()] = client
                            poll.register(client.fileno(), select.EPOLLIN)
                    if clients[number].recv(4096):
                        clients[number].send(ANSWER)
                        continue
                except BlockingIOError:
                    continue
                except OSError:
                    pass
                if number in clients:
                    clients.pop(number).close()

    def start(self, name, namespace, *words):
        """A process that writes to a log of its own; ended by `take_down`."""
        with open(f"{self.folder}/{name}.log", "ab") as log:
            process = subprocess.Popen(namespace.words(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def take_down(self):
        # A process that is still in a namespace of this run is ended with it: not this process.
        libc.setns(self.home, 0x40000000)
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if hasattr(self, "acceptor"):
            os.kill(self.acceptor, signal.SIGKILL)
            os.waitpid(self.acceptor, 0)
        for namespace in self.namespaces:
            namespace.delete()


# The names, and the servers that may list them.


class HostName:
    """A name: its TTL, the addresses that it rotates through, its ports, and who lists it at the start."""

    def __init__(self, text, ttl, pools, ports, listed, toggled, target=None, checked=False):
        self.text, self.ttl, self.pools, self.ports, self.toggled = text, ttl, pools, ports, toggled
        # Whether connections to its port 443 have to say it.
        self.checked = checked and 443 in ports
        self.listed, self.target = set(listed), target
        self.current = {}

    @property
    def lifetime(self):
        """The longest that one answer keeps an address open."""
        return min(max(self.ttl + GRACE, MIN_LIFETIME), MAX_LIFETIME)

    def opened(self, address):
        return [(address, port) for port in (PORTS if self.ports == "any" else self.ports)]

    def every(self, server):
        return [(server, *opened) for pool in self.pools.values() for address in pool for opened in self.opened(address)]


class World:
    """What the upstream knows and what the policy says."""

    def __init__(self, random, verify="address"):
        self.random, self.verify = random, verify
        self.names, number = {}, 0
        shared = [(f"45.11.9.{index}", f"2a10:77::9:{index:x}") for index in range(1, 9)]

        def add(count, label, ports=(443,), toggled=False, alias=False):
            nonlocal number
            for _ in range(count):
                number += 1
                pools = {
                    1: [f"45.11.{number}.{index}" for index in range(1, 6)],
                    28: [f"2a10:77::{number:x}:{index:x}" for index in range(1, 4)],
                }
                # Shared hosting: an address of another name's, and of the other server's.
                for v4, v6 in random.sample(shared, 2):
                    pools[1].append(v4)
                    pools[28].append(v6)
                text = f"n{number}.churn.net"
                target = f"edge{number}.cdn.net" if alias else None
                listed = [server for server in SERVERS if server in label]
                checked = ports != "any" and (verify == "sni" or verify == "mixed" and number % 2 == 1)
                name = HostName(text, random.randint(1, 5), pools, ports, listed, toggled, target, checked)
                self.names[text] = name

        add(5, "a")
        add(5, "b")
        add(5, "ab")
        add(4, "a", toggled=True)
        add(4, "b", toggled=True)
        add(5, "ab", toggled=True)
        add(2, "ab", alias=True)
        add(2, "a", ports=(8443,))
        add(1, "b", ports=PORTS)
        add(1, "a", ports="any")
        add(4, "")
        # Opened by no answer: all of it for A, nothing for B.
        self.static = [f"45.11.200.{index}" for index in range(1, 20)] + [f"2a10:77::c8:{index}" for index in range(1, 10)]
        self.raw = [f"45.11.{random.randint(210, 255)}.{random.randint(1, 254)}" for _ in range(60)]
        self.raw += [f"2a10:77::ffff:{random.randint(1, 65535):x}" for _ in range(60)]
        self.rotate()

    def rotate(self):
        for name in self.names.values():
            for type, pool in name.pools.items():
                name.current[type] = self.random.sample(pool, self.random.randint(1, 3))

    def listed(self):
        return {server: {name.text for name in self.names.values() if server in name.listed} for server in SERVERS}

    def opens_singly(self, element):
        """Whether only rules with ports can have opened an address."""
        _, address, _ = element
        owners = [name for name in self.names.values() if any(address in pool for pool in name.pools.values())]
        return all(name.ports != "any" for name in owners)

    def toggle(self):
        """Removes or adds some names."""
        candidates = [name for name in self.names.values() if name.toggled]
        for name in self.random.sample(candidates, self.random.randint(1, 4)):
            servers = SERVERS if name.pools[1][0].split(".")[2] > "13" else tuple(name.listed) or SERVERS
            name.listed ^= {self.random.choice(servers)}

    def zone(self, serial):
        lines = [f"$ORIGIN .\n. 60 IN SOA ns. hostmaster. {serial} 3600 600 86400 1\n. 60 IN NS ns.\nns. 60 IN A 192.0.2.54"]
        for name in self.names.values():
            owner = name.text
            if name.target:
                lines.append(f"{name.text}. {name.ttl} IN CNAME {name.target}.")
                owner = name.target
            for type, addresses in name.current.items():
                word = "A" if type == 1 else "AAAA"
                lines += [f"{owner}. {name.ttl} IN {word} {address}" for address in addresses]
        return "\n".join(lines) + "\n"

    def policies(self):
        documents = []
        for index, server in enumerate(SERVERS, 1):
            lines = [f"server: {server}", f'networks: [ 10.78.{index}.0/24, "fd00:78:{index}::/64" ]']
            if server == "a":
                lines.append("interface: br-a")
            lines.append("egress:")
            for name in self.names.values():
                if server in name.listed:
                    ports = "any" if name.ports == "any" else "[ " + ", ".join(f"{port}/tcp" for port in name.ports) + " ]"
                    check = "" if self.verify == "address" or name.checked else ", verify: address"
                    lines.append(f"  - {{ host: {name.text}, ports: {ports}{check} }}")
            if server == "a":
                lines += ["  - { cidr: 45.11.200.0/24, ports: [ 443/tcp ] }", '  - { cidr: "2a10:77::c8:0/112", ports: [ 443/tcp ] }']
            documents.append("\n".join(lines) + "\n")
        return "---\n".join(documents)


class Oracle:
    """What must connect, what must fail, and why."""

    def __init__(self, world):
        self.world = world
        listed = world.listed()
        # Names listed for certain, and those that may be while a reload is under way.
        self.surely, self.perhaps = listed, {server: set(names) for server, names in listed.items()}
        # (server, address, port) -> name -> until when.
        self.promises = collections.defaultdict(dict)
        self.holdings = collections.defaultdict(dict)
        self.pending = collections.Counter()
        self.story = collections.defaultdict(lambda: collections.deque(maxlen=12))
        self.static = {("a", address, 443) for address in world.static}

    def promised(self, element, at):
        return element in self.static or any(until > at for until in self.promises.get(element, {}).values())

    def outside(self, element, at):
        if element in self.static or self.pending.get(element, 0) > 0:
            return False
        return not any(until > at for until in self.holdings.get(element, {}).values())

    def passes_unread(self, element, at):
        """Whether it may be that whatever is said there passes."""
        return element in self.static or any(
            until > at and not self.world.names[text].checked for text, until in self.holdings.get(element, {}).items())

    def says(self, element, at):
        """The names that must be let through where they are said."""
        return [text for text, until in self.promises.get(element, {}).items() if until > at]

    def outside_by(self, element, text, at):
        """Whether a name that is said there must be refused, whatever else is open."""
        if self.pending.get(element, 0) > 0 or self.passes_unread(element, at):
            return False
        return self.holdings.get(element, {}).get(text, 0) <= at

    def live_promises(self, at):
        return [element for element, names in self.promises.items() if any(until > at + 0.05 for until in names.values())]

    def asked(self, server, name):
        elements = name.every(server) if name.text in self.perhaps[server] else []
        for element in elements:
            self.pending[element] += 1
        return elements

    def done(self, elements):
        for element in elements:
            if self.pending[element] > 0:
                self.pending[element] -= 1

    def answered(self, server, name, addresses, ttl, at):
        """An answer came; returns what it promises and what it opened."""
        # An answer from the cache was granted earlier; TTLs are whole seconds.
        ends = at + min(name.lifetime, ttl + 1 + name.lifetime - name.ttl) + SLACK
        opened = [(server, *opened) for address in addresses for opened in name.opened(address)]
        for element in opened:
            if name.text in self.perhaps[server]:
                self.hold(element, name, ends)
            if name.text in self.surely[server]:
                # An answer with a TTL of 0 is used at once.
                self.promises[element][name.text] = max(self.promises[element].get(name.text, 0), at + max(ttl, 0.05))
            self.story[element].append((at, f"{name.text} answered with TTL {ttl} of {name.ttl}"))
        return opened

    def lost(self, server, name, at, why):
        """No answer, or a failure: whatever it may have opened is not known."""
        if name.text in self.perhaps[server]:
            for element in name.every(server):
                self.hold(element, name, at + name.lifetime + SLACK)
                self.story[element].append((at, f"{name.text} {why}"))

    def hold(self, element, name, until):
        self.holdings[element][name.text] = max(self.holdings[element].get(name.text, 0), until)

    def change(self, listed):
        """A new policy is on its way: what it removes is promised no longer, and not refused yet."""
        for server in SERVERS:
            self.perhaps[server] = self.surely[server] | listed[server]
            self.surely[server] = self.surely[server] & listed[server]
        for element, names in self.promises.items():
            for text in [text for text in names if text not in self.surely[element[0]]]:
                del names[text]

    def in_force(self, listed, at):
        """Returns what has just become outside."""
        self.surely = {server: set(names) for server, names in listed.items()}
        self.perhaps = {server: set(names) for server, names in listed.items()}
        closed = []
        for element, names in self.holdings.items():
            gone = [text for text in names if text not in listed[element[0]]]
            for text in gone:
                if names.pop(text) > at:
                    closed.append(element)
                    self.story[element].append((at, f"{text} no longer listed"))
        return [element for element in closed if self.outside(element, at)]

    def reason(self, element):
        server, address, port = element
        owners = [name for name in self.world.names.values() if any(address in pool for pool in name.pools.values())]
        if element in self.static:
            return "a cidr rule opens it"
        if not owners:
            return "no name has it"
        if not any(server in name.listed or name.toggled for name in owners):
            return "only the other server's, or nobody's"
        if not any(name.ports == "any" or port in name.ports for name in owners):
            return "wrong port"
        return "address of " + ", ".join(name.text for name in owners)


class Attempt:
    __slots__ = ("socket", "element", "kind", "start", "end", "phase", "outcome", "then", "was", "name", "said", "was_unread", "reloads")

    def __init__(self, element, kind, phase, then, name=None):
        self.element, self.kind, self.phase, self.then = element, kind, phase, then
        # What it says once it is connected; then it is to get an answer.
        self.name, self.said, self.was_unread, self.reloads = name, False, False, 0
        self.start, self.outcome, self.end, self.was = now(), None, None, ""


class Disturbance:
    """A foreign change of the table: what it may break, from its command's start until it has healed.

    Never longer than `patience` after the command ended.
    """

    def __init__(self, name, breaks, patience):
        self.name, self.breaks, self.patience = name, breaks, patience
        self.start, self.returned, self.healed = now(), None, None

    @property
    def end(self):
        """None while it is not known."""
        if self.returned is None:
            return None
        limit = self.returned + self.patience
        if self.healed is not None:
            return min(self.healed, limit)
        return limit if now() > limit else None


PHASES = ("quiet", "reload", "flush", "delete", "bridge kill", "gate kill", "SIGTERM", "SIGKILL")
PROMISED, OUTSIDE = "promised", "outside"


class Tally:
    """Counts by phase, and the violations."""

    def __init__(self):
        self.counts = collections.Counter()
        self.violations, self.repeats, self.silent, self.heals = [], 0, 0, collections.defaultdict(list)
        self.answers, self.returns = collections.Counter(), collections.defaultdict(list)
        self.actions, self.again = collections.Counter(), {}

    def table(self):
        columns = [
            ("promised: connected", "promised connected"), ("failed", "promised failed"),
            ("outside: refused", "outside refused"), ("no reply", "outside timeout"), ("connected", "outside connected"),
            ("foreign change: promised failed", "promised excused"), ("outside connected", "outside excused"),
        ]
        rows = [["during"] + [title for title, _ in columns]]
        for phase in PHASES:
            rows.append([phase] + [f"{self.counts[phase, key]:,}" for _, key in columns])
        rows.append(["all"] + [f"{sum(self.counts[phase, key] for phase in PHASES):,}" for _, key in columns])
        rows.insert(1, ["---"] + ["---:"] * len(columns))
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)


class Prober:
    """One thread, one loop: asks, connects, stirs, and judges."""

    def __init__(self, options, bed, world, random):
        self.options, self.bed, self.world, self.random = options, bed, world, random
        self.oracle, self.tally = Oracle(world), Tally()
        self.poll, self.timers, self.counter = select.epoll(), [], 0
        self.attempts, self.deadlines, self.suspects = {}, collections.deque(), []
        self.disturbances, self.diary = [], collections.deque(maxlen=400)
        self.phase, self.tasks, self.handlers = "quiet", [], {}
        self.queries, self.next_id, self.errors = {}, 0, ""
        self.inside, self.serial, self.highest = None, 1, 0
        self.sweep, self.position = [], 0
        self.sluice = None
        self.answer_count, self.reported = 0, {}
        # From when until when the gate may let nobody through: a start and an end that may be None.
        self.gateless = []

    # Time

    def after(self, seconds, work):
        self.counter += 1
        heapq.heappush(self.timers, (now() + seconds, self.counter, work))

    def note(self, text):
        self.diary.append((now(), text))
        if self.options.keep:
            with open(f"{self.bed.folder}/diary.txt", "a") as file:
                file.write(f"{now() - self.began:.4f} {text}\n")

    # Connecting

    def enter(self, label):
        if self.inside != label:
            getattr(self.bed, label).enter()
            self.inside = label

    def connect(self, element, kind, then=None, name=None):
        server, address, port = element
        self.enter(server)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if self.options.verify != "address" and port == PORTS[0]:
            name = name or self.random.choice(self.oracle.says(element, now()) or self.everything)
        attempt = Attempt(element, kind, self.phase, then, name)
        attempt.was_unread, attempt.reloads = self.oracle.passes_unread(element, now()), self.reloads
        client = attempt.socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # No TIME_WAIT: ports would run out.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        attempt.start = now()
        self.attempts[client.fileno()] = attempt
        self.poll.register(client.fileno(), select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP)
        if name:
            self.after(SAYING_PATIENCE, lambda: attempt.end or self.finish(attempt, None))
        else:
            self.deadlines.append(attempt)
        error = client.connect_ex((address, port))
        self.highest = max(self.highest, len(self.attempts))
        if error not in (0, errno.EINPROGRESS):
            self.finish(attempt, error)
        return attempt

    def probe(self, element):
        """Connects if the oracle knows what must come of it."""
        at = now()
        if self.oracle.promised(element, at):
            self.connect(element, PROMISED)
            if self.options.verify != "address" and element[2] == PORTS[0]:
                other = self.random.choice(self.everything)
                if self.oracle.outside_by(element, other, at):
                    self.connect(element, OUTSIDE, name=other)
        elif self.oracle.outside(element, at):
            self.connect(element, OUTSIDE)

    def advance(self, attempt):
        """Something came of an attempt."""
        error = attempt.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if attempt.name is None or error:
            return self.finish(attempt, error)
        try:
            if not attempt.said:
                attempt.said = True
                attempt.socket.send(hello(attempt.name))
                self.poll.modify(attempt.socket.fileno(), select.EPOLLIN)
            else:
                self.finish(attempt, 0 if attempt.socket.recv(64) else errno.ECONNRESET)
        except BlockingIOError:
            pass
        except OSError as failure:
            self.finish(attempt, failure.errno)

    def finish(self, attempt, error):
        attempt.end = now()
        attempt.outcome = "connected" if error == 0 else "timeout" if error is None else "refused"
        attempt.was = "" if not error else os.strerror(error)
        self.poll.unregister(attempt.socket.fileno())
        del self.attempts[attempt.socket.fileno()]
        attempt.socket.close()
        if attempt.then:
            attempt.then(attempt)
        if attempt.kind in (PROMISED, OUTSIDE):
            self.judge(attempt)

    def judge(self, attempt):
        key, counts = (attempt.phase, attempt.kind), self.tally.counts
        if attempt.kind == PROMISED:
            if attempt.outcome == "connected":
                counts[attempt.phase, "promised connected"] += 1
            elif attempt.name is None or attempt.element in self.oracle.static:
                if self.oracle.promised(attempt.element, attempt.start):
                    self.suspects.append(attempt)
            # It is judged when its name has come, some time until its end.
            elif all(attempt.name in self.oracle.says(attempt.element, at) for at in (attempt.start, attempt.end)):
                # What passed unread, by a name that need not be said, ends with that one.
                if attempt.was_unread and (attempt.reloads != self.reloads or self.oracle.perhaps != self.oracle.surely):
                    counts[attempt.phase, "promised excused"] += 1
                else:
                    self.suspects.append(attempt)
        else:
            # What was asked for meanwhile may have been opened meanwhile.
            if attempt.outcome != "connected":
                counts[attempt.phase, f"outside {attempt.outcome}"] += 1
            elif (self.oracle.outside(attempt.element, attempt.end) if attempt.name is None
                  else self.oracle.outside_by(attempt.element, attempt.name, attempt.end)):
                self.suspects.append(attempt)

    def review(self):
        """Judges what went wrong as soon as it is known whether a foreign change was the reason."""
        waiting = []
        for attempt in self.suspects:
            fault = FENCE_DOWN if attempt.kind == OUTSIDE else GRANTS_DOWN
            touching = [
                one for one in self.disturbances
                if fault in one.breaks and one.start <= attempt.end and (one.end is None or attempt.start <= one.end)]
            if attempt.kind == PROMISED and attempt.name and any(
                    start <= attempt.end and (end is None or attempt.start <= end) for start, end in self.gateless):
                self.tally.counts[attempt.phase, "promised excused"] += 1
            elif any(one.end is not None for one in touching):
                self.tally.counts[attempt.phase, f"{attempt.kind} excused"] += 1
            elif touching:
                waiting.append(attempt)
            else:
                word = "connected" if attempt.kind == OUTSIDE else "failed"
                self.tally.counts[attempt.phase, f"{attempt.kind} {word}"] += 1
                self.violate(self.describe(attempt), attempt.end, (attempt.kind, attempt.element))
        self.suspects = waiting

    def describe(self, attempt):
        server, address, port = attempt.element
        text = f"{server} -> {address} port {port}, {attempt.kind}, {attempt.outcome} {attempt.was}".rstrip()
        text += f" saying {attempt.name}" if attempt.name else ""
        text += f" after {(attempt.end - attempt.start) * 1000:.1f} ms, during {attempt.phase}; {self.oracle.reason(attempt.element)}"
        for label, table in (("promised", self.oracle.promises), ("open at most", self.oracle.holdings)):
            for name, until in table.get(attempt.element, {}).items():
                text += f"\n      {label} for {name} until {until - attempt.start:+.2f} s"
        for at, story in self.oracle.story.get(attempt.element, ()):
            text += f"\n      {at - attempt.start:+.3f} s: {story}"
        return text

    def violate(self, text, at, subject=None):
        """Counts a violation; a few seconds of the same are described once."""
        first, number = self.reported.get(subject, (0, 0)) if subject else (0, 0)
        if at - first < 10:
            self.tally.repeats += 1
            self.reported[subject] = (first, number)
            self.tally.again[number] = f"again {at - first:.3f} s later"
            return
        if subject:
            self.reported[subject] = (at, len(self.tally.violations))
        recent = [f"\n      {then - at:+.3f} s: {what}" for then, what in list(self.diary) if at - 8 < then <= at + 0.5][-14:]
        text = f"at {at - self.began:.3f} s: {text}\n    what went on:{''.join(recent)}"
        self.tally.violations.append(text)
        if len(self.tally.violations) <= 20:
            print(f"VIOLATION {len(self.tally.violations)} {text}", flush=True)

    # Asking

    def open_queries(self):
        self.clients = {}
        for index, server in enumerate(SERVERS, 1):
            self.enter(server)
            for family, address in ((socket.AF_INET, f"10.78.{index}.1"), (socket.AF_INET6, f"fd00:78:{index}::1")):
                client = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
                client.connect((address, 53))
                self.clients[server, family] = client
                self.handlers[client.fileno()] = lambda client=client, server=server: self.receive(client, server)
                self.poll.register(client.fileno(), select.EPOLLIN)

    def ask(self, server, name, type):
        self.next_id = self.next_id % 65535 + 1
        if self.next_id in self.queries:
            return
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.text.split("."))
        message = struct.pack(">HHHHHH", self.next_id, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", type, 1)
        client = self.clients[server, self.random.choice((socket.AF_INET, socket.AF_INET6))]
        elements = self.oracle.asked(server, name)
        # What policy says of the name while the question is on its way: True, False, or None for either.
        listed = name.text in self.oracle.surely[server] or (None if name.text in self.oracle.perhaps[server] else False)
        self.queries[self.next_id] = (server, name, type, elements, now(), listed, self.reloads)
        self.after(QUERY_PATIENCE, lambda id=self.next_id, sent=now(): self.give_up(id, sent))
        try:
            client.send(message)
        except OSError:
            pass

    def give_up(self, id, sent):
        query = self.queries.get(id)
        if query and query[4] <= sent:
            del self.queries[id]
            server, name, _, elements, *_ = query
            self.oracle.done(elements)
            self.oracle.lost(server, name, now(), "was not answered")
            self.tally.answers["none"] += 1

    def receive(self, client, server):
        while True:
            try:
                message = client.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                continue
            self.reply(message, server)

    def reply(self, message, server):
        at = now()
        query = self.queries.pop(struct.unpack(">H", message[:2])[0], None)
        if not query:
            return
        _, name, type, elements, sent, listed, reloads = query
        code = message[3] & 15
        addresses, ttl = self.addresses(message)
        self.oracle.done(elements)
        word = {0: "NOERROR", 2: "SERVFAIL", 3: "NXDOMAIN"}.get(code, f"rcode {code}")
        self.tally.answers[word] += 1
        if listed is False and addresses and reloads == self.reloads:
            self.violate(f"{server} asked {name.text}, which is not listed, and got {addresses}", at)
        if listed and code == 3 and reloads == self.reloads:
            self.violate(f"{server} asked {name.text}, which is listed, and got NXDOMAIN", at)
        if code == 2:
            self.oracle.lost(server, name, at, "SERVFAIL")
        if not addresses:
            return
        self.answer_count += 1
        for element in self.oracle.answered(server, name, addresses, ttl, at):
            self.probe(element)
            other = (element[0], element[1], PORTS[0] if element[2] == PORTS[1] else PORTS[1])
            self.probe(other)
            self.probe(("b" if server == "a" else "a", *element[1:]))
            # The last moment of the promise, and the first after the longest lifetime.
            if ttl:
                self.after(ttl - 0.02, lambda element=element: self.probe(element))
            until = max(self.oracle.holdings.get(element, {}).values(), default=0)
            self.after(until - at + 0.005, lambda element=element: self.probe(element))

    @staticmethod
    def addresses(message):
        count = struct.unpack(">H", message[6:8])[0]
        place, found, ttls = 12, [], []

        def skip(place):
            while message[place]:
                if message[place] >= 192:
                    return place + 2
                place += message[place] + 1
            return place + 1

        place = skip(place) + 4
        for _ in range(count):
            place = skip(place)
            type, _, ttl, length = struct.unpack(">HHIH", message[place:place + 10])
            place += 10
            ttls.append(ttl)
            if type in (1, 28):
                found.append(socket.inet_ntop(socket.AF_INET if type == 1 else socket.AF_INET6, message[place:place + length]))
            place += length
        return found, min(ttls, default=0)

    # Sluice

    reloads = 0

    def configure(self):
        write = lambda name, text: open(f"{self.bed.folder}/{name}", "w").write(text)
        # IPv4 first: versions of Sluice did not start with an IPv4 address after an IPv6 one.
        listeners = ", ".join(
            [f'"10.78.{index}.1:53"' for index in (1, 2)] + [f'"[fd00:78:{index}::1]:53"' for index in (1, 2)])
        write("sluice.yaml", f"""listen: [ {listeners} ]
upstreams: [ udp://192.0.2.54 ]
policies: policies.yaml
firewall: {{ mode: managed, min-lifetime: {MIN_LIFETIME}s, grace: {GRACE}s, max-lifetime: {MAX_LIFETIME}s }}
audit: {{ path: log/audit.jsonl, max-size: 4MiB, keep: 2 }}
control: control.sock
state: state
user: root
verify: {"address" if self.options.verify == "address" else "sni"}
""")
        write("policies.yaml", self.world.policies())
        os.makedirs(f"{self.bed.folder}/log", exist_ok=True)

    def start_name_server(self):
        folder = f"{self.bed.folder}/nsd"
        os.makedirs(folder, exist_ok=True)
        open(f"{folder}/nsd.conf", "w").write(f"""server:
  ip-address: 192.0.2.54
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  database: ""
  pidfile: "{folder}/nsd.pid"
  xfrdfile: "{folder}/xfrd.state"
  zonelistfile: "{folder}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: "."
  zonefile: root.zone
""")
        open(f"{folder}/root.zone", "w").write(self.world.zone(self.serial))
        self.nsd = self.bed.start("nsd", self.bed.net, "nsd", "-d", "-c", f"{folder}/nsd.conf")

    def rotate(self):
        """Other addresses behind every name."""
        self.serial += 1
        self.world.rotate()
        place = f"{self.bed.folder}/nsd/root.zone"
        open(place + ".new", "w").write(self.world.zone(self.serial))
        os.replace(place + ".new", place)
        self.nsd.send_signal(signal.SIGHUP)
        self.after(self.random.uniform(2, 4), self.rotate)

    def start_sluice(self):
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.sluice = subprocess.Popen(
            self.bed.r.words(self.options.sluice, "serve", "--config", f"{self.bed.folder}/sluice.yaml"),
            stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
        os.close(writer)
        self.bed.processes.append(self.sluice)
        self.log = open(f"{self.bed.folder}/sluice.log", "a")
        self.handlers[reader] = lambda: self.listen(reader)
        self.poll.register(reader, select.EPOLLIN)

    def listen(self, reader):
        try:
            text = os.read(reader, 65536).decode(errors="replace")
        except BlockingIOError:
            return
        if not text:
            self.poll.unregister(reader)
            del self.handlers[reader]
            os.close(reader)
            return
        self.errors += text
        self.log.write(text)
        self.log.flush()
        for line in text.splitlines():
            if "warning:" not in line:
                self.note("stderr: " + line[:120])

    def said(self, word, since):
        return word in self.errors[since:]

    # Churn. Each kind is a generator that yields what it waits for.

    def wait(self, condition, seconds, what):
        end = now() + seconds
        while not condition():
            if now() > end:
                self.violate(f"not within {seconds} s: {what}", now())
                return False
            if self.sluice.poll() is not None and self.phase not in ("SIGTERM", "SIGKILL"):
                raise SystemExit(f"sluice ended by itself: {self.errors[-2000:]}")
            yield
        return True

    def answers_again(self, kind, start):
        before = self.answer_count
        if (yield from self.wait(lambda: self.answer_count > before, 15, f"an answer after {kind}")):
            self.tally.returns[kind].append(now() - start)

    def churn(self):
        kinds = {
            "reload": (self.reload, 5), "flush": (self.flush, 3), "delete": (self.delete, 3), "bridge kill": (self.kill_bridge, 2),
            "SIGTERM": (lambda: self.restart(signal.SIGTERM), 1), "SIGKILL": (lambda: self.restart(signal.SIGKILL), 1),
        }
        if self.options.verify != "address":
            kinds["gate kill"] = (self.kill_gate, 2)
        if self.options.only:
            kinds = {kind: kinds[kind] for kind in self.options.only.split(",")}
        while True:
            pause = now() + self.random.choice((0.05, 0.5, 1, 2, 3)) * self.random.uniform(0.5, 1.5)
            while now() < pause:
                yield
            kind = self.random.choices(list(kinds), [weight for _, weight in kinds.values()])[0]
            self.phase = kind
            self.tally.actions[kind] += 1
            yield from kinds[kind][0]()
            self.phase = "quiet"

    def reload(self):
        self.world.toggle()
        listed = self.world.listed()
        self.reloads += 1
        self.oracle.change(listed)
        open(f"{self.bed.folder}/policies.yaml", "w").write(self.world.policies())
        mark, start = len(self.errors), now()
        self.note("SIGHUP with another policy")
        self.sluice.send_signal(signal.SIGHUP)
        if (yield from self.wait(lambda: self.said("is in force", mark) or self.said("refused", mark), 10, "the reload")):
            if self.said("refused", mark):
                raise SystemExit(f"the reload was refused: {self.errors[mark:]}")
            self.tally.returns["reload"].append(now() - start)
        self.enforce(listed)
        pause = now() + 0.3
        while now() < pause:
            yield

    def enforce(self, listed):
        """The policy is in force: what it removed is refused from now on."""
        self.reloads += 1
        closed = self.oracle.in_force(listed, now())
        self.note(f"in force; {len(closed)} elements became outside")
        for element in closed:
            self.probe(element)
            for delay in (0.005, 0.02, 0.1):
                self.after(delay, lambda element=element: self.probe(element))

    def command(self, disturbance, *words):
        """Runs a foreign nft command and waits for its end."""
        self.note("foreign: " + " ".join(words))
        process = subprocess.Popen(self.bed.r.words(*words), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        ended = os.pidfd_open(process.pid)
        self.handlers[ended] = lambda: setattr(disturbance, "returned", disturbance.returned or now())
        self.poll.register(ended, select.EPOLLIN | select.EPOLLONESHOT)
        while disturbance.returned is None:
            yield
        process.wait()
        self.poll.unregister(ended)
        del self.handlers[ended]
        os.close(ended)
        message = process.stderr.read().decode().strip()
        process.stderr.close()
        self.note(f"foreign command returned {process.returncode} {message.splitlines()[0] if message else ''}".rstrip())
        return process.returncode == 0

    def heal(self, disturbance):
        """Connects until the default drop and every promise are back."""
        if FENCE_DOWN in disturbance.breaks:
            fence = {(server, address, 443) for server in SERVERS for address in ("45.11.250.1", "2a10:77::fa:1")}
            yield from self.until(fence, "refused", lambda element: True)
            self.note(f"the default drop is back {(now() - disturbance.returned) * 1000:.1f} ms after the command")
            self.tally.heals[f"{disturbance.name}: default drop"].append(now() - disturbance.returned)
        promises = {element for element in self.oracle.live_promises(now())}
        yield from self.until(promises, "connected", lambda element: self.oracle.promised(element, now()))
        disturbance.healed = now()
        self.note(f"healed {(now() - disturbance.returned) * 1000:.1f} ms after the command")
        self.tally.heals[f"{disturbance.name}: promises"].append(now() - disturbance.returned)
        if disturbance.healed > disturbance.returned + self.options.heal_limit:
            self.note("healed later than allowed")

    def until(self, elements, outcome, still):
        """Connects to each again and again until it comes out as wanted, or is not `still` of interest."""
        flying, end = {}, now() + 10

        def done(attempt):
            if attempt.outcome == "timeout":
                self.tally.silent += 1
                self.note(f"no reply to {attempt.element}, begun {attempt.end - attempt.start:.3f} s ago")
            if flying.get(attempt.element) == attempt.start:
                del flying[attempt.element]
            if attempt.outcome == outcome:
                elements.discard(attempt.element)

        while elements and now() < end:
            # One whose packet got lost while the rules were replaced is not waited for.
            for element in [element for element in elements if now() - flying.get(element, 0) > 0.03]:
                if not still(element):
                    elements.discard(element)
                    continue
                flying[element] = self.connect(element, "canary", done).start
            yield
        if elements:
            self.violate(f"not healed within 10 s: {len(elements)} of the elements are not {outcome}: {list(elements)[:5]}", now())

    def disturb(self, name, breaks, *words):
        disturbance = Disturbance(name, breaks, self.options.heal_limit)
        self.disturbances.append(disturbance)
        if not (yield from self.command(disturbance, *words)):
            disturbance.healed = now()
            return
        yield from self.heal(disturbance)
        while disturbance.end is None:
            yield

    def flush(self):
        live = self.oracle.live_promises(now())
        # Not what a rule that opens every port put into another set.
        single = [element for element in live if self.oracle.world.opens_singly(element)]
        if single and self.random.random() < 0.3:
            server, address, port = self.random.choice(single)
            family = 6 if ":" in address else 4
            words = ["nft", f"delete element inet sluice {server}-{family} {{ {address} . tcp . {port} }}"]
            yield from self.disturb("delete element", {GRANTS_DOWN}, *words)
        else:
            # Only A has a rule that opens every port, and sets for it.
            sets = {"a": ("a-4", "a-6", "a-4-any", "a-6-any"), "b": ("b-4", "b-6")}
            chosen = [one for server in self.random.sample(SERVERS, self.random.randint(1, 2)) for one in sets[server]]
            yield from self.disturb("flush set", {GRANTS_DOWN}, "nft", "; ".join(f"flush set inet sluice {one}" for one in chosen))

    def delete(self):
        kind, script = self.random.choice((
            ("delete table", "delete table inet sluice"), ("delete table", "delete table inet sluice"),
            ("flush rules", "flush table inet sluice"), ("flush chain", "flush chain inet sluice forward"),
            ("recreate table", "delete table inet sluice; add table inet sluice"), ("flush ruleset", "flush ruleset"),
        ))
        yield from self.disturb(kind, {FENCE_DOWN, GRANTS_DOWN}, "nft", script)

    def bridge(self):
        """serve, the supervisor and the worker, as far as they live."""
        family, parents = [self.sluice.pid], {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    state, parent = open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[:2]
                    if state != "Z":
                        parents[int(entry)] = int(parent)
                except OSError:
                    pass
        while True:
            below = [pid for pid, parent in parents.items() if parent == family[-1]]
            if not below:
                return family
            # Not the nft that the worker may run.
            family.append(min(below))
            if len(family) == 3:
                return family

    def kill_bridge(self):
        family = self.bridge()
        while len(family) < 3:
            yield
            family = self.bridge()
        start = now()
        self.note(f"SIGKILL to the worker {family[2]}")
        os.kill(family[2], signal.SIGKILL)
        yield from self.wait(lambda: self.bridge()[2:] not in ([], family[2:]), 10, "another worker")
        self.tally.returns["bridge kill"].append(now() - start)
        yield from self.answers_again("SIGKILL of the worker", start)

    def gates(self):
        """Processes that pass connections on."""
        found = []
        for pid in subprocess.run(["ip", "netns", "pids", self.bed.r.name], capture_output=True, text=True).stdout.split():
            try:
                if b"gate\0--worker" in open(f"/proc/{pid}/cmdline", "rb").read():
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def kill_gate(self):
        former = self.gates()
        if not former:
            return
        start = now()
        # What is on its way ends with it; what comes meanwhile waits.
        self.gateless.append((start, start + 0.05))
        self.note(f"SIGKILL to the gate {former[-1]}")
        os.kill(former[-1], signal.SIGKILL)
        yield from self.wait(lambda: set(self.gates()) - set(former), 10, "another gate")
        self.tally.returns["gate kill"].append(now() - start)
        yield from self.answers_again("SIGKILL of the gate", start)

    def restart(self, number):
        start, mark = now(), len(self.errors)
        self.gateless.append((start, None))
        self.note(signal.Signals(number).name)
        changed = self.random.random() < 0.4
        if changed:
            self.world.toggle()
            self.oracle.change(self.world.listed())
            self.reloads += 1
            open(f"{self.bed.folder}/policies.yaml", "w").write(self.world.policies())
        self.sluice.send_signal(number)
        if not (yield from self.wait(lambda: self.sluice.poll() is not None, 15, "the end of sluice")):
            self.sluice.kill()
            self.sluice.wait()
        self.note("sluice has ended")
        self.bed.processes.remove(self.sluice)
        pause = now() + self.random.choice((0, 0.2, 1.5))
        while now() < pause:
            yield
        self.note("sluice starts" + (" with another policy" if changed else ""))
        self.start_sluice()
        while not self.said("sluice: serving", mark):
            if self.sluice.poll() is not None or now() > start + 40:
                raise SystemExit(f"sluice does not start again: {self.errors[mark:]}")
            yield
        self.gateless[-1] = (start, now())
        if changed:
            self.enforce(self.world.listed())
        yield from self.answers_again(signal.Signals(number).name, start)

    # The loop

    def step(self, task):
        try:
            next(task)
        except StopIteration:
            self.tasks.remove(task)

    def turn(self):
        patience = max(0.0, min(self.timers[0][0] - now() if self.timers else 0.002, 0.002))
        for descriptor, _ in self.poll.poll(patience):
            attempt = self.attempts.get(descriptor)
            if attempt:
                self.advance(attempt)
            elif descriptor in self.handlers:
                self.handlers[descriptor]()
        at = now()
        while self.deadlines and (self.deadlines[0].end or self.deadlines[0].start + PATIENCE < at):
            attempt = self.deadlines.popleft()
            if attempt.end is None:
                self.finish(attempt, None)
        while self.timers and self.timers[0][0] <= at:
            heapq.heappop(self.timers)[2]()
        for task in list(self.tasks):
            self.step(task)
        if self.suspects:
            self.review()

    def inquire(self):
        """Asks something: mostly what is listed."""
        server = self.random.choice(SERVERS)
        listed = sorted(self.oracle.perhaps[server])
        text = self.random.choice(listed if self.random.random() < 0.85 else self.everything)
        self.ask(server, self.world.names[text], self.random.choice((1, 1, 28)))

    def assail(self):
        """Connects to something: everything in turn, what is promised, or what was never named."""
        dice = self.random.random()
        if dice < 0.2:
            live = self.live
            if live:
                self.probe(self.random.choice(live))
        elif dice < 0.3:
            address = f"45.11.{self.random.randint(210, 249)}.{self.random.randint(1, 254)}"
            self.probe((self.random.choice(SERVERS), address, self.random.choice(PORTS)))
        else:
            self.position = (self.position + 1) % len(self.sweep)
            self.probe(self.sweep[self.position])

    def prove(self):
        self.everything = sorted(self.world.names)
        addresses = {address for name in self.world.names.values() for pool in name.pools.values() for address in pool}
        addresses |= set(self.world.static) | set(self.world.raw)
        self.sweep = [(server, address, port) for server in SERVERS for address in sorted(addresses) for port in PORTS]
        self.random.shuffle(self.sweep)
        self.began = now()
        self.configure()
        self.start_name_server()
        self.open_queries()
        self.start_sluice()
        end = now() + 30
        while not self.said("sluice: serving", 0):
            if self.sluice.poll() is not None or now() > end:
                raise SystemExit(f"sluice does not start: {self.errors}")
            self.turn()
        self.began = last = now()
        print(f"serving; {self.options.minutes:g} minutes, seed {self.options.seed}, {len(self.sweep)} elements in the sweep", flush=True)
        self.after(3, self.rotate)
        self.tasks.append(self.churn())
        budget, questions, self.live, refreshed = 0.0, 0.0, [], 0.0
        end = self.began + self.options.minutes * 60
        said = 0
        while now() < end or self.phase != "quiet" and now() < end + 30:
            self.turn()
            at = now()
            # What could not be done in time is not made up for.
            budget = min(budget + (at - last) * self.options.rate, 20)
            questions = min(questions + (at - last) * 150, 10)
            last = at
            if at - refreshed > 0.2:
                refreshed, self.live = at, self.oracle.live_promises(at)
            while questions >= 1:
                questions -= 1
                self.inquire()
            while budget >= 1:
                budget -= 1
                self.assail()
            if int((at - self.began) / 60) > said:
                said = int((at - self.began) / 60)
                total = sum(self.tally.counts.values())
                print(f"{said} min: {total:,} connections judged, {len(self.tally.violations)} violations", flush=True)
        self.tasks.clear()
        ended = now()
        while self.attempts or self.suspects:
            self.turn()
        return ended - self.began

    def report(self, seconds):
        tally = self.tally
        total = sum(tally.counts.values())
        print(f"\n{total:,} connections judged in {seconds:.0f} s ({total / seconds:,.0f}/s, at most {self.highest} at once)\n")
        print(tally.table())
        print("\nThe last two columns count connections during a flush or deletion from outside, from the start of the foreign")
        print(f"command until it has healed, and never longer than {self.options.heal_limit * 1000:.0f} ms after the command returned. What deletes the table")
        print("deletes the default drop with it: until it is back the kernel has no rule of Sluice's to refuse with, and the")
        print("promised addresses come back a moment after it. What fails later than that counts as a violation.\n")
        print("churn: " + ", ".join(f"{count} {kind}" for kind, count in sorted(tally.actions.items())))
        print("answers: " + ", ".join(f"{count:,} {word}" for word, count in sorted(tally.answers.items())))
        for name, values in sorted(tally.heals.items()):
            print(f"back after {name}: longest {max(values) * 1000:.1f} ms, median {sorted(values)[len(values) // 2] * 1000:.1f} ms ({len(values)})")
        for name, values in sorted(tally.returns.items()):
            what = {"reload": "in force after", "bridge kill": "another worker after", "gate kill": "another gate after"}.get(name, "answers again after")
            print(f"{what} {name}: longest {max(values) * 1000:.0f} ms, median {sorted(values)[len(values) // 2] * 1000:.0f} ms ({len(values)})")
        for number, text in enumerate(tally.violations[:200]):
            if number >= 20:
                print(f"VIOLATION {number + 1} {text}")
            if number in tally.again:
                print(f"violation {number + 1}, {text.splitlines()[0][:100]}: {tally.again[number]}")
        print(f"\nviolations: {len(tally.violations) + tally.repeats}, of which {tally.repeats} repeat one within 10 s")
        promised = sum(tally.counts[phase, "promised connected"] for phase in PHASES)
        outside = sum(tally.counts[phase, "outside refused"] for phase in PHASES)
        if not promised or not outside:
            print("nothing was proven: no connection of one kind was judged")
            return 1
        return 1 if tally.violations else 0


def main():
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("run this as root: it makes network namespaces")
    for program in ("nsd", "nft", "ip", "nsenter"):
        if not shutil.which(program):
            sys.exit(f"needs {program}")
    options.sluice = os.path.abspath(options.sluice)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    # Whatever hangs, it ends.
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("took too long"))
    signal.alarm(int(options.minutes * 60) + 180)
    dice = random.Random(options.seed)
    folder = tempfile.mkdtemp(prefix=f"sluice-churn-{os.getpid()}-")
    bed = Testbed(folder)
    status = 1
    try:
        bed.make()
        prober = Prober(options, bed, World(dice, options.verify), dice)
        try:
            seconds = prober.prove()
        except SystemExit as end:
            print(f"stopped: {end}", flush=True)
            raise
        status = prober.report(seconds)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        bed.take_down()
        if options.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
