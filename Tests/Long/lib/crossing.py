"""A container, its host with Sluice, and an internet of name servers, one address each; what goes to them is read."""
import os, select, threading
from testbed import *
import certificates, dns, peers, questions

# Addresses of name servers, beside nsd's own.
SERVERS = [f"192.0.2.{60 + at}" for at in range(16)]


class Crossing(Bed):
    def __init__(self, features, zone):
        self.zone = zone + f"{OPEN_NAME}. A {OPEN[4]}\n"
        super().__init__(features, "veth", "dual", False, None)

    def _make(self, number):
        self.client, self.host, self.net = [self._namespace(name) for name in ("mcp", "host", "net")]
        self.host.sysctl("net.ipv4.ip_forward=1")
        for link, space in (("br-mcp", self.client), ("uplink", self.net)):
            run("ip", "link", "add", link, "netns", self.host.name, "type", "veth", "peer", "name", "eth0", "netns", space.name)
        self.host.ip(f"address add {GATEWAY[4]}/24 dev br-mcp", f"address add {GATEWAY[6]}/64 dev br-mcp nodad", "link set br-mcp up",
                     f"address add {HOST[4]}/24 dev uplink", "link set uplink up", f"route add default via {UPSTREAM[4]}")
        self.client.ip(*[f"address add 10.77.1.{2 + at}/24 dev eth0" for at in range(4)], "link set eth0 up",
                       f"route add default via {GATEWAY[4]}")
        self.net.ip(f"address add {UPSTREAM[4]}/24 dev eth0", f"address add {UPSTREAM[6]}/64 dev eth0 nodad",
                    *[f"address add {address}/24 dev eth0" for address in SERVERS], "link set eth0 up")
        self._start_name_server()
        self.authority = certificates.Authority(os.path.join(self.folder, "authority"))
        self.good = self.authority.issue("good", peers.TLS_NAME)
        self.tap = Tap(self)

    def use(self, upstream, forwards=()):
        """What Sluice asks from its next start on: an upstream as the configuration has it, and zones with theirs. Nothing of an
        earlier run is left."""
        self.upstream, self.forwards = upstream, forwards
        subprocess.run(self.host.words("nft", "delete", "table", "inet", "sluice"), stderr=subprocess.DEVNULL)
        for file in os.listdir(self.folder):
            if file.startswith("audit.jsonl"):
                os.remove(os.path.join(self.folder, file))
        self.write_policy()

    def write_policy(self):
        with open(os.path.join(self.folder, "policies.yaml"), "w") as file:
            file.write(f"""server: questions
networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
egress:
  - {{ host: "**.{questions.ZONE}", types: [ {', '.join(f'TYPE{dns.TYPES[kind]}' for kind in questions.KINDS)} ] }}
""")
        forwards = "".join(f"  - {{ zone: {zone}, upstreams: [ {self._text(upstream)} ] }}\n" for zone, upstream in self.forwards)
        with open(self.configuration, "w") as file:
            file.write(f"""listen: [ "{GATEWAY[4]}:53" ]
upstreams: [ {self._text(self.upstream)} ]
{'forward:' if forwards else ''}
{forwards}policies: policies.yaml
audit: {{ path: audit.jsonl, max-size: 1GiB }}
firewall: {{ deadline: 2s }}
verify: address
control: control.sock
user: root
state: state
""")

    def _text(self, upstream):
        if upstream.startswith(("tls:", "https:")):
            return f'{{ address: "{upstream}", ca: "{self.authority.certificate}" }}'
        return f'{{ address: "{upstream}", insecure: true }}'

    def close(self):
        if hasattr(self, "tap"):
            self.tap.close()
        super().close()


class Tap:
    """Reads the frames on the way to the upstreams."""

    def __init__(self, bed):
        self.bed, self._frames = bed, bed.net.packets("eth0")
        self.readable = 0  # frames in which a label of the names that are asked for stands
        self.headers = set()  # of IPv4 datagrams to port 53: type of service, flags and fragment offset, time to live, octets of options
        self._sentinels, self._last, self._ends = 0, b"", threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ends.is_set():
            if not select.select([self._frames], [], [], 0.1)[0]:
                continue
            frame = self._frames.recv(65535)
            self.readable += questions.MARK.encode() in frame.lower()
            packet = Parsed(frame)
            if packet.protocol == UDP and packet.ports[1] == 53 and packet.source == HOST[4]:
                self.headers.add((frame[15], frame[20:22].hex(), frame[22], (frame[14] & 15) * 4 - 20))
            elif SENTINEL in frame:
                self._last = frame[frame.find(SENTINEL):]

    def count(self):
        """Frames in which a name can be read, of all that were sent before."""
        self._sentinels += 1
        text = SENTINEL + str(self._sentinels).encode() + b"."
        sender = self.bed.host.socket(socket.AF_INET, socket.SOCK_DGRAM)

        def came():
            sender.sendto(text, (UPSTREAM[4], 9))
            time.sleep(0.005)
            return self._last.startswith(text)
        try:
            eventually("what is sent to the upstreams is read", 20, came)
        finally:
            sender.close()
        return self.readable

    def close(self):
        self._ends.set()
        self._thread.join(5)
        self._frames.close()
