#!/usr/bin/env python3
"""The cold path: every name asked once, so that each answer needs the upstream and a commit to the kernel.

  sudo unshare -n Tests/Benchmarks/cold.py .build/release/sluice [--names 20000] [--rounds 3] [--verify sni]

In a network namespace of its own (loopback only): nsd with one address for each name, Sluice with a managed firewall in
front of it, dnsperf as the client. Each round asks nsd directly, then a fresh Sluice, and prints answers per second, mean
latency, and CPU per answer of serve and of its bridge. Last, one question at a time: the latency that Sluice adds.
With `--verify sni`, the default as in a policy, the gate's receipt is a part of each commit; `address` is without a gate.
Needs nsd, dnsperf, nftables and root. Bounded: each dnsperf run ends after one pass or 30 seconds."""
import argparse, os, random, re, shutil, signal, socket, statistics, struct, subprocess, sys, tempfile, time

options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("executable")
options.add_argument("--names", type=int, default=20_000)
options.add_argument("--rounds", type=int, default=3)
options.add_argument("--outstanding", type=int, default=100)
options.add_argument("--verify", choices=["sni", "address"], default="sni")
options = options.parse_args()

UPSTREAM, PORT = 5300, 5353
# The client of Sluice has an address of its own: what its network may reach on the host is fenced, serve's queries are not.
SOURCE = {UPSTREAM: "127.0.0.1", PORT: "127.0.0.5"}
place = tempfile.mkdtemp(prefix="sluice-cold-")


def write(name, text):
    path = os.path.join(place, name)
    with open(path, "w") as file:
        file.write(text)
    return path


def query(name, number):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def ask(port, name, number=1, wait=2.0):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        client.bind((SOURCE[port], 0))
        client.connect(("127.0.0.1", port))
        start = time.perf_counter()
        client.send(query(name, number))
        reply = client.recv(4096)
        return (time.perf_counter() - start) * 1e6, reply[3] & 15, reply[7]


def wait_for(port, name):
    deadline = time.time() + 20
    while time.time() < deadline:
        try:
            return ask(port, name, wait=0.2)
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nothing answers on port {port}; see {place}")


def cpu(process):
    """Nanoseconds on a CPU: of serve, and of the processes below it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parent = int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry))
            except OSError:
                pass
    def own(pid):
        return sum(int(open(f"/proc/{pid}/task/{task}/schedstat").read().split()[0]) for task in os.listdir(f"/proc/{pid}/task"))
    below, pending = 0, list(children.get(process, []))
    while pending:
        pid = pending.pop()
        below += own(pid)
        pending += children.get(pid, [])
    return own(process), below


def dnsperf(port, file):
    output = subprocess.run(
        ["dnsperf", "-s", "127.0.0.1", "-a", SOURCE[port], "-p", str(port), "-d", file, "-n", "1", "-l", "30", "-c", "8", "-T", "1", "-q",
         str(options.outstanding), "-t", "5"], capture_output=True, text=True, check=True).stdout
    number = lambda key: float(re.search(key + r":\s+([\d.]+)", output)[1])
    codes = re.search(r"Response codes:\s+(.*)", output)[1]
    return number(r"Queries completed"), number("Queries per second"), number(r"Average Latency \(s\)") * 1e6, codes


def sluice():
    shutil.rmtree(os.path.join(place, "log"), ignore_errors=True)
    os.mkdir(os.path.join(place, "log"))
    subprocess.run(["nft", "delete", "table", "inet", "sluice"], stderr=subprocess.DEVNULL)
    process = subprocess.Popen([options.executable, "serve", "--config", os.path.join(place, "sluice.yaml")],
                               stderr=open(os.path.join(place, "serve.log"), "w"))
    wait_for(PORT, "probe.cold.net")
    return process


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait(20)


names = [f"n{number}.cold.net" for number in range(options.names)]
single = [f"s{number}.cold.net" for number in range(2000)]
random.seed(1)
random.shuffle(names)
write("names.txt", "".join(f"{name} A\n" for name in names))
zone = "$ORIGIN cold.net.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 45.10.0.1\nprobe A 45.10.0.2\n"
for number, name in enumerate(names + single):
    zone += f"{name.split('.')[0]} A 45.{11 + (number >> 16)}.{number >> 8 & 255}.{number & 255}\n"
write("cold.zone", zone)
write("nsd.conf", f"""server:
  ip-address: 127.0.0.1@{UPSTREAM}
  zonesdir: "{place}"
  pidfile: ""
  xfrdfile: "{place}/xfrd"
  username: ""
  chroot: ""
  database: ""
  server-count: 1
remote-control:
  control-enable: no
zone:
  name: cold.net
  zonefile: cold.zone
""")
write("policy.yaml", 'server: bench\nnetworks: [ 127.0.0.5/32 ]\negress: [ "*.cold.net" ]\n')
write("sluice.yaml", f"""listen: [ "127.0.0.1:{PORT}" ]
upstreams: [ "udp://127.0.0.1:{UPSTREAM}" ]
policies: policy.yaml
user: root
verify: {options.verify}
audit: {{ path: log/audit.jsonl }}
state: state
control: control.sock
cache: {{ max-entries-per-server: 100000 }}
""")
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
nsd = subprocess.Popen(["nsd", "-d", "-c", f"{place}/nsd.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    wait_for(UPSTREAM, "probe.cold.net")
    results = []
    for round in range(options.rounds):
        direct = dnsperf(UPSTREAM, f"{place}/names.txt")
        process = sluice()
        before = cpu(process.pid)
        through = dnsperf(PORT, f"{place}/names.txt")
        after = cpu(process.pid)
        held = subprocess.run(["nft", "list", "set", "inet", "sluice", "bench-4"], capture_output=True, text=True).stdout.count("expires")
        latency = {}
        for port, part in ((UPSTREAM, single), (PORT, single)):
            latency[port] = sorted(ask(port, name)[0] for name in part)
        stop(process)
        serve, bridge = (after[0] - before[0]) / through[0] / 1000, (after[1] - before[1]) / through[0] / 1000
        p50 = {port: values[len(values) // 2] for port, values in latency.items()}
        p99 = {port: values[len(values) * 99 // 100] for port, values in latency.items()}
        results.append((direct[1], through[1], serve, bridge, p50[PORT] - p50[UPSTREAM], p99[PORT] - p99[UPSTREAM]))
        print(f"round {round}: upstream alone {direct[1]:,.0f}/s; Sluice {through[1]:,.0f}/s, {through[3]}, elements in the kernel {held:,}; "
              f"CPU µs/answer serve {serve:.1f}, bridge {bridge:.1f}; one at a time: upstream p50 {p50[UPSTREAM]:.0f} µs p99 {p99[UPSTREAM]:.0f}, "
              f"Sluice p50 {p50[PORT]:.0f} p99 {p99[PORT]:.0f}", flush=True)
    median = [statistics.median(result[index] for result in results) for index in range(6)]
    print("\n| cold names/s | CPU µs/answer serve | bridge | added latency p50 µs | p99 µs |\n|---|---|---|---|---|")
    print(f"| {median[1]:,.0f} | {median[2]:.1f} | {median[3]:.1f} | {median[4]:.0f} | {median[5]:.0f} |")
finally:
    nsd.terminate()
    nsd.wait(10)
    shutil.rmtree(place, ignore_errors=True)
