#!/usr/bin/env python3
"""Sluice beside its peers and beside the kernel's own UDP work, in interleaved rounds.

  Tests/Benchmarks/compare.py .build/release/sluice [--rounds 5] [--seconds 2] [--only floor,sluice,unbound] [--former EXECUTABLE]
      [--out FOLDER]

Every candidate is configured as an allowlist of the same 10,000 names in front of the same upstream (candidates.py), must
answer an allowed name with its address and an unlisted one with none, and then runs alone on one CPU while the load
generator has the other. In every round each candidate meets every load once. Prints medians, and with --out writes
comparison.md, comparison.svg and comparison.json. Needs root, gcc, nsd and nftables; a peer that is not installed is
skipped and named (dnsmasq unbound knot-resolver pdns-recursor dnsdist bind9). Sluice records what it denies, the peers
log nothing."""
import argparse, json, os, random, shutil, statistics, sys

import harness, report
from candidates import CANDIDATES

LOADS = ["single", "cold", "cached", "denied", "mixed", "random", "tcp", "steady"]
NAMES, ZONE = 10_000, "allowed.net"
SINGLES = 1_000  # names of these that are asked for one at a time, under the load of that name


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sluice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--only", default="", help="candidates, separated by commas: " + ",".join(CANDIDATES))
    parser.add_argument("--loads", default=",".join(LOADS), help="of " + ",".join(LOADS))
    parser.add_argument("--former", help="an older executable of Sluice, measured beside as former and former-nft")
    parser.add_argument("--out", help="folder for comparison.md, .svg and .json")
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    harness.enter_namespace()
    place = harness.Place("compare")
    labels = [f"h{number:05d}" for number in range(NAMES)]
    names = [f"{label}.{ZONE}" for label in labels]
    write_questions(place, names, options.loads.split(","))
    chosen = [name for name in options.only.split(",") if name] or list(CANDIDATES)
    chosen = available([name for name in chosen if options.former or not name.startswith("former")])
    upstream = harness.Upstream(place, ZONE, labels)
    results = []
    try:
        for turn in range(options.rounds):
            for name in chosen:
                results += run(place, name, names, options, turn)
    finally:
        upstream.stop()
        place.remove()
    text = report.markdown(results, options.rounds)
    print("\n" + text)
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        for file, content in (("md", text), ("svg", report.plot(results)), ("json", json.dumps(results, indent=1) + "\n")):
            with open(os.path.join(options.out, "comparison." + file), "w") as out:
                out.write(content)


def available(chosen):
    found = []
    for name in chosen:
        program, _ = CANDIDATES[name]
        if program is None or shutil.which(program) or os.path.exists(f"/usr/sbin/{program}"):
            found.append(name)
        else:
            print(f"skipped: {name}, because {program} is not installed")
    return found


def write_questions(place, names, loads):
    random.seed(1)
    allowed = names[1:]
    random.shuffle(allowed)
    singles = SINGLES if "single" in loads else 0
    for file, questions in (("single", allowed[:singles]), ("cold", allowed[singles:])):
        place.write(file + ".txt", "".join(f"{name} A\n" for name in questions))
    denied = [name.replace(ZONE, "denied.net") for name in allowed]
    mixed = allowed[:8000] + denied[:2000]
    random.shuffle(mixed)
    for file, questions in (("cached", allowed), ("denied", denied), ("mixed", mixed)):
        place.write(file + ".txt", "".join(f"{name} A\n" for name in questions))


def run(place, name, names, options, turn):
    server, records, done = None, [], []
    try:
        server = harness.Server(place, name, CANDIDATES[name][1](place, names, options), names[0])
        if name != "floor":
            verify(name)
        loads = options.loads.split(",")
        # Every name once; the first was asked for to see that the server is up.
        if "single" in loads and name != "floor":
            records.append(("single", single(place, server)))
        if "cold" in loads and name != "floor":
            left = NAMES - 1 - (SINGLES if "single" in loads else 0)
            records.append(("cold", harness.measure(place, server, "-f", place.file("cold.txt"), "-n", left, "-l", 30)))
        else:
            harness.load(place, "-f", place.file("cached.txt"), "-n", NAMES - 1, "-l", 30)
        for load in loads:
            if load in ("single", "cold") or (load == "tcp" and name == "floor"):
                continue
            try:
                record = harness.measure(place, server, *arguments(place, load), "-l", options.seconds)
                check(name, load, record)
            except RuntimeError as error:
                print(f"skipped: {name} under load {load}: {error}", flush=True)
                continue
            records.append((load, record))
        extra = {"start_ms": server.start_ms, "memory": server.memory(), "resident": server.resident()}
        for load, record in records:
            record.update(candidate=name, load=load, round=turn, **extra)
            done.append(record)
            print(f"round {turn} {name:15} {load:7} {record['us']:7.2f} µs {record['qps']:9,.0f}/s p50 {record['p50']:8.1f} "
                  f"p99 {record['p99']:8.1f} lost {record['lost']}", flush=True)
    except RuntimeError as error:
        if "sluice" in name or "former" in name:
            sys.exit(f"{name}: {error}")
        print(f"skipped: {name}: {error}", file=sys.stderr)
    finally:
        if server:
            server.stop()
    return done


def single(place, server):
    """Names one at a time, and how much later their answers are than the upstream's own are at that time."""
    asks = ["-f", place.file("single.txt"), "-n", SINGLES, "-l", 30, "-w", 1, "-c", 1]
    upstream = harness.load(place, *asks, "-p", harness.UPSTREAM)
    record = harness.measure(place, server, *asks)
    record["added"] = record["p50"] - upstream["p50"]
    return record


def arguments(place, load):
    if load == "random":
        return ["-r", "denied.net", "-w", 400]
    if load == "tcp":
        return ["-f", place.file("cached.txt"), "-T", "-c", 8, "-w", 50]
    if load == "steady":
        return ["-f", place.file("cached.txt"), "-R", 20_000]
    return ["-f", place.file(load + ".txt"), "-w", 400]


def verify(name):
    """A candidate that lets an unlisted name through, or answers wrongly, is not measured."""
    reply = harness.ask(f"h00513.{ZONE}")
    if not reply or reply[:2] != (0, 1) or bytes([45, 11, 2, 1]) not in reply[2]:
        raise RuntimeError(f"it answers an allowed name with {reply}")
    reply = harness.ask("h00513.denied.net")
    if not reply or reply[0] == 0:
        raise RuntimeError(f"it answers an unlisted name with {reply}")


def check(name, load, record):
    if name == "floor":
        return
    share = {"denied": 0, "random": 0, "mixed": 0.8}.get(load, 1)
    if record["answered"] == 0 or abs(record["with_address"] / record["answered"] - share) > 0.02:
        raise RuntimeError(f"under load {load} {record['with_address']} of {record['answered']} answers hold an address")


if __name__ == "__main__":
    main()
