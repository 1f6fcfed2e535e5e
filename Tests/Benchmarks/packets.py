#!/usr/bin/env python3
"""The per-packet cost of the ruleset: forwarding with no table, with 1 server and with 1,000.

  sudo Tests/Benchmarks/packets.py .build/release/sluice [--rounds 30] [--seconds 0.5] [--servers 1000] [--former EXECUTABLE] [--bridge]

For each variant three network namespaces (client, router, internet) joined by veth, all there at once; the router
forwards. `sluice firewall install` writes the table of 1 or 1,000 policies, the client being in the network of one of
them, and its destination is opened for UDP 9 and TCP 5201. With links, every policy also names its `interface`, as for
one bridge per server. `conntrack` is a table of one rule that asks for the state of the connection: what any stateful
firewall costs. With `--former` the rules of 1 server are also written by an earlier build. With `--bridge` the client is
behind a bridge of the router, as a container is behind its network's. A round measures every variant for a moment, in an
order that rotates: small UDP packets from one socket in a tight loop, counted where they arrive (packets per second, and
CPU time of the sender per packet, which includes only what the kernel charges to it): `unanswered` are packets of a
connection that nothing came back on, `out` and `back` those of one that was answered, from the client and to it. Every
second round also iperf3's TCP for a second. Prints medians, and medians of the ratios within a round. Needs root, nftables and iproute2; TCP needs iperf3,
instructions per packet need `perf stat` with hardware counters."""
import argparse, json, os, re, shutil, socket, statistics, subprocess, sys, tempfile, time

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("executable")
options.add_argument("--rounds", type=int, default=30)
options.add_argument("--seconds", type=float, default=0.5)
options.add_argument("--servers", type=int, default=1_000)
options.add_argument("--payload", type=int, default=18)
options.add_argument("--former", metavar="EXECUTABLE")
options.add_argument("--bridge", action="store_true")
options.add_argument("--flood", metavar="SECONDS", type=float, help=argparse.SUPPRESS)
options.add_argument("--from", dest="source", metavar="PORT", type=int, help=argparse.SUPPRESS)
options.add_argument("--to", metavar="PORT", type=int, help=argparse.SUPPRESS)
options = options.parse_args()
CLIENT, DESTINATION = "10.77.0.2", "198.18.0.2"
# Ports of the client: of the connection that stays unanswered, and of the other.
UNANSWERED, ANSWERED, DISCARD = 40_000, 40_001, 9
client_link = "bridge" if options.bridge else "to-client"


