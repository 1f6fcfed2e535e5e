#!/usr/bin/env python3
"""What a connection costs that goes through the gate, beside proxies that do the same job and beside plain forwarding.

  sudo Tests/Benchmarks/gate.py .build/release/sluice [--rounds 5] [--only plain,gate,nginx,haproxy] [--faults]

A client, a host and an internet, each a network namespace, joined by veth. The host forwards (`plain`, by a rule of Sluice's that
names the network), has Sluice with the gate, nginx with `ssl_preread`, and HAProxy that reads the SNI; each hands the same hello to
the same server, which answers it in the clear: no TLS is measured. In each round, one after the other: connections one at a time
until the answer is there, an octet there and back, 1 GiB from the server with the CPU time of what passes it on, connections a
second, and once the memory of 10,000 idle ones. Prints medians, and what is added to plain forwarding.
What is to hold: the connection's and the octet's added p50 below 1.2 times nginx's, bulk above 1.5 times nginx's and 0.6 times plain,
CPU for each GiB below HAProxy's, connections a second above nginx's, 10,000 idle ones below 64 MiB. With `--faults` another server's
connections are timed instead, alone and beside what one server or fate does to the gate: 10,000 half hellos, resets in mid-hello, a
peer that never accepts, its share of descriptors used up, the gate stopped and killed. All must succeed, and their p99 stay below
twice that alone (10 ms at least), but for the gate's own end, which may take 3 s of one connection. Needs root, a C compiler, nftables, iproute2, nsd, nginx with its stream module, haproxy, and the user sluice-gate."""
import argparse, os, resource, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, time

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("executable")
options.add_argument("--rounds", type=int, default=5)
options.add_argument("--only", default="plain,gate,nginx,haproxy")
options.add_argument("--mebibytes", type=int, default=1024)
options.add_argument("--idle", type=int, default=10_000)
options.add_argument("--faults", action="store_true")
options = options.parse_args()
options.executable = os.path.abspath(options.executable)
# Two descriptors for each connection that passes; HAProxy wants some for pipes as well.
LIMIT = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 65_536)
MOST = (LIMIT - 1_100) // 2
NAME, SERVER, DEAD, NEIGHBOUR = "api.github.com", "45.11.0.10", "45.11.0.20", "10.77.1.200"
place = tempfile.mkdtemp(prefix="sluice-gate-")
os.chmod(place, 0o755)
spaces = {role: f"sg{os.getpid()}-{role}" for role in ("mcp", "free", "host", "net")}
processes = []
here = os.path.dirname(os.path.realpath(__file__))


def run(*words, space=None, **more):
    words = (["ip", "netns", "exec", spaces[space]] if space else []) + list(words)
    result = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, **more)
    if result.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {result.stdout}{result.stderr}")
    return result.stdout


def start(space, *words, **more):
    log = open(f"{place}/{os.path.basename(words[0])}.log", "w")
    processes.append(subprocess.Popen(["ip", "netns", "exec", spaces[space], *words],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more))
    return processes[-1]


def write(name, text):
    with open(f"{place}/{name}", "w") as file:
        file.write(text)
    return f"{place}/{name}"


def wait(what, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}; see {place}")
        time.sleep(0.05)


def make():
    for space in spaces.values():
        run("ip", "netns", "add", space)
        run("ip", "-n", space, "link", "set", "lo", "up")
    run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1", "net.ipv4.ip_local_port_range=10000 65000", space="host")
    run("sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=10000 65000", space="mcp")
    for link, space, network in (("br-mcp", "mcp", "10.77.1"), ("br-free", "free", "10.88.1"), ("uplink", "net", "192.0.2")):
        run("ip", "link", "add", link, "netns", spaces["host"], "type", "veth", "peer", "name", "eth0", "netns", spaces[space])
        run("ip", "-n", spaces["host"], "address", "add", f"{network}.1/24", "dev", link)
        run("ip", "-n", spaces["host"], "link", "set", link, "up")
        run("ip", "-n", spaces[space], "address", "add", f"{network}.{54 if space == 'net' else 2}/24", "dev", "eth0")
        run("ip", "-n", spaces[space], "link", "set", "eth0", "up")
        if space != "net":
            run("ip", "-n", spaces[space], "route", "add", "default", "via", f"{network}.1")
    run("ip", "-n", spaces["host"], "route", "add", "45.11.0.0/16", "via", "192.0.2.54")
    run("ip", "-n", spaces["net"], "route", "add", "local", "45.11.0.0/16", "dev", "lo")
    run("ip", "-n", spaces["net"], "route", "add", "10.0.0.0/8", "via", "192.0.2.1")
    run("cc", "-O2", "-pthread", "-o", f"{place}/gateload", f"{here}/load/gateload.c")
    start("net", f"{place}/gateload", "serve", "443")
    write("root.zone", f"$ORIGIN .\n$TTL 3600\n. SOA ns. hostmaster. 1 3600 600 86400 60\n. NS ns.\nns. A 192.0.2.54\n{NAME}. A {SERVER}\ndead.github.com. A {DEAD}\n")
    start("net", "nsd", "-d", "-c", write("nsd.conf", f"""server:
  ip-address: 192.0.2.54
  username: ""
  chroot: ""
  zonesdir: "{place}"
  database: ""
  pidfile: ""
  xfrdfile: "{place}/xfrd"
  zonelistfile: "{place}/zone.list"
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: .
  zonefile: root.zone
"""))


