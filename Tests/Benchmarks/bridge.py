#!/usr/bin/env python3
"""Four ways to put a grant into the kernel, beside one another: the same table, filled with the same grants.

  swift build -c release --product sluice && swift build -c release --product BridgeBenchmark
  sudo Tests/Benchmarks/bridge.py .build/release/sluice .build/release/BridgeBenchmark [--rounds 3] [--only a,b,c,d]

  a  Sluice's bridge: BridgeBenchmark stands where `serve` stands, and an outcome has crossed both processes
  b  a process for each change: `nft -f -` with one transaction
  c  one long-lived `nft -i`: a transaction is done when what was asked after it is answered
  d  dnsmasq's in-process nftset, between a client and nsd: DNS to and fro and the question upstream are included

Each in a fresh network namespace. First the seconds to commit 1,000 servers x 50 names x 2 addresses = 100,000 grants to
the empty sets of 1,000 servers (a: with as many outstanding as the queue takes; b, c: a transaction for each name; d: a
question for each; of these a sample is timed while the table fills, and the rest is extrapolated). Then, with 100,000
elements in the table, the p50 and p99 of one more. Needs root and nftables; d needs nsd and a dnsmasq with nftset."""
import argparse, json, os, shutil, socket, statistics, struct, subprocess, sys, tempfile, time

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("executable")
options.add_argument("benchmark")
options.add_argument("--rounds", type=int, default=3)
options.add_argument("--only", default="a,b,c,d")
options.add_argument("--servers", type=int, default=1_000)
options.add_argument("--names", type=int, default=50)
options.add_argument("--spawns", type=int, default=200)
options.add_argument("--transactions", type=int, default=200)
options.add_argument("--inside", help=argparse.SUPPRESS)
options = options.parse_args()
NAMES, TABLE = options.servers * options.names, "inet sluice"
place = tempfile.mkdtemp(prefix="sluice-bridge-")


def write(name, text):
    with open(os.path.join(place, name), "w") as file:
        file.write(text)
    return file.name


def address(number):
    return f"45.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def key(number):
    return f"{address(number)} . tcp . 443"


def grant(name):
    """One name's two addresses, as nft text."""
    return (f"add element {TABLE} server-{name // options.names}-4 {{ {key(2 * name)} timeout 1h, "
            f"{key(2 * name + 1)} timeout 1h }}\n")


def another(number):
    return f"add element {TABLE} server-{number * 7 % options.servers}-4 {{ {key((64 << 16) + number)} timeout 1h }}\n"


def make_table(dnsmasq=False):
    """The sets of each server as Sluice declares them; dnsmasq can fill sets of plain addresses only."""
    kind = "ipv4_addr" if dnsmasq else "ipv4_addr . inet_proto . inet_service"
    text = f"add table {TABLE}\n" + "".join(
        f"add set {TABLE} server-{index}-4 {{ type {kind}; flags timeout; size 65536; counter; }}\n"
        for index in range(options.servers))
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def fill(bulk, single, sample):
    """Fills the table, most of it in large transactions; returns the times of the `sample` that went name by name."""
    chunk, times = NAMES // 100, []
    for start in range(0, NAMES, chunk):
        first = start + chunk - sample // 100
        bulk("".join(map(grant, range(start, first))))
        times += timed(single, range(first, start + chunk))
    return times


def spawn(text):
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def count():
    """Elements in the table, asked of one set in fifty."""
    total = 0
    sets = range(0, options.servers, 50)
    for index in sets:
        text = subprocess.run(["nft", "-j", "list", "set", *TABLE.split(), f"server-{index}-4"], check=True, capture_output=True,
                              text=True).stdout
        total += sum(len(item["set"].get("elem", [])) for item in json.loads(text)["nftables"] if "set" in item)
    return total * options.servers // len(sets)


def latencies(times):
    times = sorted(time * 1e6 for time in times)
    return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100], "max": times[-1]}


def timed(work, numbers):
    times = []
    for number in numbers:
        start = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - start)
    return times


def with_bridge():
    words = [options.benchmark, options.executable, options.servers, options.names * 2, 50, 2_000]
    return json.loads(subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True).stdout)


def with_processes():
    make_table()
    times = fill(spawn, lambda name: spawn(grant(name)), options.spawns)
    result = latencies(timed(lambda number: spawn(another(number)), range(options.spawns)))
    return result | {"seconds": sum(times) / len(times) * NAMES, "elements": count(), "extrapolated": True}


