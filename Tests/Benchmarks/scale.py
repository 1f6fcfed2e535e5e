#!/usr/bin/env python3
"""Sluice at size: many servers, a million names, a reload under load, a flood beside a quiet client, start and rest.

  Tests/Benchmarks/scale.py .build/release/sluice [--rounds 5] [--seconds 2] [--only servers,names,reload,flood,rest] [--out FOLDER]

Without a firewall, one worker on one CPU, the load generator on the other. `servers`: CPU for each cached and each denied
answer with 1 to 10,000 servers of 100 names each, and the floor (a C program that echoes) asked from as many addresses;
every client address asks for 11 of its names, or for 11 that are not on its list, for as long as the audit log's windows
are. `names`: the same with 1,000,000 names on one server, of which 100,000 are asked for; time from start to first answer,
memory for each name.
`reload`: SIGHUP with a policy of 1,000,000 names while 5,000 queries a second are answered. `flood`: one client sends
other names at full speed, another asks 500 times a second for what is cached; what the log grew by. `rest`: how often a
thread runs in ten seconds without traffic, and start to first answer with 1,000 names. Needs root, gcc and nsd."""
import argparse, json, os, shutil, signal, statistics, subprocess, sys, time

import harness

PARTS = ["servers", "names", "reload", "flood", "rest"]
MILLION = 1_000_000
ASKED, ZONE = 100_000, "allowed.net"


class Sluice(harness.Server):
    """Sluice with the policy text given, asked from `source` for the first name."""

    FIREWALL = 'mode: "off"'

    def __init__(self, place, executable, policy, first, source="127.0.0.1", cpu=harness.SERVER_CPU, patience=60):
        self.policy = place.write("policy.yaml", policy)
        self.log = place.file("log")
        shutil.rmtree(self.log, ignore_errors=True)
        os.mkdir(self.log)
        path = place.write("sluice.yaml", f"""listen: [ "127.0.0.1:{harness.PORT}" ]
upstreams: [ "udp://127.0.0.1:{harness.UPSTREAM}" ]
policies: policy.yaml
firewall: {{ {self.FIREWALL} }}
audit: {{ path: log/audit.jsonl }}
control: control.sock
state: state
cache: {{ max-entries-per-server: 200000 }}
workers: 1
user: root
""")
        super().__init__(place, "sluice", [executable, "serve", "--config", path], first, source, cpu, patience)

    def logged(self):
        return sum(os.path.getsize(os.path.join(self.log, name)) for name in os.listdir(self.log))


def policy(servers, names):
    """A document for each server; server i has the network 10.i.i.0/24."""
    listed = "".join(f"  - {name}\n" for name in names)
    return "".join(
        f"---\nserver: s{number}\nnetworks: [ 10.{number >> 8}.{number & 255}.0/24 ]\negress:\n{listed}" for number in range(servers))


def questions(place, name, names):
    return place.write(name, "".join(f"{each} A\n" for each in names))


def costs(place, server, seconds, cached, denied, clients):
    """CPU for each cached and each denied answer."""
    result = {}
    for load, questions in (("cached", cached), ("denied", denied)):
        # The events of the first denials, and those that end a window of 10 s, are part of what a denial costs.
        length = seconds if load == "cached" else max(seconds, 10)
        report = harness.measure(place, server, "-f", questions, *clients, "-w", 400, "-l", length)
        right = report["with_address"] == (report["answered"] if load == "cached" else 0)
        if not right or report["answered"] == 0:
            sys.exit(f"{load}: {report}")
        result[load] = report["us"]
    return result


