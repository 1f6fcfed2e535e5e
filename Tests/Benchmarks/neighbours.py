#!/usr/bin/env python3
"""What a well-behaved server's clients notice of what others do: answer times and success beside each kind of load.

  sudo Tests/Benchmarks/neighbours.py .build/release/sluice [--rounds 6] [--seconds 4] [--only unanswered,idle] [--cpu 0]

A neighbour asks 200 times a second, each time when it is due, whatever came back: names that are cached, names under its
pattern that were never asked and need an address opened, and names that are not listed; by UDP, and a fifth of them by
TCP with a connection each. A time counts from when the query was due to its answer, and only the answer that policy wants
is a success. Beside it:

  unanswered   another server keeps 2,300 names waiting that no upstream answers
  pipelined    128 TCP connections of another server, 900 queries ahead on each, as fast as they are answered
  idle         1,000 connections of ten servers that asked once and say nothing more
  places       eight servers take every TCP place they can get, keep each busy with names that no upstream answers, and come
               back when they are cut
  set, table, ruleset (also with `--exclusive`, which makes the table Sluice's alone)
               `nft flush` of the neighbour's set, of Sluice's table, of everything, one after the other as fast as nft
               can; with `-slow` four times a second

A round starts Sluice with a managed firewall anew and has a slice alone, a slice beside the load and a slice beside a
control: loops that take the processor time which the load cost, its generator and Sluice's part, and touch nothing. Every
second round has them in the other order. Sluice, its upstream and `nft` are nice -20, the generators -10 on one CPU, and
the neighbour's client is real-time there: who gets a processor is the kernel's affair, and not what is to be measured.
Beside flushes a transaction of one element is timed as well, by a program that has nothing to do with Sluice and a table of
its own: no name that needs an address opened can be answered sooner than that. Ratios are of the p99 of one round; their medians and quartiles are printed.
Sluice runs where the kernel puts it, or on one CPU with --cpu. What is to hold: below 2 and every query a success. Needs
root, gcc, nsd and nftables."""
import argparse, collections, itertools, json, os, select, selectors, shutil, signal, socket, statistics, struct, subprocess, sys, time

import harness, scale

NEIGHBOUR, OTHERS = "10.0.0.1", [f"10.0.{number}.1" for number in range(1, 11)]
SILENT = "silent.net"
CACHED = 50
RATE = 200
# How Sluice and its upstream stand, and the generators: both before what else runs on this machine.
FIRST, SECOND = -20, -10
PATIENCE = 2.0
# Of twenty queries; `tcp` ones have a connection of their own.
MIX = ["cached", "new", "cached", "denied", "cached tcp", "new", "cached", "new", "cached", "new tcp",
       "cached", "new", "cached", "denied", "cached tcp", "new", "cached", "new", "cached", "denied tcp"]
UNANSWERED, SILENT_AFTER = 2_300, 8.0
LOADS = ["unanswered", "pipelined", "idle", "places", "set", "table", "ruleset", "set-slow", "table-slow", "ruleset-slow"]
FLUSHES = {"set": "flush set inet sluice s0-4", "table": "flush table inet sluice", "ruleset": "flush ruleset"}
SLOW = 4
now = time.monotonic


def cached(number):
    return f"c{number}.{scale.ZONE}"


def new(number):
    return f"n{number}.{scale.ZONE}"


def fresh_silent():
    """Names of five octets under the silent zone, a million before one comes again."""
    for number in itertools.count(int.from_bytes(os.urandom(3))):
        yield f"{number & 0xFFFFF:05x}.{SILENT}"


# MARK: The neighbour

class Asking:
    """A query on its way, with what is to come back."""

    def __init__(self, kind, due, wire, name):
        self.kind, self.due, self.wire, self.name = kind, due, wire, name
        self.received = b""


def judge(kind, reply, denial):
    """Whether a reply is what policy wants of it."""
    code, count = reply[3] & 15, reply[6] << 8 | reply[7]
    return code == denial if kind.startswith("denied") else code == 0 and count > 0


