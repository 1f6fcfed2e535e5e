#!/usr/bin/env python3
"""What a packet may cost the query path: instructions, allocations and reference counts, whatever else the machine does.

  Tests/Benchmarks/budget.py [--update] [--only hit,denied] [--no-build]
  Tests/Benchmarks/budget.py --profile hit [--scenario many]

PathBudget replays a batch of queries 2 and 4 times under valgrind's callgrind; half of the difference is one batch, and
start-up is in neither. Fails when a load costs more than `budgets.json` allows: allocations and reference counts not by
one in a batch, instructions not by more than the tolerance in that file. `--update` writes what was counted into it,
`--profile` prints which functions one load goes through. Needs valgrind; not root."""
import argparse, concurrent.futures, json, os, platform, re, subprocess, sys, tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(FOLDER))
BUDGETS = os.path.join(FOLDER, "budgets.json")
FEW, MANY = 2, 4
# Loads that the number of servers could make dearer; the others are counted with one server.
OF_MANY_SERVERS = ["hit", "denied", "stranger"]

ALLOCATE = re.compile(r"(malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign|valloc)$")
COUNT_REFERENCES = re.compile(r"_?swift_(bridgeObject|unknownObject|unowned|weak|nonatomic_)?(r|R)e(tain|lease)\w*$")


def fail(text):
    print(f"budget.py: {text}", file=sys.stderr)
    sys.exit(1)


class Counts:
    """Totals of one callgrind file, and by function: instructions of its own, with its callees', and calls."""

    def __init__(self, path):
        self.own, self.all, self.calls, self.names = {}, {}, {}, {}
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
        if COUNT_REFERENCES.match(callee) and not COUNT_REFERENCES.match(caller):
            self.references += count

    @staticmethod
    def add(table, key, count):
        table[key] = table.get(key, 0) + count


def count(program, load, scenario, batches, place, *more):
    out = os.path.join(place, "-".join([scenario, load, str(batches), *more]))
    # The same seeds, and the copying routines that every x86-64 has.
    environment = {
        "PATH": os.environ["PATH"], "SWIFT_DETERMINISTIC_HASHING": "1",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM",
    }
    for name in ("LD_LIBRARY_PATH",):
        if name in os.environ:
            environment[name] = os.environ[name]
    run = subprocess.run(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", program, load, str(batches), scenario, *more],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        fail(f"`{load}` with {scenario} server(s) failed:\n{run.stdout}")
    return Counts(out)


def measure(program, load, scenario, packets, place, *more):
    few, many = (count(program, load, scenario, batches, place, *more) for batches in (FEW, MANY))
    packets *= MANY - FEW
    return {
        "instructions": round((many.instructions - few.instructions) / packets),
        "allocations": round((many.allocations - few.allocations) / packets, 4),
        "references": round((many.references - few.references) / packets, 4),
    }


def compiler():
    version = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=True).stdout
    return f"{re.search(r'Swift version [0-9.]+', version).group()}, {platform.machine()}"


def build():
    subprocess.run(["swift", "build", "-c", "release", "--product", "PathBudget"], cwd=PACKAGE, check=True,
                   stdin=subprocess.DEVNULL)


def profile(program, load, scenario, packets, place):
    few, many = (count(program, load, scenario, batches, place) for batches in (FEW, MANY))
    packets *= MANY - FEW

    def each(table):
        before = getattr(few, table)
        return {name: (value - before.get(name, 0)) / packets for name, value in getattr(many, table).items()}

    own, inclusive, calls = each("own"), each("all"), each("calls")
    demangled = subprocess.run(["swift", "demangle", "--compact"], input="\n".join(own), capture_output=True, text=True,
                               check=True).stdout.splitlines()
    print(f"{'own':>8} {'with callees':>13} {'calls':>7}  of one `{load}` packet, {scenario} server(s)")
    for name, text in sorted(zip(own, demangled), key=lambda pair: -own[pair[0]]):
        if own[name] >= 1:
            print(f"{own[name]:8.1f} {inclusive.get(name, own[name]):13.1f} {calls.get(name, 0):7.2f}  {text}")