def flood(seconds):
    """Sends for a while, one packet at least; prints how many packets were sent and the CPU time that took."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("", options.source))
    sender.connect((CLIENT if options.source == DISCARD else DESTINATION, options.to))
    send, payload, sent = sender.send, bytes(options.payload), 0
    if seconds == 0:
        send(payload)
    before, start = time.process_time(), time.monotonic()
    while time.monotonic() - start < seconds:
        for _ in range(256):
            send(payload)
        sent += 256
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - start, "cpu": time.process_time() - before}))


if options.flood is not None:
    flood(options.flood)
    sys.exit()

place = tempfile.mkdtemp(prefix="sluice-packets-")
def run(*words, namespace=None, **more):
    words = (["ip", "netns", "exec", namespace] if namespace else []) + list(words)
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout


class Path:
    """A client, a router with a ruleset, and a host to reach."""

    def __init__(self, variant):
        self.variant = variant
        self.names = self.client, self.router, self.internet = [f"sluice-{os.getpid()}-{variant}-{part}" for part in "cri"]
        self.iperf = None

    def make(self):
        for name in self.names:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        for name, own, router, link in ((self.client, "10.77.0.2", "10.77.0.1", "to-client"),
                                        (self.internet, "198.18.0.2", "198.18.0.1", "to-internet")):
            run("ip", "link", "add", "up0", "netns", name, "type", "veth", "peer", "name", link, "netns", self.router)
            run("ip", "-n", name, "addr", "add", own + "/24", "dev", "up0")
            holder = link
            if options.bridge and link == "to-client":
                holder = "bridge"
                run("ip", "-n", self.router, "link", "add", holder, "up", "type", "bridge")
                run("ip", "-n", self.router, "link", "set", link, "master", holder)
            run("ip", "-n", self.router, "addr", "add", router + "/24", "dev", holder)
            run("ip", "-n", name, "link", "set", "up0", "up")
            run("ip", "-n", self.router, "link", "set", link, "up")
            run("ip", "-n", name, "route", "add", "default", "via", router)
        run("sysctl", "-qw", "net.ipv4.ip_forward=1", namespace=self.router)
        # Nothing takes the packets at these ports; that must not be answered either.
        for name, taken in (self.internet, "9"), (self.client, f"{UNANSWERED}-{ANSWERED}"):
            nft(name, f"table ip sink {{ chain input {{ type filter hook prerouting priority raw; udp dport {taken} drop; }}; }}")
        if self.variant == "conntrack":
            nft(self.router, "table inet plain { chain forward { type filter hook forward priority filter; ct state invalid drop; }; }")
        elif self.variant != "none":
            executable = options.former if self.variant == "former" else options.executable
            run(executable, "firewall", "install", "--config", configuration(self.variant), namespace=self.router)
            for element in ("udp . 9", "tcp . 5201"):
                nft(self.router, f"add element inet sluice s0-4 {{ {DESTINATION} . {element} timeout 1h }}")
        if has_tcp:
            self.iperf = subprocess.Popen(["ip", "netns", "exec", self.internet, "iperf3", "-s"],
                                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def remove(self):
        if self.iperf:
            self.iperf.terminate()
            self.iperf.wait(10)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def received(self, name):
        return json.loads(run("ip", "-n", name, "-j", "-s", "link", "show", "up0"))[0]["stats64"]["rx"]["packets"]

    def send(self, kind, seconds):
        name = self.internet if kind == "back" else self.client
        port = UNANSWERED if kind == "unanswered" else ANSWERED
        source, to = (DISCARD, port) if kind == "back" else (port, DISCARD)
        words = ["ip", "netns", "exec", name, sys.executable, os.path.abspath(__file__), options.executable,
                 "--flood", str(seconds), "--payload", str(options.payload), "--from", str(source), "--to", str(to)]
        if counts_instructions:
            words = ["perf", "stat", "-x", ",", "-e", "instructions:k", "-o", f"{place}/perf", "--"] + words
        return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    def answer(self):
        """One packet there and one back: the connection is answered from now on, as long as it is used."""
        for kind in "out", "back":
            self.send(kind, 0)

    def udp(self):
        result = {}
        for kind in "unanswered", "out", "back":
            receiver = self.client if kind == "back" else self.internet
            before = self.received(receiver)
            sent = self.send(kind, options.seconds)
            arrived = self.received(receiver) - before
            if arrived < sent["sent"] * 0.9:
                sys.exit(f"{self.variant}, {kind}: of {sent['sent']} packets only {arrived} arrived")
            result[f"{kind}, UDP packets/s"] = arrived / sent["seconds"]
            result[f"{kind}, CPU ns/packet"] = sent["cpu"] * 1e9 / sent["sent"]
            if counts_instructions:
                count = float(re.search(r"^(\d+),", open(f"{place}/perf").read(), re.M)[1])
                result[f"{kind}, instructions/packet"] = count / sent["sent"]
        return result

    def tcp(self):
        output = run("iperf3", "-J", "-c", DESTINATION, "-t", "1", namespace=self.client)
        return {"TCP Gbit/s": json.loads(output)["end"]["sum_received"]["bits_per_second"] / 1e9}


def nft(namespace, text):
    run("nft", "-f", "-", namespace=namespace, input=text)


def configuration(variant):
    is_former = variant == "former"
    count, has_links = 1 if is_former else int(variant.removesuffix("-links")), variant.endswith("-links")
    folder = os.path.join(place, variant)
    os.mkdir(folder)
    with open(os.path.join(folder, "policies.yaml"), "w") as file:
        # The client is the last server: nothing here is found sooner for being first.
        for index in reversed(range(count)):
            link = f"interface: {client_link if index == 0 else f'br-{index}'}\n" if has_links else ""
            file.write(f"---\nserver: s{index}\n{link}networks: [ 10.{77 + index // 256}.{index % 256}.0/24 ]\n"
                       f"egress: [ api{index}.example.com, www{index}.example.com ]\n")
    path = os.path.join(folder, "sluice.yaml")
    with open(path, "w") as file:
        file.write('listen: [ "10.77.0.1:53" ]\nupstreams: [ "udp://198.18.0.2" ]\npolicies: policies.yaml\n'
                   f"audit: {{ path: {folder}/audit.jsonl }}\n" + ("" if is_former else f"state: {folder}/state\n"))
    return path


def has_instructions():
    if not shutil.which("perf"):
        return False
    output = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions:k", "true"], capture_output=True, text=True).stderr
    return bool(re.search(r"^\d+,", output, re.M))


many, links = str(options.servers), f"{options.servers}-links"
counts_instructions = has_instructions()
has_tcp = bool(shutil.which("iperf3"))
load = os.getloadavg()[0]
paths = [Path(variant) for variant in ["none", "conntrack", "1", many, links] + (["former"] if options.former else [])]
try:
    for path in paths:
        path.make()
    results = {path.variant: {} for path in paths}
    for path in paths:
        path.answer()
        path.udp()
    for round in range(options.rounds):
        for path in paths[round % len(paths):] + paths[:round % len(paths)]:
            measured = path.udp()
            if has_tcp and round % 2 == 0:
                measured |= path.tcp()
            for key, value in measured.items():
                results[path.variant].setdefault(key, []).append(value)
    print(f"load {load:.2f} before and {os.getloadavg()[0]:.2f} after, {os.cpu_count()} CPUs; medians of {options.rounds} rounds, ratios of the same round\n")
    count = f"{options.servers:,}"
    print(f"| | no table | conntrack | 1 server | {count} servers | {count} with links | 1 : none | 1 : conntrack | {count} : 1 | with links : 1 |")
    print("|---" * 10 + "|")
    for key in results["none"]:
        ratio = lambda over, under: statistics.median(a / b for a, b in zip(results[over][key], results[under][key]))
        print(f"| {key} | " + " | ".join(f"{statistics.median(results[path.variant][key]):,.2f}" for path in paths)
              + f" | {ratio('1', 'none'):.3f} | {ratio('1', 'conntrack'):.3f} | {ratio(many, '1'):.3f} | {ratio(links, '1'):.3f} |")
    if options.former:
        print()
        for key in results["1"]:
            ratios = sorted(a / b for a, b in zip(results["1"][key], results["former"][key]))
            print(f"{key}: {statistics.median(results['former'][key]):,.2f} with the earlier build's rules of 1 server; "
                  f"these : those {statistics.median(ratios):.3f}, quartiles {ratios[len(ratios) // 4]:.3f} and {ratios[len(ratios) * 3 // 4]:.3f}")
finally:
    for path in paths:
        path.remove()
    shutil.rmtree(place, ignore_errors=True)
