"""A container, its host with Sluice, and everything that the container must not reach, each a network namespace.

    container 10.77.1.2 --- 10.77.1.1  host  192.0.2.1 --- 192.0.2.54 internet: nsd, and every address of 45.11.0.0/16
    neighbour 10.77.2.2 --- 10.77.2.1   of another server, which may reach 45.11.200.0/24 and the container
    stranger  10.99.0.2 --- 10.99.0.1   of no server: nothing governs it

Each has fd00:77:1::/64 and so on beside it, whatever families the policy governs. The container is a namespace behind a
veth, or behind a bridge, or no namespace at all but a tap of the bridge, as a virtual machine has it: what writes its
frames is then this process.
"""
import fcntl, json, os, queue, select, shutil, signal, socket, struct, subprocess, sys, tempfile, threading, time
from namespaces import *
from packets import *
from witness import *

ATTACHMENTS = ("bridge", "veth", "tap")
FAMILIES = ("ipv4", "ipv6", "dual")
OWN_MAC = mac("02:00:00:77:01:02")
ROUTER_MAC = mac("02:00:00:77:01:01")
OWN = {4: "10.77.1.2", 6: "fd00:77:1::2"}
GATEWAY = {4: "10.77.1.1", 6: "fd00:77:1::1"}
LINK_LOCAL = "fe80::ff:fe77:102"
NEIGHBOUR = {4: "10.77.2.2", 6: "fd00:77:2::2"}
STRANGER = {4: "10.99.0.2", 6: "fd00:99::2"}
UPSTREAM = {4: "192.0.2.54", 6: "2001:db8:2::54"}
HOST = {4: "192.0.2.1", 6: "2001:db8:2::1"}
OPEN = {4: "45.11.0.10", 6: "2a10:77::10"}
OPEN_NAME = "api.github.com"

ZONE = """$ORIGIN .
$TTL 60
. IN SOA ns. hostmaster. 1 3600 600 86400 60
. IN NS ns.
ns. IN A 192.0.2.54
api.github.com. IN A 45.11.0.10
api.github.com. IN AAAA 2a10:77::10
evil.example.com. IN A 45.11.0.66
evil.example.com. IN AAAA 2a10:77::66
evil.example.com. IN TXT "text"
*.slow.example. IN A 45.11.0.67
"""


def title(attachment, family, is_pinned):
    return f"{attachment}, {family}, {'interface named' if is_pinned else 'interface found'}"


def executable(named):
    """The executable of this name, else SLUICE_EXECUTABLE, else the release build, else the debug build."""
    named = named or os.environ.get("SLUICE_EXECUTABLE")
    repository = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "..")
    for candidate in [named] if named else [os.path.join(repository, ".build", mode, "sluice") for mode in ("release", "debug")]:
        if os.path.exists(candidate):
            return os.path.abspath(candidate)
    sys.exit("no executable: build sluice, or name one with --executable")


# With sni what the container's name opens is open to connections that say it, and to no packet of its own.
VERIFY = os.environ.get("SLUICE_VERIFY", "address")


