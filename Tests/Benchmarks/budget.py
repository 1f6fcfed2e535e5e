#!/usr/bin/env python3
"""What a packet may cost the query path: instructions, allocations and reference counts, whatever else the machine does.

  Tests/Benchmarks/budget.py [--update] [--only hit,denied] [--no-build]
  Tests/Benchmarks/budget.py --profile hit [--scenario many]

PathBudget replays a batch of queries under valgrind's callgrind, which counts from the second batch on. Fails when a
load costs more than `budgets.json` allows: allocations and reference counts not by one in a batch, instructions not by
more than the tolerance in that file; when a load with 10,000 servers or with a million names costs 5 % more than with
one server of 1,000 names; or when waste put in on purpose goes unnoticed. `--update` writes what was counted into the
file, `--profile` prints which functions one load goes through and who allocates or counts. Needs valgrind; not root."""
import argparse, concurrent.futures, json, os, platform, re, subprocess, sys, tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(FOLDER))
BUDGETS = os.path.join(FOLDER, "budgets.json")
BATCHES = 2
# Loads that the size of the policy could make dearer, and by how much it may; the others are counted with one server.
AT_SIZE = {"many": ["hit", "denied"], "large": ["hit", "denied"]}
DEARER_AT_SIZE = 0.05

ALLOCATE = re.compile(r"(malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign|valloc)$")
COUNT_REFERENCES = re.compile(r"_?swift_(bridgeObject|unknownObject|unowned|weak|nonatomic_)?(r|R)e(tain|lease)\w*$")


def fail(text):
    print(f"budget.py: {text}", file=sys.stderr)
    sys.exit(1)


class Counts:
    """Totals of one callgrind file, and by function: instructions of its own, with its callees', and calls."""

    def __init__(self, path):
        self.own, self.all, self.calls, self.names, self.waste = {}, {}, {}, {}, {}
        self.allocations = self.references = self.instructions = 0
        function = callee = None
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("fn="):
                    function = self.name(line[3:])
                elif line.startswith("cfn="):
                    callee = self.name(line[4:])
                elif line.startswith("calls="):
                    self.call(function, callee, int(line[6:].split()[0]))
                    self.add(self.all, callee, int(next(file).split()[1]))
                elif line[0] in "0123456789+-*":
                    cost = int(line.split()[1])
                    self.add(self.own, function, cost)
                    self.instructions += cost

    def name(self, text):
        """`(7) swift_retain'2` at first and `(7)` later; the 2 is a level of recursion."""
        number, _, name = text.strip().partition(" ")
        if name:
            self.names[number] = re.sub(r"'\d+$", "", name)
        return self.names[number]

    def call(self, caller, callee, count):
        self.add(self.calls, callee, count)
        # What the runtime calls to do what it was asked for is part of the one call.
        if ALLOCATE.match(callee) and not ALLOCATE.match(caller):
            self.allocations += count
            self.add(self.waste, (caller, callee), count)
        if COUNT_REFERENCES.match(callee) and not COUNT_REFERENCES.match(caller):
            self.references += count
            self.add(self.waste, (caller, callee), count)

    @staticmethod
    def add(table, key, count):
        table[key] = table.get(key, 0) + count


def count(program, load, scenario, place, *waste):
    out = os.path.join(place, "-".join([scenario, load, *waste]))
    # The same seeds, and the copying routines that every x86-64 has.
    environment = {
        "PATH": os.environ["PATH"], "SWIFT_DETERMINISTIC_HASHING": "1",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM",
    }
    for name in ("LD_LIBRARY_PATH",):
        if name in os.environ:
            environment[name] = os.environ[name]
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}", program, load,
         str(BATCHES), scenario, *waste],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        fail(f"`{load}` in scenario `{scenario}` failed:\n{run.stdout}")
    return Counts(out)


def measure(program, load, scenario, packets, place, *waste):
    counts = count(program, load, scenario, place, *waste)
    packets *= BATCHES
    if counts.instructions < packets:
        fail(f"`{load}` in scenario `{scenario}`: nothing was counted")
    return {
        "instructions": round(counts.instructions / packets),
        "allocations": round(counts.allocations / packets, 4),
        "references": round(counts.references / packets, 4),
    }


def compiler():
    version = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{re.search(r'Swift version [0-9.]+', version).group()}, {platform.machine()}"


def build():
    subprocess.run(["swift", "build", "-c", "release", "--product", "PathBudget"], cwd=PACKAGE, check=True,
                   stdin=subprocess.DEVNULL)


def demangle(names):
    return subprocess.run(["swift", "demangle", "--compact"], input="\n".join(names), capture_output=True, text=True,
                          check=True).stdout.splitlines()