def start_sluice(most=None):
    write("policies.yaml", f"""server: bench
networks: [ 10.77.1.0/24 ]
egress:
  - {NAME}
  - dead.github.com
  - cidr: 45.11.9.0/24
---
server: neighbour
networks: [ {NEIGHBOUR}/32 ]
egress: [ {NAME} ]
""")
    run("ip", "-n", spaces["mcp"], "address", "replace", f"{NEIGHBOUR}/24", "dev", "eth0")
    bound = ["prlimit", f"--nofile={most}:{most}"] if most else []
    start("host", *bound, options.executable, "serve", "--config", write("sluice.yaml", f"""listen: [ 10.77.1.1:53 ]
upstreams: [ {{ address: "udp://192.0.2.54", insecure: true }} ]
policies: policies.yaml
audit: {{ path: audit.jsonl }}
control: control.sock
state: state
user: root
firewall: {{ min-lifetime: 1h }}
"""), cwd=place)
    for source in ("10.77.1.2", NEIGHBOUR):
        wait("Sluice opens the address", lambda: SERVER in subprocess.run(
            ["ip", "netns", "exec", spaces["mcp"], "dig", "+short", "+time=1", "+tries=1", "-b", source, "@10.77.1.1", NAME],
            capture_output=True, text=True).stdout)


def start_nginx():
    start("host", "nginx", "-c", write("nginx.conf", f"""daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/nginx.err;
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
worker_rlimit_nofile {LIMIT};
events {{ worker_connections {LIMIT}; }}
stream {{
  map $ssl_preread_server_name $to {{ {NAME} {SERVER}:443; default 127.0.0.1:1; }}
  server {{ listen 10.88.1.1:8001 backlog=4096; ssl_preread on; tcp_nodelay on; proxy_pass $to; }}
}}
"""))


def start_haproxy():
    start("host", "haproxy", "-f", write("haproxy.cfg", f"""global
  maxconn {LIMIT * 3 // 8}
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  option splice-auto
frontend in
  bind 10.88.1.1:8002 backlog 4096
  tcp-request inspect-delay 5s
  tcp-request content accept if {{ req_ssl_hello_type 1 }}
  use_backend out if {{ req.ssl_sni -i {NAME} }}
backend out
  server one {SERVER}:443
"""))


def descendants(pid):
    found = [pid]
    for child in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split():
        found += descendants(int(child))
    return found