def probe(first, seconds, denial):
    """Asks; prints the times of every kind in microseconds, and what failed."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
    datagrams.bind((NEIGHBOUR, 0))
    datagrams.connect(("127.0.0.1", harness.PORT))
    datagrams.setblocking(False)
    times, failures = collections.defaultdict(list), collections.Counter()
    waiting, streams = {}, {}

    def end(asking, reply):
        if reply is None:
            failures[f"{asking.kind}: nothing"] += 1
        elif judge(asking.kind, reply, denial):
            times[asking.kind].append((now() - asking.due) * 1e6)
        else:
            failures[f"{asking.kind}: rcode {reply[3] & 15}"] += 1

    def close(connection, reply):
        asking = streams.pop(connection)
        connection.close()
        end(asking, reply)

    def ask(number, due):
        kind = MIX[number % len(MIX)]
        word = kind.split()[0]
        name = {"cached": cached(number % CACHED), "new": new(first + number), "denied": f"d{first + number}.denied.net"}[word]
        asking = Asking(kind, due, harness.query(name, number % 65_536), name)
        if not kind.endswith("tcp"):
            waiting[number % 65_536] = asking
            datagrams.send(asking.wire)
            return
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setsockopt(socket.IPPROTO_IP, 15, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.bind((NEIGHBOUR, 0))
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", harness.PORT))
        streams[connection] = asking

    def writable(connection):
        asking = streams[connection]
        try:
            connection.send(struct.pack(">H", len(asking.wire)) + asking.wire)
            asking.wire = b""
        except OSError:
            close(connection, None)

    def readable(connection):
        asking = streams[connection]
        try:
            octets = connection.recv(4_096)
        except OSError:
            octets = b""
        asking.received += octets
        if len(asking.received) >= 14 and len(asking.received) >= 2 + struct.unpack(">H", asking.received[:2])[0]:
            close(connection, asking.received[2:])
        elif not octets:
            close(connection, None)

    count, start = int(seconds * RATE), now() + 0.05
    asked = 0
    while asked < count or waiting or streams:
        due = start + asked / RATE
        if asked < count and now() >= due:
            ask(asked, due)
            asked += 1
            continue
        left = due - now() if asked < count else 0.05
        unsent = [connection for connection, asking in streams.items() if asking.wire]
        unanswered = [connection for connection, asking in streams.items() if not asking.wire]
        ready, sendable, _ = select.select([datagrams] + unanswered, unsent, [], max(left, 0))
        for connection in ready:
            if connection is not datagrams:
                readable(connection)
                continue
            try:
                reply = datagrams.recv(4_096)
            except OSError:
                continue
            if asking := waiting.pop(reply[0] << 8 | reply[1], None): end(asking, reply)
        for connection in sendable: writable(connection)
        late = now() - PATIENCE
        for number in [number for number, asking in waiting.items() if asking.due < late]: end(waiting.pop(number), None)
        for connection in [connection for connection, asking in streams.items() if asking.due < late]: close(connection, None)
    print(json.dumps({"times": times, "failures": failures, "asked": count}))


def transactions(seconds):
    """Opens an address in a table of its own, each when it is due; prints how long each took in microseconds."""
    text = lambda name: name.encode() + b"\0"
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as kernel:  # NETLINK_NETFILTER
        kernel.bind((0, 0))
        # The table is the socket's (NFT_TABLE_F_OWNER), so that no flush takes it away; the set's key is an IPv4 address.
        table = nft(0, attribute(1, text("floor")) + attribute(2, struct.pack(">I", 2)))
        parts = attribute(1, text("floor")) + attribute(2, text("open")) + attribute(3, struct.pack(">I", 0))
        kernel.send(batch(table, nft(9, parts + attribute(4, struct.pack(">I", 7)) + attribute(5, struct.pack(">I", 4)) +
                                     attribute(10, struct.pack(">I", 1)))))
        start, times = now(), []
        for number in range(int(seconds * RATE / 2)):
            due = start + number / (RATE / 2)
            time.sleep(max(due - now(), 0))
            key = attribute(NESTED | 1, attribute(NESTED | 1, attribute(1, struct.pack(">I", number))))
            # A send returns when the kernel has done.
            began = now()
            kernel.send(batch(nft(12, attribute(1, text("floor")) + attribute(2, text("open")) + attribute(NESTED | 3, key))))
            times.append((now() - began) * 1e6)
            # The first answer of the kernel is an error, or that there is none.
            while select.select([kernel], [], [], 0)[0]:
                if error := struct.unpack("=i", kernel.recv(65_536)[16:20])[0]: raise OSError(-error, os.strerror(-error))
    print(json.dumps(times))


NESTED = 0x8000


def attribute(type, octets):
    return struct.pack("=HH", 4 + len(octets), type) + octets + b"\0" * (-len(octets) % 4)


def nft(type, attributes):
    """A message of nf_tables for family inet, made if it is not there, and acknowledged."""
    return struct.pack("=IHHII", 20 + len(attributes), 10 << 8 | type, 0x405, 1, 0) + struct.pack("=BBH", 1, 0, 0) + attributes


def batch(*messages):
    """NFNL_MSG_BATCH_BEGIN and _END for the subsystem of nf_tables around messages."""
    begin, end = (struct.pack("=IHHII", 20, type, 1, 0, 0) + struct.pack(">BBH", 0, 0, 10) for type in (0x10, 0x11))
    return begin + b"".join(messages) + end


# MARK: The loads

def ready(text):
    """Tells that the load is at work."""
    print(text, flush=True)


def unanswered():
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.IPPROTO_IP, 15, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    client.bind((OTHERS[0], 0))
    client.connect(("127.0.0.1", harness.PORT))
    names, sent, number, told = fresh_silent(), {}, 0, False
    while True:
        while len(sent) < UNANSWERED:
            number = (number + 1) % 65_536
            sent[number] = now()
            client.send(harness.query(next(names), number))
            if number % 64 == 0: break
        if not told and len(sent) >= UNANSWERED:
            told = True
            ready("all wait")
        late = now() - SILENT_AFTER
        while sent and next(iter(sent.values())) < late: sent.pop(next(iter(sent)))
        while select.select([client], [], [], 0 if len(sent) < UNANSWERED else 0.05)[0]:
            reply = client.recv(4_096)
            sent.pop(reply[0] << 8 | reply[1], None)


def connections(sources, each, name, again):
    """Connections that ask one name each at first, and `again` whenever there is an answer; those that are cut come back."""
    poller, names = selectors.DefaultSelector(), fresh_silent()
    open_, pause, told = collections.Counter(), 0.0, now()

    def connect(source):
        client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.setsockopt(socket.IPPROTO_IP, 15, 1)
        client.bind((source, 0))
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", harness.PORT))
        open_[source] += 1
        poller.register(client, selectors.EVENT_WRITE, source)

    def end(client, source):
        poller.unregister(client)
        client.close()
        open_[source] -= 1

    def ask(client):
        wire = harness.query(name or next(names))
        client.send(struct.pack(">H", len(wire)) + wire)

    started = False
    while True:
        for source in sources:
            for _ in range(min(each - open_[source], 8)): connect(source)
        for key, events in poller.select(0.02):
            client, source = key.fileobj, key.data
            try:
                if events & selectors.EVENT_WRITE:
                    ask(client)
                    poller.modify(client, selectors.EVENT_READ, source)
                elif client.recv(4_096):
                    if again: ask(client)
                else:
                    end(client, source)
            except OSError:
                end(client, source)
        if not started and (sum(open_.values()) >= len(sources) * each or now() - told > 2):
            started = True
            ready("connected")
        time.sleep(0.005)


def flush(kind):
    command, pause = FLUSHES[kind.split("-")[0]], 1 / SLOW if kind.endswith("slow") else 0
    ready("flushing")
    while True:
        subprocess.run(["nft", command], stderr=subprocess.DEVNULL)
        time.sleep(pause)


def burn(share):
    """Takes a share of a processor, in turns of 5 ms."""
    ready("busy")
    while True:
        end, turn = now() + 0.005, time.process_time() + 0.005 * share
        while time.process_time() < turn and now() < end + 0.05: pass
        time.sleep(max(end - now(), 0))


def play(kind):
    if kind == "unanswered": unanswered()
    elif kind == "idle": connections(OTHERS, 100, cached(0), False)
    elif kind == "places": connections(OTHERS[:8], 160, None, True)
    elif kind.startswith("burn"): burn(float(kind.split(":")[1]))
    else: flush(kind)


# MARK: Measuring

def ticks(pid):
    """Seconds on a processor of a process and those below it, ended ones too."""
    total, pending = 0, [pid]
    while pending:
        pid = pending.pop()
        try:
            fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15])
            for task in os.listdir(f"/proc/{pid}/task"):
                pending += map(int, open(f"/proc/{pid}/task/{task}/children").read().split())
        except OSError:
            pass
    return total / os.sysconf("SC_CLK_TCK")


def stand(pid, nice):
    """How a process that leads a session stands against others, and whatever it starts."""
    os.setpriority(os.PRIO_PROCESS, pid, nice)
    try:
        # Where the kernel groups sessions, niceness counts within one only.
        with open(f"/proc/{pid}/autogroup", "w") as file: file.write(str(nice))
    except OSError:
        pass


class Load:
    """A generator at work until it is stopped, on the client's processor or wherever it is told."""

    def __init__(self, place, kind, cpu=harness.CLIENT_CPU, nice=SECOND):
        pinned = ["taskset", "-c", cpu] if cpu else []
        if kind == "pipelined":
            command = [place.file("dnsload"), "-p", str(harness.PORT), "-f", place.file("asked.txt"), "-a", OTHERS[0], "-T",
                       "-c", "128", "-w", "900", "-l", "600"]
        else:
            command = [sys.executable, os.path.abspath(__file__), "--play", kind]
        self.process = subprocess.Popen(pinned + command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        # A flush holds the kernel's lock, which all would wait for where it waits for a processor.
        stand(self.process.pid, FIRST if kind.split("-")[0] in FLUSHES else nice)
        if kind != "pipelined": self.process.stdout.readline()
        time.sleep(0.5)

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Neighbours(scale.Sluice):
    """Sluice with a managed firewall and nothing of an earlier run."""

    FIREWALL = 'mode: "managed"'

    def __init__(self, place, executable, cpu):
        subprocess.run(["nft", "delete", "table", "inet", "sluice"], stderr=subprocess.DEVNULL)
        shutil.rmtree(place.file("state"), ignore_errors=True)
        names = [f'"*.{scale.ZONE}"', f'"*.{SILENT}"']
        super().__init__(place, executable, scale.policy(1 + len(OTHERS), names), cached(0), NEIGHBOUR, cpu)
        for source in [NEIGHBOUR] + OTHERS:
            for number in range(CACHED): harness.ask(cached(number), source=source)
        self.denial = harness.ask("d.denied.net", source=NEIGHBOUR)[0]


class Slice:
    """What the neighbour met in a slice, and what was spent on it."""

    def __init__(self, server, options, first, load=None, asks_kernel=False):
        spent = (ticks(server.pid), load and ticks(load.process.pid))
        start = now()
        command = ["chrt", "-f", "50", "taskset", "-c", harness.CLIENT_CPU, sys.executable, os.path.abspath(__file__)]
        command += ["--probe", json.dumps([first, options.seconds, server.denial])]
        lock = subprocess.Popen(command[:6] + [sys.executable, os.path.abspath(__file__), "--lock", str(options.seconds)],
                                stdout=subprocess.PIPE, text=True) if asks_kernel else None
        report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        self.kernel = sorted(json.loads(lock.communicate()[0])) if lock else []
        took = now() - start
        self.server = (ticks(server.pid) - spent[0]) / took
        self.load = (ticks(load.process.pid) - spent[1]) / took if load else 0
        self.asked, self.failures, self.times = report["asked"], collections.Counter(report["failures"]), report["times"]
        self.every = sorted(time for times in self.times.values() for time in times)

    def percentile(self, part, kinds=None):
        times = self.every if kinds is None else sorted(t for kind, times in self.times.items() if kinds in kind for t in times)
        return times[min(int(part * len(times)), len(times) - 1)] if times else float("nan")


def round_of(place, options, kind, number, costs, first):
    """The slices of a round: alone, beside the load, beside the control."""
    server = Neighbours(place, options.sluice, options.cpu)
    slices = {}
    try:
        order = ["alone", "load", "control"]
        for name in order if number % 2 == 0 else reversed(order):
            if name == "alone": loads = []
            elif name == "load": loads = [Load(place, kind)]
            else:
                loads = [Load(place, f"burn:{costs['load']:.3f}"), Load(place, f"burn:{costs['server']:.3f}", options.cpu, FIRST)]
            slices[name] = Slice(server, options, first, loads[0] if loads else None, kind.split("-")[0] in FLUSHES)
            if loads and loads[0].process.poll() is not None: raise RuntimeError(f"{kind}: the generator ended")
            for load in loads: load.stop()
            first += int(options.seconds * RATE)
            if name == "load":
                # What it left is waited for no more.
                until = now() + 10
                time.sleep(1.5)
                while now() < until and (harness.ask(cached(1), source=NEIGHBOUR) or [2])[0] != 0: time.sleep(0.1)
        costs["load"] = min(slices["load"].load, 1)
        costs["server"] = min(max(slices["load"].server - slices["alone"].server, 0), 1)
    finally:
        if os.environ.get("KEEP"): shutil.copytree(server.log, place.file(f"log-{kind}-{number}"), dirs_exist_ok=True)
        server.stop()
    return slices, first


def quartiles(values):
    if len(values) < 2: return f"{values[0]:.2f}"
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def report(kind, rounds):
    middle = lambda name, part, of=None: statistics.median(each[name].percentile(part, of) for each in rounds)
    ratios = lambda name: quartiles([each[name].percentile(0.99) / each["alone"].percentile(0.99) for each in rounds])
    failures = sum((each["load"].failures for each in rounds), collections.Counter())
    asked = sum(each["load"].asked for each in rounds)
    success = f"{100 * (1 - sum(failures.values()) / asked):.2f} %" if failures else "100 %"
    alone = sum(sum(each["alone"].failures.values()) for each in rounds)
    kernel = lambda name: statistics.median(each[name].kernel[int(0.99 * len(each[name].kernel))] for each in rounds)
    floor = lambda each: each.kernel[int(0.99 * len(each.kernel))]
    lock = f"{kernel('alone'):,.0f} → {kernel('load'):,.0f}" if rounds[0]["load"].kernel else ""
    lock += " | " + (quartiles([floor(each["load"]) / floor(each["alone"]) for each in rounds]) if lock else "")
    line = (f"| {kind} | {middle('alone', .5):,.0f} / {middle('alone', .99):,.0f} | {middle('load', .5):,.0f} / "
            f"{middle('load', .99):,.0f} | {ratios('load')} | {ratios('control')} | {success} | "
            f"{100 * statistics.median(each['load'].load for each in rounds):.0f} % | "
            f"{100 * statistics.median(each['load'].server for each in rounds):.0f} % | {lock} |")
    detail = ", ".join(f"{of} {middle('alone', .99, of):,.0f} → {middle('load', .99, of):,.0f}" for of in ("cached", "new", "denied", "tcp"))
    print(f"{kind}: p99 by kind, µs: {detail}; failed alone {alone}; failed {dict(failures)}", file=sys.stderr, flush=True)
    return line


def silence():
    """The upstream hears nothing of five-octet names under the silent zone, in whatever letters; the table is its maker's, so that a foreign
    `flush ruleset` leaves it. 8 octets of UDP, 12 of DNS, 6 of the label come before the zone's first."""
    maker = subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    maker.stdin.write("add table inet silence { flags owner ; }\n"
                      "add chain inet silence arrived { type filter hook input priority -200 ; }\n"
                      f"add rule inet silence arrived udp dport {harness.UPSTREAM} @th,208,56 & 0xffdfdfdfdfdfdf == 0x0653494c454e54 drop\n")
    maker.stdin.flush()
    until = now() + 5
    while "== 0x653494c454e54" not in subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True).stdout:
        if now() > until: sys.exit("the silent zone cannot be made with nft")
        time.sleep(0.05)
    return maker