def profile(program, load, scenario, packets, place):
    counts = count(program, load, scenario, place)
    packets *= BATCHES
    print(f"{'own':>8} {'with callees':>13} {'calls':>7}  of one `{load}` packet, scenario `{scenario}`")
    names = sorted(counts.own, key=lambda name: -counts.own[name])
    text = dict(zip(names, demangle(names)))
    for name in names:
        own = counts.own[name] / packets
        if own >= 1:
            inclusive = counts.all.get(name, counts.own[name]) / packets
            print(f"{own:8.1f} {inclusive:13.1f} {counts.calls.get(name, 0) / packets:7.2f}  {text[name]}")
    if counts.waste:
        print("allocations and reference counts:")
    for (caller, callee), calls in sorted(counts.waste.items(), key=lambda pair: -pair[1]):
        print(f"{calls / packets:8.3f}  {callee}  from {text.get(caller, caller)}")


def compare(budgets, counted):
    """Prints every count beside its budget; returns what is over."""
    over, under = [], []
    same = budgets["compiler"] == compiler()
    print(f"{'':19}{'instructions':>18}{'allocations':>18}{'references':>18}   of one packet, and what it may cost")
    for key, counts in counted.items():
        budget = budgets["packets"].get(key)
        if budget is None:
            over.append(f"{key}: has no budget")
            continue
        line = f"{key:19}"
        for unit, value in counts.items():
            allowed = budget[unit]
            slack = allowed * budgets["tolerance"] if unit == "instructions" else 0
            mark = " "
            if value > allowed + slack and (unit != "instructions" or same):
                over.append(f"{key}: {value:g} {unit}, {allowed:g} allowed")
                mark = "!"
            if value < allowed - slack:
                under.append(f"{key}: {value:g} {unit}, {allowed:g} allowed")
            line += f"{value:>9g} /{allowed:>6g}{mark}"
        small = counted.get(key.split(",")[0])
        if small is not counts and small is not None:
            dearer = counts["instructions"] / small["instructions"] - 1
            line += f"   {dearer:+.1%} of one server"
            if dearer > DEARER_AT_SIZE:
                over.append(f"{key}: {dearer:.1%} more instructions than with one server, {DEARER_AT_SIZE:.0%} allowed")
        print(line)
    if not same:
        print(f"instructions are not judged: the budget is of {budgets['compiler']}, this is {compiler()}")
    if under:
        print("cheaper than the budget, which `--update` would lower:", *under, sep="\n  ")
    return over


def notices_waste(program, packets, place, hit):
    """An allocation or a reference count more for each packet must show; a count that cannot fail proves nothing."""
    for waste, unit in (("allocation", "allocations"), ("reference", "references")):
        wasteful = measure(program, "hit", "one", packets, place, waste)
        if wasteful[unit] < hit[unit] + 1:
            fail(f"one {waste} more for each packet goes unnoticed: {wasteful}, without it {hit}")
        print(f"one {waste} more for each packet would be noticed: {hit[unit]:g} -> {wasteful[unit]:g}")


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--update", action="store_true", help="write the budgets instead of checking them")
    options.add_argument("--only", default="", help="loads, with commas between them")
    options.add_argument("--no-build", action="store_true", help="take the release build that is there")
    options.add_argument("--profile", metavar="LOAD", help="print the functions of one load")
    options.add_argument("--scenario", default="one", choices=["one", *AT_SIZE], help="of --profile")
    options = options.parse_args()
    if not options.no_build:
        build()
    built = os.path.join(PACKAGE, ".build", "release", "PathBudget")
    listed = subprocess.run([built, "--list"], capture_output=True, text=True, check=True).stdout.split()
    packets = dict(zip(listed[::2], map(int, listed[1::2])))
    with tempfile.TemporaryDirectory(prefix="sluice-budget-") as place:
        # Valgrind 3.19 of Debian 12 gives up on the debug information of a C object made by Swift's clang.
        program = os.path.join(place, "PathBudget")
        subprocess.run(["strip", "--strip-debug", "-o", program, built], check=True)
        if options.profile:
            return profile(program, options.profile, options.scenario, packets[options.profile], place)
        wanted = [(load, "one") for load in packets]
        wanted += [(load, scenario) for scenario, loads in AT_SIZE.items() for load in loads]
        only = set(filter(None, options.only.split(",")))
        wanted = [pair for pair in wanted if not only or pair[0] in only]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(lambda pair: measure(program, *pair, packets[pair[0]], place), wanted)
            counted = {load if scenario == "one" else f"{load}, {scenario}": counts
                       for (load, scenario), counts in zip(wanted, results)}
        if "hit" in counted:
            notices_waste(program, packets["hit"], place, counted["hit"])
    budgets = {"compiler": compiler(), "tolerance": 0.03, "packets": {}}
    if os.path.exists(BUDGETS):
        with open(BUDGETS) as file:
            budgets = json.load(file)
    if options.update:
        budgets["compiler"] = compiler()
        if only:
            budgets["packets"].update(counted)
        else:
            budgets["packets"] = counted
        lines = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in budgets["packets"].items())
        with open(BUDGETS, "w") as file:
            file.write(f'{{\n  "compiler": {json.dumps(budgets["compiler"])},\n'
                       f'  "tolerance": {budgets["tolerance"]},\n  "packets": {{\n{lines}\n  }}\n}}\n')
    over = compare(budgets, counted)
    if over:
        fail("over budget:\n  " + "\n  ".join(over))


main()
