#!/usr/bin/env python3
"""What the audit log's writer takes for an event: CPU time of its thread, and instructions.

  Tests/Benchmarks/writer.py [--events 400000] [--rounds 7] [--no-build]

PathBudget pushes events of one kind into a ring, as fast as the writer takes them, and stops the log when all are written: the
lines of every window that is open at the end count as well. Kinds: a few unlisted names again and again (`denied`), grants
of another name each (`granted`), refused connections (`refused`), another unlisted name each time (`flood`), and that of a
server over its share of the log (`quota`). Rounds of all kinds in turn; medians, least and most. Instructions are those of
the writer's thread under valgrind's callgrind, once, where there is one. The log is written to a folder in memory."""
import argparse, glob, os, re, shutil, statistics, subprocess, sys, tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(FOLDER))
KINDS = ["denied", "granted", "refused", "flood", "quota"]
COUNTED = 20_000

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--events", type=int, default=400_000)
options.add_argument("--rounds", type=int, default=7)
options.add_argument("--no-build", action="store_true", help="take the release build that is there")
options.add_argument("--program", help=argparse.SUPPRESS)
options = options.parse_args()


def write(program, kind, events, *before):
    with tempfile.TemporaryDirectory(prefix="sluice-writer-", dir="/dev/shm") as folder:
        run = subprocess.run([*before, program, "--writer", kind, str(events), folder], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        sys.exit(f"writer.py: {kind}: {run.stdout}")
    found = re.search(r"(\d+) lines, (\d+) ns", run.stdout)
    return int(found[1]), int(found[2])


def instructions(program, kind):
    """Of the thread that coalesces, for one event."""
    with tempfile.TemporaryDirectory(prefix="sluice-writer-") as place:
        write(program, kind, COUNTED, "valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=yes",
              f"--callgrind-out-file={place}/out")
        totals = []
        for path in glob.glob(f"{place}/out*"):
            with open(path, encoding="utf-8", errors="replace") as file:
                text = file.read()
            if "Coalescer" in text:
                totals += [int(found) for found in re.findall(r"^(?:totals|summary): (\d+)", text, re.M)[-1:]]
        return round(max(totals) / COUNTED) if totals else None


if not options.no_build and not options.program:
    subprocess.run(["swift", "build", "-c", "release", "--product", "PathBudget"], cwd=PACKAGE, check=True, stdin=subprocess.DEVNULL)
built = options.program or os.path.join(PACKAGE, ".build", "release", "PathBudget")
load = os.getloadavg()[0]
costs, lines = {kind: [] for kind in KINDS}, {}
for _ in range(options.rounds):
    for kind in KINDS:
        lines[kind], cost = write(built, kind, options.events)
        costs[kind].append(cost)
counted = {}
if shutil.which("valgrind"):
    with tempfile.TemporaryDirectory(prefix="sluice-writer-") as place:
        # As budget.py does.
        stripped = os.path.join(place, "PathBudget")
        subprocess.run(["strip", "--strip-debug", "-o", stripped, built], check=True)
        counted = {kind: instructions(stripped, kind) for kind in KINDS}
print(f"{options.events:,} events of each kind, {options.rounds} rounds, load {load:.1f} before and {os.getloadavg()[0]:.1f} after\n")
print("| kind | lines for 1,000 events | CPU µs an event | least and most | instructions |")
print("|---|---|---|---|---|")
for kind in KINDS:
    print(f"| {kind} | {lines[kind] * 1000 / options.events:,.1f} | {statistics.median(costs[kind]) / 1000:.2f} "
          f"| {min(costs[kind]) / 1000:.2f}–{max(costs[kind]) / 1000:.2f} | {counted.get(kind) or '-'} |")