def servers(place, options):
    rows, counts = {}, [1, 100, 1_000, 10_000]
    names = [f"h{number:05d}.{ZONE}" for number in range(100)]
    cached = questions(place, "asked.txt", names[:11])
    denied = questions(place, "denied.txt", [name.replace(ZONE, "denied.net") for name in names[:11]])
    for _ in range(options.rounds):
        for count in counts:
            floor = harness.Server(place, "floor", [place.file("echo"), str(harness.PORT)], names[0])
            clients = ["-a", "10.0.0.1", "-N", count, "-S", 256]
            floored = harness.measure(place, floor, "-f", cached, *clients, "-w", 400, "-l", options.seconds)
            floor.stop()
            server = Sluice(place, options.sluice, policy(count, names), names[0], "10.0.0.1")
            harness.load(place, "-f", cached, *clients, "-n", 11 * count, "-l", 60)
            cost = costs(place, server, options.seconds, cached, denied, clients)
            rows.setdefault(count, []).append({**cost, "floor": floored["us"], "memory": server.memory(), "start": server.start_ms})
            server.stop()
    lines = ["| servers × 100 names | floor µs | cached µs | to the floor | denied µs | to the floor | MiB | start ms |", "|--:|--:|--:|--:|--:|--:|--:|--:|"]
    middle = lambda count, key: statistics.median(row[key] for row in rows[count])
    for count in counts:
        line = f"| {count:,} | {middle(count, 'floor'):.2f} |"
        for key in ("cached", "denied"):
            line += f" {middle(count, key):.2f} | {middle(count, key) / middle(count, 'floor'):.2f} |"
        lines.append(line + f" {middle(count, 'memory'):,.0f} | {middle(count, 'start'):,.0f} |")
    return lines


def million_names():
    return [f"h{number:05d}.{ZONE}" for number in range(ASKED)] + [f"more-{number:06d}.{ZONE}" for number in range(MILLION - ASKED)]


def names(place, options):
    every = million_names()
    cached = questions(place, "asked.txt", every[:ASKED])
    denied = questions(place, "denied.txt", [name.replace(ZONE, "denied.net") for name in every[:ASKED]])
    rows = {}
    for _ in range(options.rounds):
        for count in (1, ASKED, MILLION):
            server = Sluice(place, options.sluice, policy(1, every[:count]), every[0], "10.0.0.1")
            row = {"start": server.start_ms, "memory": server.memory()}
            if count > 1:
                clients = ["-a", "10.0.0.1"]
                harness.load(place, "-f", cached, *clients, "-n", ASKED, "-l", 60)
                row.update(costs(place, server, options.seconds, cached, denied, clients))
            rows.setdefault(count, []).append(row)
            server.stop()
    middle = lambda count, key: statistics.median(row[key] for row in rows[count])
    lines = ["| names on one server | cached µs (100,000 of them asked) | denied µs | start ms | octets a name |", "|--:|--:|--:|--:|--:|"]
    for count in (ASKED, MILLION):
        octets = (middle(count, "memory") - middle(1, "memory")) * (1 << 20) / count
        lines.append(f"| {count:,} | {middle(count, 'cached'):.2f} | {middle(count, 'denied'):.2f} | {middle(count, 'start'):,.0f} | {octets:.0f} |")
    return lines


def reload(place, options):
    every = million_names()
    cached = questions(place, "asked.txt", every[:1000])
    lines = ["| reload of 1,000,000 names | answered | lost | p50 µs | p99 µs | p99.9 µs | max µs |", "|--|--:|--:|--:|--:|--:|--:|"]
    server = Sluice(place, options.sluice, policy(1, every), every[0], "10.0.0.1", cpu=None)
    load = ["-f", cached, "-a", "10.0.0.1", "-R", 5000, "-c", 4]
    harness.load(place, *load, "-l", 1, cpu=None)
    for label, signals in (("without", 0), ("with", 1)):
        running = harness.load_later(place, *load, "-l", 6, cpu=None)
        if signals:
            time.sleep(1)
            # Another name, so that it is another policy.
            place.write("policy.yaml", policy(1, every[:-1] + [f"last.{ZONE}"]))
            server.process.send_signal(signal.SIGHUP)
        report = harness.result(running)
        lines.append(f"| {label} | {report['answered']:,} | {report['lost']} | {report['p50']:,.0f} | {report['p99']:,.0f} | {report['p999']:,.0f} | {report['max']:,.0f} |")
    reply = harness.ask(f"last.{ZONE}", source="10.0.0.1")
    lines.append("")
    lines.append("The new policy is in force." if reply and reply[0] != 3 or "last" not in str(reply) else "")
    server.stop()
    return lines