def with_interpreter():
    make_table()
    nft = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           text=True, bufsize=1)

    def tell(text):
        # A line is a transaction. What no parser takes needs no kernel:
        # nft complains of it as soon as the transaction before it is done.
        nft.stdin.write(text + "sluice-mark 1\n")
        nft.stdin.flush()
        while line := nft.stdout.readline():
            if line.startswith("sluice-mark"):
                break
        else:
            sys.exit("nft -i ended")
        nft.stdout.readline()

    times = fill(lambda text: tell(text[:-1].replace("\n", "; ") + "\n"), lambda name: tell(grant(name)), options.transactions)
    result = latencies(timed(lambda number: tell(another(number)), range(options.transactions)))
    nft.terminate()
    nft.wait(10)
    return result | {"seconds": sum(times) / len(times) * NAMES, "elements": count(), "extrapolated": True}


def query(name, number):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def ask(client, name, answers):
    client.send(query(name, 1))
    reply = client.recv(4096)
    if reply[3] & 15 or reply[7] != answers:
        sys.exit(f"{name}: code {reply[3] & 15}, {reply[7]} answers")


def with_dnsmasq():
    make_table(dnsmasq=True)
    zone = "$ORIGIN bench.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 45.10.0.1\n"
    for name in range(NAMES):
        for number in (2 * name, 2 * name + 1):
            zone += f"n{name}.s{name // options.names} A {address(number)}\n"
    for number in range(2_000):
        zone += f"x{number}.s{number * 7 % options.servers} A {address((64 << 16) + number)}\n"
    write("bench.zone", zone)
    nsd_text = (f'server:\n  ip-address: 127.0.0.1@5300\n  zonesdir: "{place}"\n  pidfile: ""\n  xfrdfile: "{place}/xfrd"\n'
                '  username: ""\n  chroot: ""\n  database: ""\n  server-count: 1\nremote-control:\n  control-enable: no\n'
                "zone:\n  name: bench\n  zonefile: bench.zone\n")
    write("dnsmasq.conf", "port=5353\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\npid-file\n"
          "server=127.0.0.1#5300\ncache-size=0\ndns-forward-max=1000\n" + "".join(
              f"nftset=/s{index}.bench/4#inet#sluice#server-{index}-4\n" for index in range(options.servers)))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    nsd = subprocess.Popen(["nsd", "-d", "-c", write("nsd.conf", nsd_text)], **quiet)
    dnsmasq = subprocess.Popen(["dnsmasq", "-k", "-C", f"{place}/dnsmasq.conf"], **quiet)
    try:
        deadline = time.time() + 30
        clients = {}
        for port in (5300, 5353):
            clients[port] = client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.connect(("127.0.0.1", port))
            client.settimeout(0.2)
            while time.time() < deadline:
                try:
                    ask(client, "ns.bench", 1)
                    break
                except OSError:
                    time.sleep(0.1)
            client.settimeout(5)
        client = clients[5353]
        bulk = lambda text: spawn(text.replace(" . tcp . 443", ""))
        times = fill(bulk, lambda name: ask(client, f"n{name}.s{name // options.names}.bench", 2), options.transactions)
        name = lambda number: f"x{number}.s{number * 7 % options.servers}.bench"
        # nsd alone is asked in the same breath, so that what the DNS costs can be seen.
        direct = latencies(timed(lambda number: ask(clients[5300], name(number), 1), range(options.transactions)))
        result = latencies(timed(lambda number: ask(client, name(number), 1), range(options.transactions)))
        return result | {"seconds": sum(times) / len(times) * NAMES, "elements": count(), "extrapolated": True,
                         "nsd alone p50": direct["p50"]}
    finally:
        for process in (dnsmasq, nsd):
            process.terminate()
            process.wait(10)


WAYS = {"a": ("Sluice's bridge", with_bridge), "b": ("nft -f - for each", with_processes),
        "c": ("one nft -i", with_interpreter), "d": ("dnsmasq's nftset, DNS included", with_dnsmasq)}
try:
    if options.inside:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        print(json.dumps(WAYS[options.inside][1]()))
        sys.exit()
    load = os.getloadavg()[0]
    results = {way: [] for way in options.only.split(",")}
    for round in range(options.rounds):
        for way in results:
            output = subprocess.run(["unshare", "-n", sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--inside", way],
                                    check=True, stdout=subprocess.PIPE, text=True).stdout
            results[way].append(json.loads(output))
            print(f"round {round}, {WAYS[way][0]}: {output.strip()}", flush=True)
    print(f"\nload {load:.2f} before and {os.getloadavg()[0]:.2f} after, {os.cpu_count()} CPUs; medians of {options.rounds} rounds\n")
    print(f"| | one more, p50 µs | p99 µs | {NAMES * 2:,} grants, s |\n|---|---|---|---|")
    for way, measured in results.items():
        middle = lambda what: statistics.median(result[what] for result in measured)
        print(f"| {WAYS[way][0]} | {middle('p50'):,.1f} | {middle('p99'):,.1f} | {middle('seconds'):,.2f}"
              f"{' (extrapolated)' if 'extrapolated' in measured[0] else ''} |")
finally:
    shutil.rmtree(place, ignore_errors=True)