class Features:
    """What the executable understands: an older one has no words for some of what is tried, and is tried without them."""

    def __init__(self, executable, folder):
        self.executable = executable
        self.has_enclosure = self._understands(folder, "inbound: [ 8080/tcp ]\ndhcp: on\n", "state: state\n")
        self.has_gate = self._understands(folder, "", "state: state\nverify: address\n")

    def _understands(self, folder, document, configuration):
        path = os.path.join(folder, "features")
        os.makedirs(path, exist_ok=True)
        with open(os.path.join(path, "p.yaml"), "w") as file:
            file.write(f"server: a\nnetworks: [ 10.77.1.0/24 ]\n{document}egress: []\n")
        with open(os.path.join(path, "s.yaml"), "w") as file:
            file.write(f'listen: [ "127.0.0.1:53" ]\nupstreams: [ udp://192.0.2.54 ]\npolicies: p.yaml\n{configuration}'
                       "audit: { path: a.jsonl }\ncontrol: c.sock\n")
        result = subprocess.run([self.executable, "check", "--config", os.path.join(path, "s.yaml")],
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return result.returncode == 0


class Wire:
    """Writes and reads the container's frames."""

    def __init__(self, bed):
        self.bed = bed
        self._listeners = []
        self._descriptor = bed.tap_descriptor
        self._socket = None if bed.tap_descriptor is not None else bed.client.packets("eth0")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, frame):
        try:
            if self._socket:
                self._socket.send(frame)
            else:
                os.write(self._descriptor, frame)
        except OSError:
            pass  # longer than the link takes, or the link is going

    def _run(self):
        ready = select.poll()
        ready.register(self._socket or self._descriptor, select.POLLIN)
        while not self._stop.is_set():
            if not ready.poll(100):
                continue
            try:
                if self._socket:
                    frame, address = self._socket.recvfrom(65535)
                    if address[2] == 4:
                        continue
                else:
                    frame = os.read(self._descriptor, 65535)
                    self._answer_neighbour(frame)
            except OSError:
                continue
            for listener in list(self._listeners):
                listener.put(frame)

    def _answer_neighbour(self, frame):
        """A virtual machine's own ARP (RFC 826) and neighbour discovery (RFC 4861 section 7.2)."""
        kind = frame[12:14]
        if kind == b"\x08\x06" and frame[20:22] == b"\0\x01" and frame[38:42] == octets(OWN[4]):
            reply = arp(2, OWN_MAC, OWN[4], frame[22:28], socket.inet_ntoa(frame[28:32]))
            self.send(ethernet(frame[6:12], OWN_MAC, ARP, reply))
        elif kind == b"\x86\xdd" and frame[20] == ICMP6 and frame[54] == 135:
            target = socket.inet_ntop(socket.AF_INET6, frame[62:78])
            asker = socket.inet_ntop(socket.AF_INET6, frame[22:38])
            if target in (OWN[6], LINK_LOCAL) and asker != "::":
                body = icmp6(target, asker, 136, 0, b"\x60\0\0\0", octets(target) + b"\x02\x01" + OWN_MAC)
                self.send(ethernet(frame[6:12], OWN_MAC, IPV6, ipv6(target, asker, ICMP6, body, 255)))

    def exchange(self, send, seconds, match):
        """Sends, and waits for the first frame for which `match` gives something true: what it gave; None when time is over."""
        frames = queue.Queue()
        self._listeners.append(frames)
        try:
            send()
            deadline = time.monotonic() + seconds * PATIENCE
            while (left := deadline - time.monotonic()) > 0:
                try:
                    found = match(Parsed(frames.get(timeout=left)))
                except queue.Empty:
                    return None
                if found:
                    return found
            return None
        finally:
            self._listeners.remove(frames)

    def close(self):
        self._stop.set()
        self._thread.join(10)
        if self._socket:
            self._socket.close()