def flood(place, options):
    names = [f"h{number:05d}.{ZONE}" for number in range(100)]
    cached = questions(place, "asked.txt", names)
    server = Sluice(place, options.sluice, policy(2, names), names[0], "10.0.0.1")
    quiet = ["-f", cached, "-a", "10.0.1.1", "-R", 500, "-c", 1]
    harness.load(place, *quiet, "-l", 1)
    lines = ["| quiet client, 500 queries a second | answered | lost | p50 µs | p99 µs | p99.9 µs |", "|--|--:|--:|--:|--:|--:|"]
    results = {}
    for label in ["alone", "beside a flood"] * max(1, options.rounds // 2):
        before, flooding = server.logged(), None
        if label != "alone":
            flooding = harness.load_later(place, "-r", "flood.net", "-a", "10.0.0.1", "-w", 1000, "-c", 8, "-l", 8)
            time.sleep(1)
        # Ahead of the flood's sender, which has the same CPU: the server is to be measured and not that.
        command = ["chrt", "-f", "50", "taskset", "-c", harness.CLIENT_CPU, place.file("dnsload"), "-p", str(harness.PORT)]
        output = subprocess.run(command + [str(word) for word in quiet] + ["-l", "5"], stdout=subprocess.PIPE, text=True, check=True).stdout
        report = json.loads(output)
        if flooding:
            report["flood"] = harness.result(flooding)
            report["logged"] = server.logged() - before
        results.setdefault(label, []).append(report)
    for label, reports in results.items():
        middle = lambda key: statistics.median(report[key] for report in reports)
        lines.append(f"| {label} | {middle('answered'):,.0f} | {middle('lost'):.0f} | {middle('p50'):,.0f} | {middle('p99'):,.0f} | {middle('p999'):,.0f} |")
    floods = results["beside a flood"]
    lines += ["", f"The flood: {statistics.median(report['flood']['answered'] for report in floods):,.0f} denials in 8 s, "
              f"{statistics.median(report['logged'] for report in floods):,.0f} octets of log."]
    server.stop()
    return lines


def rest(place, options):
    names = [f"h{number:05d}.{ZONE}" for number in range(1000)]
    starts, wakeups = [], []
    for _ in range(options.rounds):
        server = Sluice(place, options.sluice, policy(1, names), names[0], "10.0.0.1")
        starts.append(server.start_ms)
        time.sleep(3)
        before = server.wakeups()
        time.sleep(10 if len(wakeups) == 0 else 2)
        wakeups.append((server.wakeups() - before, 10 if len(wakeups) == 0 else 2))
        server.stop()
    return [f"Start to first answer with 1,000 names: {statistics.median(starts):.0f} ms. "
            f"Runs of any thread in {wakeups[0][1]} s without traffic: {wakeups[0][0]}."]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sluice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default=",".join(PARTS), help="of " + ",".join(PARTS))
    parser.add_argument("--out", help="folder for scale.md")
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    harness.enter_namespace()
    place = harness.Place("scale")
    upstream = harness.Upstream(place, ZONE, [f"h{number:05d}" for number in range(ASKED)])
    text = [f"Medians of {options.rounds} rounds; {harness.machine()}.", ""]
    try:
        for part in options.only.split(","):
            lines = {"servers": servers, "names": names, "reload": reload, "flood": flood, "rest": rest}[part](place, options)
            text += lines + [""]
            print("\n".join(lines) + "\n", flush=True)
    finally:
        upstream.stop()
        place.remove()
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        with open(os.path.join(options.out, "scale.md"), "w") as file:
            file.write("\n".join(text))


if __name__ == "__main__":
    main()