def compare(budgets, counted):
    """Prints every count beside its budget; returns what is over."""
    over, under = [], []
    same = budgets["compiler"] == compiler()
    print(f"{'':19}{'instructions':>20}{'allocations':>20}{'references':>20}   of one packet, and what it may cost")
    for key, counts in counted.items():
        budget = budgets["packets"].get(key)
        if budget is None:
            over.append(f"{key}: has no budget")
            continue
        line = f"{key:19}"
        for unit, value in counts.items():
            allowed = budget[unit]
            slack = allowed * budgets["tolerance"] if unit == "instructions" else 0
            if value > allowed + slack and (unit != "instructions" or same):
                over.append(f"{key}: {value:g} {unit}, {allowed:g} allowed")
                mark = " !"
            else:
                mark = "  "
            if value < allowed - slack:
                under.append(f"{key}: {value:g} {unit}, {allowed:g} allowed")
            line += f"{value:>10g} /{allowed:>6g}{mark}"
        print(line)
    if not same:
        print(f"instructions are not judged: the budget is of {budgets['compiler']}, this is {compiler()}")
    if under:
        print("cheaper than the budget, which `--update` would lower:", *under, sep="\n  ")
    return over


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--update", action="store_true", help="write the budgets instead of checking them")
    options.add_argument("--only", default="", help="loads, with commas between them")
    options.add_argument("--no-build", action="store_true", help="take the release build that is there")
    options.add_argument("--profile", metavar="LOAD", help="print the functions of one load")
    options.add_argument("--scenario", default="one", choices=["one", "many"], help="of --profile")
    options = options.parse_args()
    if not options.no_build:
        build()
    program = os.path.join(PACKAGE, ".build", "release", "PathBudget")
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    packets = dict(zip(listed[::2], map(int, listed[1::2])))
    with tempfile.TemporaryDirectory(prefix="sluice-budget-") as place:
        if options.profile:
            return profile(program, options.profile, options.scenario, packets[options.profile], place)
        wanted = [(load, "one") for load in packets] + [(load, "many") for load in OF_MANY_SERVERS]
        only = set(filter(None, options.only.split(",")))
        wanted = [pair for pair in wanted if not only or pair[0] in only]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(lambda pair: measure(program, *pair, packets[pair[0]], place), wanted)
            counted = {load if scenario == "one" else f"{load}, {scenario}": counts
                       for (load, scenario), counts in zip(wanted, results)}
    budgets = {"compiler": compiler(), "tolerance": 0.02, "packets": {}}
    if os.path.exists(BUDGETS):
        with open(BUDGETS) as file:
            budgets = json.load(file)
    if options.update:
        budgets["compiler"] = compiler()
        budgets["packets"].update(counted)
        lines = ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in budgets["packets"].items())
        with open(BUDGETS, "w") as file:
            file.write(f'{{\n  "compiler": {json.dumps(budgets["compiler"])},\n'
                       f'  "tolerance": {budgets["tolerance"]},\n  "packets": {{\n{lines}\n  }}\n}}\n')
    over = compare(budgets, counted)
    if over:
        fail("over budget:\n  " + "\n  ".join(over))
    if not only:
        with tempfile.TemporaryDirectory(prefix="sluice-budget-") as place:
            wasteful = measure(program, "hit", "one", packets["hit"], place, "wasteful")
        allowed = budgets["packets"]["hit"]
        if wasteful["allocations"] <= allowed["allocations"] or wasteful["instructions"] <= allowed["instructions"] * (1 + budgets["tolerance"]):
            fail(f"an allocation for each packet goes unnoticed: {wasteful}")
        print(f"one more allocation for each packet would be noticed: {wasteful['allocations']:g} counted")


main()