class Bed:
    def __init__(self, features, attachment, family, is_pinned, ledger, number=0):
        self.features, self.attachment, self.family, self.is_pinned = features, attachment, family, is_pinned
        self.ledger = ledger
        self.folder = tempfile.mkdtemp(prefix="sluice-siege-")
        os.chmod(self.folder, 0o755)
        self.namespaces, self.processes = [], []
        self.serve = self.wire = self.witness = self.tap_descriptor = None
        self.output = os.path.join(self.folder, "sluice.log")
        self._sentinels = 0
        self._prefix = f"sluice-{os.getpid()}-{number}"
        try:
            self._make(number)
        except BaseException:
            self.close()
            raise

    @property
    def title(self):
        return title(self.attachment, self.family, self.is_pinned) + (", br_netfilter" if getattr(self, "shows_bridged", False) else "")

    def governs(self, version):
        return self.family in ("dual", f"ipv{version}")

    @property
    def versions(self):
        """The families that the policy governs."""
        return [version for version in (4, 6) if self.governs(version)]

    # MARK: - Making it

    def _namespace(self, name):
        self.namespaces.append(Namespace(f"{self._prefix}-{name}"))
        return self.namespaces[-1]

    def _make(self, number):
        self.client, self.host, self.neighbour, self.stranger, self.net = [
            self._namespace(name) for name in ("mcp", "host", "other", "plain", "net")]
        self.host.sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.rp_filter=0",
                         "net.ipv4.conf.default.rp_filter=0", "net.ipv4.conf.all.accept_source_route=1",
                         "net.ipv4.conf.default.accept_source_route=1", "net.ipv6.conf.all.accept_source_route=1",
                         "net.ipv6.conf.default.accept_source_route=1", "net.ipv4.ipfrag_time=1",
                         "net.ipv6.ip6frag_time=1", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0",
                         "net.ipv4.icmp_echo_ignore_broadcasts=0")
        try:
            self.host.sysctl("net.netfilter.nf_conntrack_frag6_timeout=1")
        except Failure:
            pass  # where the module is not loaded yet
        # Where bridges show their packets to the rules of IP, as on a host with Docker, rules meet them sooner: both are tried.
        self.shows_bridged = self.attachment != "veth" and number % 2 == 0 and os.path.exists("/proc/sys/net/bridge")
        if os.path.exists("/proc/sys/net/bridge"):
            self.host.sysctl(*[f"net.bridge.bridge-nf-call-{tables}={int(self.shows_bridged)}" for tables in ("iptables", "ip6tables")])
        self.attach()
        run("ip", "link", "add", "br-other", "netns", self.host.name, "type", "veth", "peer", "name", "eth0", "netns", self.neighbour.name)
        run("ip", "link", "add", "br-plain", "netns", self.host.name, "type", "veth", "peer", "name", "eth0", "netns", self.stranger.name)
        run("ip", "link", "add", "uplink", "netns", self.host.name, "type", "veth", "peer", "name", "eth0", "netns", self.net.name)
        self.host.ip(*[f"address add {address} dev {link}{' nodad' if ':' in address else ''}" for link, addresses in (
            ("br-other", ["10.77.2.1/24", "fd00:77:2::1/64"]), ("br-plain", ["10.99.0.1/24", "fd00:99::1/64"]),
            ("uplink", ["192.0.2.1/24", "2001:db8:2::1/64"])) for address in addresses],
            *[f"link set {link} up" for link in ("br-other", "br-plain", "uplink")])
        for space, own, router in ((self.neighbour, NEIGHBOUR, "10.77.2.1 fd00:77:2::1"), (self.stranger, STRANGER, "10.99.0.1 fd00:99::1")):
            routers = router.split()
            space.ip(f"address add {own[4]}/24 dev eth0", f"address add {own[6]}/64 dev eth0 nodad", "link set eth0 up",
                     f"route add default via {routers[0]}", f"route add default via {routers[1]}")
        # Every address of these networks is the internet's own; what its name server does not answer is dropped first.
        self.net.ip("address add 192.0.2.54/24 dev eth0", "address add 2001:db8:2::54/64 dev eth0 nodad", "link set eth0 up",
                    "route add local 45.11.0.0/16 dev lo", "route add local 2a10:77::/64 dev lo",
                    "route add 10.0.0.0/8 via 192.0.2.1", "route add fd00::/16 via 2001:db8:2::1")
        self.host.ip("route add default via 192.0.2.54", "route add default via 2001:db8:2::54")
        # The label `slow` after one of eight octets; what else arrives is seen by the witness and answered by nothing.
        self.net.nft("table inet quiet { chain in { type filter hook prerouting priority raw; "
                     "udp dport 53 @th,232,40 0x04736c6f77 drop; udp dport 53 accept; tcp dport 53 accept; "
                     "icmpv6 type { 133, 134, 135, 136 } accept; meta l4proto { tcp, udp, icmp, icmpv6 } iifname eth0 drop; }; }")
        for space in (self.neighbour, self.stranger):
            space.nft("table inet quiet { chain in { type filter hook input priority 0; "
                      "icmpv6 type { 133, 134, 135, 136 } accept; iifname eth0 drop; }; }")
        # As Docker publishes a port.
        self.publish()
        self._start_name_server()
        self.witness = Witness(self.ledger)
        self.witness.watch_link("internet", self.net.packets("eth0"))
        self.witness.watch_link("neighbour", self.neighbour.packets("eth0"))
        self.witness.watch_link("stranger", self.stranger.packets("eth0"))
        self.witness.watch_host(self.host, ["br-mcp", "br-other", "uplink"])
        self.witness.open_on_host = frozenset((GATEWAY[version], 53) for version in (4, 6)) | (
            frozenset({(None, 67), (None, 547)}) if self.asks_dhcp else frozenset())
        self.witness.start()
        self.frames = {"internet": self.net.packets("eth0"), "neighbour": self.neighbour.packets("eth0"), "stranger": self.stranger.packets("eth0")}
        self.wire = Wire(self)

    @property
    def asks_dhcp(self):
        """Every bed with a named interface, where the executable knows the word."""
        return self.is_pinned and self.features.has_enclosure

    def publish(self):
        """Published ports as Docker makes them: the container's, and one of a neighbour; with masquerading on bridges."""
        masquerade = 'ip saddr 10.77.1.0/24 oifname != "br-mcp" masquerade; ' if self.attachment == "bridge" else ""
        self.host.nft(f"table ip publish {{ chain inward {{ type nat hook prerouting priority dstnat; "
                      f"tcp dport 9080 dnat to {OWN[4]}:8080; tcp dport 9081 dnat to {OWN[4]}:8081; "
                      f"udp dport 9081 dnat to {OWN[4]}:8081; tcp dport 9082 dnat to {NEIGHBOUR[4]}:8080; "
                      f"udp dport 9082 dnat to {NEIGHBOUR[4]}:8080; }}; "
                      f"chain outward {{ type nat hook postrouting priority srcnat; {masquerade}}}; }}")

    # The host's, in the networks that the policy governs.
    own_addresses = (f"{GATEWAY[4]}/24", f"{GATEWAY[6]}/64")

    def attach(self, link="br-mcp"):
        """The container's link, of which there is none: the host's side with its addresses first, as engines do it."""
        self.link = port = link
        if self.attachment != "veth":
            self.host.ip(f"link add {link} address {ROUTER_MAC.hex(':')} type bridge")
            port = "port0"
        if self.attachment == "tap":
            self.tap_descriptor = self.host.tap("port0")
        else:
            run("ip", "link", "add", port, *(["address", ROUTER_MAC.hex(":")] if port == link else []), "netns", self.host.name,
                "type", "veth", "peer", "name", "eth0", "netns", self.client.name)
            # The frames are read by this process: the container's own stack says nothing to them.
            self.client.nft("add table inet quiet; delete table inet quiet; table inet quiet { chain in { type filter hook input priority 0; "
                            "icmpv6 type { 133, 134, 135, 136 } accept; iifname eth0 drop; }; }")
            self.client.ip(f"link set eth0 address {OWN_MAC.hex(':')}")
        # Another network lies behind the same interface; no policy governs it.
        self.host.ip(*[f"address add {address} dev {link}{' nodad' if ':' in address else ''}" for address in self.own_addresses],
                     "address add 10.98.0.1/24 dev " + link, "address add fd00:98::1/64 dev " + link + " nodad", f"link set {link} up")
        if port != link:
            self.host.ip(f"link set {port} master {link}", f"link set {port} up")
        if self.attachment != "tap":
            self.client.ip("link set eth0 up", f"address add {OWN[4]}/24 dev eth0", f"address add {OWN[6]}/64 dev eth0 nodad",
                           f"route add default via {GATEWAY[4]}", f"route add default via {GATEWAY[6]}")
        self.host.sysctl(f"net.ipv4.conf.{link}.route_localnet=1")
        self.router = ROUTER_MAC
        self.link_local = eventually("a link-local address on the host", 10, self._link_local)

    def _link_local(self):
        for link in json.loads(run("ip", "-n", self.host.name, "-j", "-6", "address", "show", "dev", self.link) or "[]"):
            for address in link.get("addr_info", []):
                if address["scope"] == "link" and not address.get("tentative"):
                    return address["local"]
        return None

    zone = ZONE

    def _start_name_server(self):
        for file, text in (("root.zone", self.zone), ("nsd.conf", f"""server:
  ip-address: 192.0.2.54
  ip-address: 2001:db8:2::54
  username: ""
  chroot: ""
  zonesdir: "{self.folder}"
  database: ""
  pidfile: ""
  xfrdfile: "{self.folder}/xfrd"
  zonelistfile: "{self.folder}/zone.list"
  server-count: 1
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: yes
  control-interface: {self.folder}/nsd.sock
zone:
  name: .
  zonefile: root.zone
""")):
            with open(os.path.join(self.folder, file), "w") as output:
                output.write(text)
        log = open(os.path.join(self.folder, "nsd.log"), "w")
        self.processes.append(subprocess.Popen(self.net.words("nsd", "-d", "-c", f"{self.folder}/nsd.conf"),
                                               stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        asker = self.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.settimeout(0.1)
        asker.connect((UPSTREAM[4], 53))

        def answers():
            try:
                asker.send(query(name(OPEN_NAME)))
                return asker.recv(4096)
            except OSError:
                return None
        eventually("the upstream answers", 10, answers)
        asker.close()

    # MARK: - Sluice

    def write_policy(self, has_document=True):
        networks = [network for version, network in ((4, "10.77.1.0/24"), (6, '"fd00:77:1::/64"')) if self.governs(version)]
        other = f"""server: neighbour
networks: [ 10.77.2.0/24, "fd00:77:2::/64" ]
egress:
  - cidr: 45.11.200.0/24
    ports: any
  - cidr: "2a10:77::c8:0/112"
    ports: any
  - cidr: {OWN[4]}/32
    ports: any
  - cidr: "{OWN[6]}/128"
    ports: any
"""
        own = f"""---
server: siege
networks: [ {', '.join(networks)} ]
{'interface: br-mcp' if self.is_pinned else '# Its interface is found.'}
{'inbound: [ 8080/tcp ]' if self.features.has_enclosure else ''}
{'dhcp: on' if self.asks_dhcp else ''}
egress:
  - {OPEN_NAME}
  - "*.slow.example"
  - cidr: 45.11.0.21/32
    ports: [ 21/tcp, 69/udp ]
"""
        with open(os.path.join(self.folder, "policies.yaml"), "w") as file:
            file.write(other + (own if has_document else ""))
        with open(self.configuration, "w") as file:
            file.write(f"""listen: [ "{GATEWAY[4]}:53", "[{GATEWAY[6]}]:53" ]
upstreams: [ "udp://{UPSTREAM[4] if self.governs(4) else f'[{UPSTREAM[6]}]'}" ]
policies: policies.yaml
audit: {{ path: audit.jsonl }}
control: control.sock
user: root
{'state: state' if self.features.has_enclosure else ''}
{f'verify: {VERIFY}' if self.features.has_gate else ''}
""")

    @property
    def configuration(self):
        return os.path.join(self.folder, "sluice.yaml")

    def sluice(self, *words, check=True, executable=None):
        command = self.host.words(executable or self.features.executable, *words, "--config", self.configuration)
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=self.environment)
        if check and result.returncode != 0:
            raise Failure(f"{' '.join(words)}: {result.stdout}{result.stderr}")
        return result

    environment = dict(os.environ, SWIFT_BACKTRACE="enable=no")

    def launch(self, executable=None):
        """Starts serve and does not wait for it."""
        words = self.host.words(executable or self.features.executable, "serve", "--config", self.configuration)
        with open(self.output, "a") as log:
            self.serve = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment)

    def start(self, executable=None):
        self.launch(executable)
        asker = self.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asker.settimeout(0.05)
        asker.connect((GATEWAY[4], 53))

        def answers():
            if self.serve.poll() is not None:
                raise Failure(f"serve ended: {open(self.output).read()[-2000:]}")
            try:
                asker.send(query(name("localhost")))
                return asker.recv(4096)
            except OSError:
                return None
        try:
            eventually("serve answers", 20, answers)
        finally:
            asker.close()

    def processes_of_sluice(self):
        """Process ids by part: serve, and the supervisor and the worker of its bridge, as far as they live."""
        found = {}
        for pid in run("ip", "netns", "pids", self.host.name).split():
            try:
                words = open(f"/proc/{pid}/cmdline").read().split("\0")
            except OSError:
                continue
            # The last of each is what versions until November 2026 call it, which `upgrade` starts from.
            named = {"serve": {"serve"}, "supervisor": {"--supervisor", "--keeper"}, "worker": {"--worker", "--feeder"}}
            for part, known in named.items():
                if known & set(words):
                    found.setdefault(part, []).append(int(pid))
        return found

    def stop(self):
        """Ends serve as a service manager does."""
        if self.serve and self.serve.poll() is None:
            self.serve.send_signal(signal.SIGTERM)
            try:
                self.serve.wait(20 * PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        self.serve = None

    def kill(self, parts=("serve", "supervisor", "worker")):
        """Ends parts of Sluice at once, without a word."""
        found = self.processes_of_sluice()
        for part in parts:
            for pid in found.get(part, []):
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass
        # A serve that `ip` has not yet become is ended all the same.
        if "serve" in parts and self.serve:
            self.serve.kill()
            self.serve.wait()

    def events(self):
        try:
            with open(os.path.join(self.folder, "audit.jsonl")) as file:
                return [json.loads(line) for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []

    # MARK: - Sending and asking

    def send(self, packet, to=None, kind=None):
        """A packet of the container to its router, or to another Ethernet address."""
        self.wire.send(ethernet(to or self.router, OWN_MAC, kind or (IPV6 if packet[0] >> 4 == 6 else IPV4), packet))

    def send_from(self, place, packet):
        """A packet that another place sends to its router, the host."""
        link = {"internet": "uplink", "neighbour": "br-other", "stranger": "br-plain"}[place]
        self._macs = getattr(self, "_macs", {})
        if place not in self._macs:
            self._macs[place] = self.host.mac(link)
        kind = IPV6 if packet[0] >> 4 == 6 else IPV4
        self.witness.accomplices.add(Parsed(ethernet(OWN_MAC, OWN_MAC, kind, packet)).source)
        self.frames[place].send(ethernet(self._macs[place], b"\x02\0\0\0\0\x54", kind, packet))

    def ask(self, labels, kind=1, version=None, source=None, wait=2.0, message=None, port=None):
        """Asks Sluice as the container; the answer's octets, or None."""
        version = version or self.versions[0]
        source = source or OWN[version]
        self._port = getattr(self, "_port", 20000) + 1
        port = port or self._port
        message = message or query(labels, port, kind)
        return self.wire.exchange(
            lambda: self.send(ip(source, GATEWAY[version], UDP, udp(source, GATEWAY[version], message, port, 53))), wait,
            lambda packet: packet.protocol == UDP and packet.ports == (53, port) and packet.data)

    def settle(self):
        """Returns when everything sent before has been seen by the witness, as far as it arrives at all."""
        time.sleep(0.01 * PATIENCE)
        self._sentinels += 1
        text = SENTINEL + str(self._sentinels).encode()
        sender = self.host.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def seen():
            sender.sendto(text, (UPSTREAM[4], 9))
            time.sleep(0.005)
            return text in self.witness.sentinels
        eventually("the witness sees what the host sends", 10, seen)
        sender.close()

    def answers(self):
        """Whether the name that policy opens has an answer."""
        reply = self.ask(name(OPEN_NAME), 28 if self.versions[0] == 6 else 1, wait=1)
        return bool(reply) and bool(addresses_of(reply))

    def opened(self, version):
        """Whether what policy opens is open: the name answers, and a connection to its address leaves."""
        def works():
            reply = self.ask(name(OPEN_NAME), 28 if version == 6 else 1, wait=1)
            if not reply or OPEN[version] not in addresses_of(reply):
                return False
            data = self.ledger.begin(None, allowed=True)
            self.send(ip(OWN[version], OPEN[version], TCP, tcp(OWN[version], OPEN[version], data, 30000 + len(self.ledger.kinds) % 20000, 443)))
            self.settle()
            return int.from_bytes(data[5:], "big") in self.ledger.arrived
        try:
            return eventually("what policy opens is open", 5, works)
        except Failure:
            return False

    def is_listed_port_open(self, version):
        """Whether an accomplice outside reaches the port that `inbound` lists, and gets what the container says."""
        there, own, sport = ("45.11.240.9" if version == 4 else "2a10:77::f0:9"), OWN[version], 33000 + len(self.ledger.kinds) % 20000
        target, port = (HOST[4], 9080) if version == 4 else (own, 8080)
        came = self.wire.exchange(
            lambda: self.send_from("internet", ip(there, target, TCP, tcp(there, target, b"", sport, port, SYN, 5000))), 2,
            lambda packet: packet.protocol == TCP and packet.source == there and packet.ports == (sport, 8080))
        data = self.ledger.begin(None, allowed=True)
        self.send(ip(own, there, TCP, tcp(own, there, data, 8080, sport, SYN | ACK, 1000, 5001)))
        self.settle()
        return bool(came) and int.from_bytes(data[5:], "big") in self.ledger.arrived

    def is_dhcp_open(self):
        """Whether a datagram of a DHCP client without an address reaches a server on the host."""
        server = self.host.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", 67))
        server.settimeout(2 * PATIENCE)
        packet = ipv4("0.0.0.0", "255.255.255.255", UDP, udp("0.0.0.0", "255.255.255.255", b"discover", 68, 67))
        self.send(packet, to=BROADCAST)
        try:
            return server.recv(100) == b"discover"
        except OSError:
            return False
        finally:
            server.close()

    def close(self):
        self.stop()
        if self.wire:
            self.wire.close()
        if self.witness:
            self.witness.stop()
        for frames in getattr(self, "frames", {}).values():
            frames.close()
        if self.tap_descriptor is not None:
            os.close(self.tap_descriptor)
        for process in self.processes:
            process.terminate()
        for space in self.namespaces:
            space.delete()
        for process in self.processes:
            process.wait()
        if os.environ.get("KEEP"):
            print(f"kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
