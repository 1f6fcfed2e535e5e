#!/usr/bin/env python3
"""What a bound of the connections of each server would cost (`ct count`), by how many there are already.

  sudo Tests/Benchmarks/connections.py [--rounds 3]

For each variant three network namespaces (client, router, internet) joined by veth; the router forwards and has one rule for
new connections: to accept them, or to count them by the client's network and drop what is over the bound. A round makes
connections until there are 30,000 (a datagram each, of its own pair of ports) and takes the CPU time of the sender, which
includes what the kernel charges to it: the way through the router. Prints medians in ns. Needs root, nftables and iproute2."""
import argparse, os, statistics, subprocess, sys

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--rounds", type=int, default=3)
options = options.parse_args()
BOUNDS = [None, 1_024, 8_192, 32_768]
STEPS = [900, 3_000, 8_000, 16_000, 30_000]
SENDER = """
import socket, sys, time
first, last = int(sys.argv[1]), int(sys.argv[2])
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.bind(("", 20000))
before = time.process_time()
for port in range(first, last): sender.sendto(b"x" * 18, ("198.18.0.2", 1 + port))
print((time.process_time() - before) / (last - first) * 1e9)
"""


def run(*words, namespace=None, **more):
    words = (["ip", "netns", "exec", namespace] if namespace else []) + list(words)
    return subprocess.run(words, check=True, capture_output=True, text=True, **more).stdout


def make(names, bound):
    client, router, internet = names
    for name in names:
        run("ip", "netns", "add", name)
    for name, own, gateway, link in ((client, "10.77.0.2", "10.77.0.1", "to-client"), (internet, "198.18.0.2", "198.18.0.1", "to-internet")):
        run("ip", "link", "add", "up0", "netns", name, "type", "veth", "peer", "name", link, "netns", router)
        run("ip", "-n", router, "addr", "add", gateway + "/24", "dev", link)
        run("ip", "-n", name, "addr", "add", own + "/24", "dev", "up0")
        run("ip", "-n", name, "link", "set", "up0", "up")
        run("ip", "-n", router, "link", "set", link, "up")
        run("ip", "-n", name, "route", "add", "default", "via", gateway)
    run("sysctl", "-qw", "net.ipv4.ip_forward=1", namespace=router)
    run("nft", "-f", "-", namespace=internet, input="table ip sink { chain input { type filter hook prerouting priority raw; meta l4proto udp drop; }; }")
    rule = "accept" if bound is None else f"add @counted {{ ip saddr & 255.255.255.0 ct count over {bound} }} drop"
    run("nft", "-f", "-", namespace=router, input="table inet plain { set counted { type ipv4_addr; size 65535; flags dynamic; }; "
        f"chain forward {{ type filter hook forward priority filter; ct state new {rule}; }}; }}")


costs = {bound: [[] for _ in STEPS] for bound in BOUNDS}
for _ in range(options.rounds):
    paths = {bound: [f"sluice-{os.getpid()}-{index}-{part}" for part in "cri"] for index, bound in enumerate(BOUNDS)}
    try:
        for bound, names in paths.items():
            make(names, bound)
        for index, (first, last) in enumerate(zip([0] + STEPS, STEPS)):
            for bound, names in paths.items():
                costs[bound][index].append(float(run(sys.executable, "-c", SENDER, str(first), str(last), namespace=names[0])))
    finally:
        for names in paths.values():
            for name in names:
                subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
print("| bound | " + " | ".join(f"until {step:,}" for step in STEPS) + " |")
print("|---" * (len(STEPS) + 1) + "|")
for bound in BOUNDS:
    print(f"| {'none' if bound is None else f'{bound:,}'} | " + " | ".join(f"{statistics.median(each):,.0f}" for each in costs[bound]) + " |")