class Way:
    def __init__(self, label, space, address, port, begin=None):
        self.label, self.space, self.address, self.port = label, space, address, port
        self.results = {}
        if begin:
            begin()
            self.process = processes[-1]
        else:
            self.process = None

    @property
    def passing(self):
        """Who moves the octets: of Sluice the gate's worker."""
        if self.process is None:
            return None
        if self.label != "gate":
            return [pid for pid in descendants(self.process.pid)][-1]
        number = str(__import__("pwd").getpwnam("sluice-gate").pw_uid)
        mine = set(descendants(self.process.pid))
        return max(pid for pid in mine if open(f"/proc/{pid}/status").read().split("Uid:")[1].split()[0] == number)

    def cpu(self):
        if self.passing is None:
            return 0
        fields = open(f"/proc/{self.passing}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self):
        return int(open(f"/proc/{self.passing}/smaps_rollup").read().split("Pss:")[1].split()[0]) / 1024

    def load(self, kind, *numbers):
        output = run(f"{place}/gateload", kind, self.address, str(self.port), NAME, *[str(number) for number in numbers], space=self.space)
        return [float(line) for line in output.split()]

    def add(self, what, value):
        self.results.setdefault(what, []).append(value)

    def median(self, what):
        return statistics.median(self.results[what]) if self.results.get(what) else None


def measure(ways):
    for round in range(options.rounds):
        for way in ways:
            way.add("connect", statistics.median(way.load("connect", 2000)[200:]) / 1e3)
            way.add("echo", statistics.median(way.load("echo", 5000)[500:]) / 1e3)
            before = way.cpu()
            seconds = way.load("bulk", options.mebibytes << 20)[0] / 1e9
            way.add("bulk", options.mebibytes * 8 * 1.048576e-3 / seconds)
            way.add("cpu", (way.cpu() - before) * 1024 / options.mebibytes)
            way.add("rate", way.load("rate", 2, 8)[0])
        print(f"round {round + 1} of {options.rounds}", flush=True)
    for way in ways:
        if way.process is None or not options.idle:
            continue
        before = way.memory()
        idler = subprocess.Popen(["ip", "netns", "exec", spaces[way.space], f"{place}/gateload", "idle", way.address, str(way.port), NAME,
                                  str(min(options.idle, LIMIT * 3 // 8 - 100 if way.label == "haproxy" else MOST))], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        idler.stdout.readline()
        way.add("memory", way.memory())
        way.add("grown", way.memory() - before)
        idler.stdin.close()
        idler.wait()


def show(ways):
    plain = next((way for way in ways if way.label == "plain"), None)
    print(f"\n{'':10}{'connect us':>12}{'added':>9}{'octet us':>10}{'added':>9}{'Gbit/s':>9}{'CPU s/GiB':>11}{'conn/s':>9}{'MiB idle':>10}{'grown':>8}")
    for way in ways:
        added = [way.median(what) - plain.median(what) if plain else float("nan") for what in ("connect", "echo")]
        cells = [way.median("connect"), added[0], way.median("echo"), added[1], way.median("bulk"), way.median("cpu"), way.median("rate"),
                 way.median("memory") or 0, way.median("grown") or 0]
        print(f"{way.label:10}" + "".join(f"{cell:>{width}.{digits}f}" for cell, width, digits in zip(
            cells, (12, 9, 10, 9, 9, 11, 9, 10, 8), (1, 1, 1, 1, 2, 3, 0, 1, 1))))
    if MOST < options.idle:
        print(f"{MOST} idle connections, for want of descriptors")
    found = {way.label: way for way in ways}
    if not {"plain", "gate", "nginx", "haproxy"} <= set(found):
        return
    gate, nginx, haproxy = found["gate"], found["nginx"], found["haproxy"]
    ratio = lambda what, one, other: statistics.median(a / b for a, b in zip(one.results[what], other.results[what]))
    added = lambda what, way: statistics.median(a - b for a, b in zip(way.results[what], plain.results[what]))
    for text, value, holds in (
            ("added to a connection, beside nginx (1.2)", added("connect", gate) / added("connect", nginx), lambda value: value <= 1.2),
            ("added to an octet, beside nginx (1.2)", added("echo", gate) / added("echo", nginx), lambda value: value <= 1.2),
            ("bulk beside nginx (1.5)", ratio("bulk", gate, nginx), lambda value: value >= 1.5),
            ("bulk beside plain (0.6)", ratio("bulk", gate, plain), lambda value: value >= 0.6),
            ("CPU beside HAProxy (1)", ratio("cpu", gate, haproxy), lambda value: value <= 1),
            ("connections beside nginx (1)", ratio("rate", gate, nginx), lambda value: value >= 1),
            ("MiB with idle ones (64)", gate.median("memory") or 0, lambda value: value <= 64)):
        print(f"{'holds ' if holds(value) else 'MISSES'}  {text}: {value:.2f}")


EACH = 200
ATTACKER = """
import os, socket, struct, sys, time
kind, address, count, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
hello = bytes.fromhex(sys.argv[5])
held, until = [], time.monotonic() + seconds
print("begins", flush=True)
while time.monotonic() < until:
    if len(held) >= count:
        time.sleep(0.05)
        continue
    link = socket.socket()
    try:
        link.connect((address, 443))
        link.send(hello)
    except OSError:
        pass
    if kind == "resets":
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        link.close()
    else:
        held.append(link)
"""


def neighbour(count):
    """Milliseconds of the neighbour's connections, one at a time, ascending; as many as came about."""
    result = subprocess.run(["ip", "netns", "exec", spaces["mcp"], f"{place}/gateload", "connect", SERVER, "443", NAME, str(count)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=dict(os.environ, SOURCE=NEIGHBOUR))
    return sorted(float(line) / 1e6 for line in result.stdout.split())


def faults(way):
    whole, dead = [run(f"{place}/gateload", "hello", "0.0.0.0", "0", name, "0").strip() for name in (NAME, "dead.github.com")]
    run("nft", f"table ip dead {{ chain in {{ type filter hook input priority 0; ip daddr {DEAD} drop; }}; }}", space="net")
    run("dig", "+short", "@10.77.1.1", "dead.github.com", space="mcp")
    failed = []

    def time_beside(title, kind=None, address=SERVER, count=1, hello="", seconds=6.0):
        alone = neighbour(EACH)
        attacker = None
        if kind:
            attacker = subprocess.Popen(["ip", "netns", "exec", spaces["mcp"], "/usr/bin/python3", "-c", ATTACKER, kind, address, str(count),
                                         str(seconds), hello], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
            attacker.stdout.readline()
            time.sleep(min(2.0, seconds / 3))
        found = neighbour(EACH)
        if attacker:
            attacker.wait()
        before, after = alone[int(len(alone) * 0.99) - 1], found[int(len(found) * 0.99) - 1] if found else float("inf")
        holds = len(found) == EACH and after <= max(2 * before, 10)
        print(f"{'holds ' if holds else 'MISSES'}  {title}: {len(found)} of {EACH}, p99 {after:.2f} ms, alone {before:.2f} ms", flush=True)
        if not holds:
            failed.append(title)

    def time_end(title, number):
        os.kill(way.passing, number)
        began = time.monotonic()
        found = neighbour(20)
        longest = found[-1] if found else float("inf")
        holds = len(found) == 20 and longest < 3_000
        print(f"{'holds ' if holds else 'MISSES'}  {title}: {len(found)} of 20, the longest {longest:.0f} ms", flush=True)
        if not holds:
            failed.append(title)

    time_beside("10,000 half hellos", "half", count=min(10_000, LIMIT - 100), hello=whole[:120], seconds=8)
    time_beside("resets in mid-hello", "resets", count=1 << 40, hello=whole[:120])
    time_beside("a peer that never accepts", "held", DEAD, 300, dead)
    time_end("killed", signal.SIGKILL)
    time.sleep(1)
    time_end("stopped", signal.SIGSTOP)
    way.process.send_signal(signal.SIGTERM)
    way.process.wait(20)
    start_sluice(most=2_048)
    way.process = processes[-1]
    time_beside("descriptors used up", "held", SERVER, 2_000, whole, seconds=8)
    return bool(failed)


def main():
    if os.geteuid() != 0:
        sys.exit("this needs root: it makes network namespaces")
    wanted = options.only.split(",")
    try:
        make()
        begin = {"gate": start_sluice, "nginx": start_nginx, "haproxy": start_haproxy}
        ways = []
        for label, space, address, port in (("gate", "mcp", SERVER, 443), ("plain", "mcp", "45.11.9.1", 443), ("nginx", "free", "10.88.1.1", 8001),
                                            ("haproxy", "free", "10.88.1.1", 8002)):
            if label in wanted and not options.faults or label == "gate":
                if label in begin and not shutil.which({"gate": options.executable}.get(label, label)):
                    print(f"skipped: {label} is not on this machine")
                    continue
                way = Way(label, space, address, port, begin.get(label))
                wait(f"{label} passes", lambda: subprocess.run(
                    ["ip", "netns", "exec", spaces[space], f"{place}/gateload", "connect", address, str(port), NAME, "1"],
                    capture_output=True).returncode == 0)
                ways.append(way)
        if options.faults:
            return faults(ways[0])
        measure([way for way in ways if way.label in wanted])
        show([way for way in ways if way.label in wanted])
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for space in spaces.values():
            subprocess.run(["ip", "netns", "delete", space], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


sys.exit(main())