def main():
    if sys.argv[1:2] == ["--play"]: return play(sys.argv[2])
    if sys.argv[1:2] == ["--lock"]: return transactions(float(sys.argv[2]))
    if sys.argv[1:2] == ["--probe"]: return probe(*json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sluice")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default=",".join(LOADS))
    parser.add_argument("--cpu", help="the processor of Sluice; without, the kernel's choice")
    parser.add_argument("--exclusive", action="store_true", help="the table is Sluice's alone (Linux 6.9)")
    parser.add_argument("--out")
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    kinds = options.only.split(",")
    if options.exclusive: Neighbours.FIREWALL += ", exclusive: on"
    if unknown := set(kinds) - set(LOADS): parser.error(f"no such load: {', '.join(unknown)}")
    harness.enter_namespace()
    if os.getpid() != os.getsid(0): os.setsid()
    stand(os.getpid(), FIRST)
    place = harness.Place("neighbours")
    count = int(options.seconds * RATE) * 3 * options.rounds * len(kinds)
    upstream = harness.Upstream(place, scale.ZONE, [f"c{number}" for number in range(CACHED)] + [f"n{number}" for number in range(count)])
    scale.questions(place, "asked.txt", [cached(number) for number in range(CACHED)])
    maker = silence()
    where = f"on CPU {options.cpu}" if options.cpu else "where the kernel puts it"
    if options.exclusive: where += ", the table its own"
    text = [f"Medians of {options.rounds} rounds of {options.seconds:.0f} s; Sluice {where}; {harness.machine()}. In brackets quartiles.", "",
            "| beside | alone, p50 / p99 µs | beside it | p99, ratio | the control's | success | CPU of the load | of Sluice | a transaction of one element, p99 µs | ratio |",
            "|--|--:|--:|--:|--:|--:|--:|--:|--:|--:|"]
    try:
        first = 0
        for kind in kinds:
            rounds, costs = [], {"load": 0.5, "server": 0.2}
            for number in range(options.rounds):
                slices, first = round_of(place, options, kind, number, costs, first)
                rounds.append(slices)
            text.append(report(kind, rounds))
            print(text[-1], file=sys.stderr, flush=True)
    finally:
        maker.stdin.close()
        maker.wait()
        upstream.stop()
        place.remove()
    print("\n".join(text))
    if options.out:
        os.makedirs(options.out, exist_ok=True)
        with open(os.path.join(options.out, "neighbours.md"), "w") as file:
            file.write("# A neighbour beside each kind of load\n\n" + "\n".join(text) + "\n")


if __name__ == "__main__":
    main()
