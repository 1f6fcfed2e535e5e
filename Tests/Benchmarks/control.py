#!/usr/bin/env python3
"""What the control socket costs the clients of the resolver.

  Tests/Benchmarks/control.py .build/release/sluice [--rounds 3] [--out FOLDER]

Answer times at 5,000 cached queries a second, alone and beside control clients that send garbage, hold 1,000 connections
with half a request each, or call as fast as they can; and a reload by `sluice reload` that takes out 50,000 of 100,000
names and puts 50,000 others in. Sluice is on one CPU with all its threads, the worst case for its clients; load
generator and control clients are on the other. Needs root, gcc and nsd."""
import argparse, json, os, socket, statistics, subprocess, sys, time

import harness, scale

NAMES, ASKED = 100_000, 1000
CLIENT = "10.0.0.1"
SECONDS = 6

HOSTILE = r"""
import os, random, socket, sys, time
kind, path = sys.argv[1:3]
def connection():
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(1)
    client.connect(path)
    return client
def call(target):
    with connection() as client:
        client.sendall(f"GET {target} HTTP/1.1\r\nhost: sluice\r\nconnection: close\r\n\r\n".encode())
        while client.recv(1 << 20): pass
held, sent = [], 0
while True:
    try:
        if kind == "garbage":
            with connection() as client:
                client.sendall(random.randbytes(random.randrange(1, 65536)))
        elif kind == "half requests":
            held = held[-999:] + [connection()]
            held[-1].sendall(b"POST /v1/permits?server=")
        elif kind == "calls":
            call(random.choice(["/v1/status", "/v1/servers", "/v1/grants", "/metrics"]))
        elif kind == "lists":
            call("/v1/cache")
        sent += 1
    except OSError:
        pass
    if sent % 100 == 0: print(sent, flush=True)
"""


def asking(place, asked):
    # Ahead of the control clients, which have the same CPU: the server is to be measured and not the generator.
    command = ["chrt", "-f", "50", "taskset", "-c", harness.CLIENT_CPU, place.file("dnsload"), "-p", str(harness.PORT)]
    command += ["-f", asked, "-a", CLIENT, "-R", "5000", "-c", "4", "-l", str(SECONDS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def row(label, reports):
    middle = {key: statistics.median(report[key] for report in reports) for key in ("p50", "p99", "p999", "max")}
    lost = sum(report["lost"] for report in reports)
    return f"| {label} | {lost} | {middle['p50']:,.0f} | {middle['p99']:,.0f} | {middle['p999']:,.0f} | {middle['max']:,.0f} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sluice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    harness.enter_namespace()
    place = harness.Place("control")
    labels = [f"h{number:06d}" for number in range(NAMES + NAMES // 2)]
    names = [f"{label}.{scale.ZONE}" for label in labels]
    upstream = harness.Upstream(place, scale.ZONE, labels[:NAMES])
    text = [f"Medians of {options.rounds} rounds of {SECONDS} s; {harness.machine()}.", "",
            "| 5,000 queries a second, beside | lost | p50 µs | p99 µs | p99.9 µs | max µs | what the others did |", "|--|--:|--:|--:|--:|--:|--|"]
    server = None
    try:
        before, after = scale.policy(1, names[:NAMES]), scale.policy(1, names[:NAMES // 2] + names[NAMES:])
        server = scale.Sluice(place, options.sluice, before, names[0], CLIENT)
        socket_path = place.file("control.sock")
        asked = scale.questions(place, "asked.txt", names[:ASKED])
        harness.load(place, "-f", asked, "-a", CLIENT, "-R", 5000, "-c", 4, "-l", 1)
        kinds = ["nothing", "garbage", "half requests", "calls", "lists"]
        reports, done = {kind: [] for kind in kinds}, {kind: [] for kind in kinds}
        reloads, differences = [], []
        for round in range(options.rounds):
            for kind in kinds:
                hostile = None
                if kind != "nothing":
                    hostile = subprocess.Popen(
                        ["taskset", "-c", harness.CLIENT_CPU, sys.executable, "-c", HOSTILE, kind, socket_path], stdout=subprocess.PIPE, text=True)
                    time.sleep(0.5)
                reports[kind].append(harness.result(asking(place, asked)))
                if hostile:
                    hostile.kill()
                    done[kind].append(int((hostile.stdout.read().split() or ["0"])[-1]) / (SECONDS + 0.5))
            place.write("policy.yaml", after if round % 2 == 0 else before)
            running = asking(place, asked)
            time.sleep(1)
            start = time.perf_counter()
            told = subprocess.run([options.sluice, "reload", "--control", socket_path, "--json"], stdout=subprocess.PIPE, check=True)
            took = time.perf_counter() - start
            change = json.loads(told.stdout)["changes"][0]
            added, removed = names[NAMES:], names[NAMES // 2:NAMES]
            if round % 2: added, removed = removed, added
            if change["added"] != added or change["removed"] != removed or change["altered"]:
                raise RuntimeError("the difference is not what was changed")
            differences.append(took)
            reloads.append(harness.result(running))
        for kind in kinds:
            rate = f"{statistics.median(done[kind]):,.0f} a second" if done[kind] else ""
            text.append(row(kind, reports[kind]) + f" {rate} |")
        text.append(row("a reload of 100,000 names", reloads) + f" {statistics.median(differences):.2f} s until it was told |")
    finally:
        if server:
            server.stop()
        upstream.stop()
        place.remove()
    print("\n".join(text))
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        with open(os.path.join(options.out, "control.md"), "w") as file:
            file.write("# The control socket and the resolver's clients\n\n" + "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
