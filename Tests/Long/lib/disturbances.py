"""What happens to Sluice while the container sends on: nothing of it may open the way for an instant.

A `Stream` sends all the time, in turns from the container's own address to one that was never opened, and with a forged
source. What leaves while a foreign hand empties the ruleset is bounded and counted apart; everywhere else it must be none.
"""
import random, re, threading, time
from attacks import *

DISTURBANCES = []


class Disturbance:
    def __init__(self, name, text, run, is_bounded, only, sources):
        self.name, self.text, self.run, self.is_bounded, self.only, self.sources = name, text, run, is_bounded, only, sources


def disturbance(name, text, is_bounded=False, only=None, sources=lambda bed: ("own", "forged")):
    """Registers a disturbance; what leaves in a bounded one is told, and is no failure. `sources` are those of the stream."""
    def register(function):
        DISTURBANCES.append(Disturbance(name, text, function, is_bounded, only, sources))
        return function
    return register


class Stream:
    """Sends marked packets all the time."""

    def __init__(self, bed, kind, pause=0.001, sources=("own", "forged")):
        self.bed, self.kind, self.pause, self.sources = bed, kind, pause, sources
        self.attempts = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    @property
    def sent(self):
        return len(self.attempts)

    def _run(self):
        turn = 0
        while not self._stop.is_set():
            version = self.bed.versions[turn % len(self.bed.versions)]
            source = self.sources[turn // 2 % len(self.sources)]
            there = "45.11.250.1" if version == 4 else "2a10:77::fa:1"
            address = OWN[version] if source == "own" else ("203.0.113.9" if version == 4 else "2a10:77::fa:9")
            mark = self.bed.ledger.begin(self.kind)
            self.attempts[int.from_bytes(mark[5:], "big")] = source
            self.bed.send(ip(address, there, UDP, udp(address, there, mark * 4, 5556, 4445)))
            turn += 1
            time.sleep(self.pause)

    def leaked(self):
        """Attempts that arrived, with the moments, in order."""
        ledger = self.bed.ledger
        return sorted(moment for number in list(self.attempts) for moment in ledger.times.get(number, []))


def rest(seconds):
    """Lets the stream run on; nothing is waited for here that could be polled."""
    time.sleep(seconds)


def has_table(bed):
    return subprocess.run(bed.host.words("nft", "list", "chain", "inet", "sluice", "forward"), capture_output=True).returncode == 0


@disturbance("reload", "the same policy read again, a broken one, and another one, while the container sends")
def reload(bed, stream, report):
    path = os.path.join(bed.folder, "policies.yaml")
    text = open(path).read()
    # Four more lengths of prefix: the maps of the ruleset take another shape.
    more = "---\nserver: third\nnetworks: [ 10.78.0.0/24, 10.77.9.0/28, 10.79.0.0/17, 10.80.0.0/12 ]\negress: []\n"
    for changed in (text, text + "---\nserver: [ broken\n", text + more, text):
        with open(path, "w") as file:
            file.write(changed)
        bed.sluice("reload", check=False)


@disturbance("removed policy", "the document is taken out of the policy: its network stays closed, over a restart too")
def removed(bed, stream, report):
    bed.write_policy(has_document=False)
    bed.sluice("reload", check=False)
    rest(0.3)
    if bed.features.has_enclosure:
        version = bed.versions[0]
        eventually("an event network-held", 10, lambda: any(
            event["code"] == "network-held" and event["client"] == OWN[version] for event in bed.events()))
    bed.stop()
    bed.start()
    rest(0.3)
    bed.write_policy()
    bed.sluice("reload", check=False)
    rest(0.1)


@disturbance("restart", "serve ends by SIGTERM and starts again")
def restart(bed, stream, report):
    bed.stop()
    rest(0.2)
    bed.start()


@disturbance("kill", "serve, or one of its processes, or all of them, die at a random moment")
def kill(bed, stream, report):
    for parts in (["serve"], ["supervisor"], ["worker"], ["supervisor", "worker"], ["serve", "supervisor", "worker"]):
        rest(random.random() * 0.1)
        bed.kill(parts)
        if "serve" in parts:
            bed.start()
            continue
        rest(0.1)
        # It makes its bridge anew, or ends, or says SERVFAIL until it is started anew: its supervisor's matter.
        if bed.serve.poll() is not None or len(bed.processes_of_sluice()) < 3 or not bed.answers():
            bed.stop()
            bed.start()


@disturbance("kill at every moment of start", "serve dies at moments that follow each other closely from its start to its first answer")
def kill_at_start(bed, stream, report):
    bed.stop()
    begin = time.monotonic()
    bed.start()
    whole = time.monotonic() - begin
    bed.stop()
    moments = report.moments
    for index in range(moments):
        bed.launch()
        rest(whole * 1.2 * index / moments)
        bed.kill()
    bed.start()


@disturbance("rules before serve", "the rules are installed while serve is down, serve starts and finds its socket taken, and starts again")
def install_first(bed, stream, report):
    bed.stop()
    bed.sluice("firewall", "install")
    rest(0.1)
    taken = bed.host.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.bind((GATEWAY[4], 53))
    taken.listen()
    bed.launch()
    rest(0.3)
    bed.kill()
    taken.close()
    bed.start()


def attach_again(bed, link):
    """Takes the container's link away and makes another one; frames go out by it from its first instant."""
    bed.wire.close()
    bed.host.ip(f"link del {bed.link}", *(["link del port0"] if bed.attachment == "bridge" else []))
    stop = threading.Event()

    def send_soon():
        while not stop.is_set():
            try:
                bed.wire._socket = bed.client.packets("eth0")
                return
            except OSError:
                pass
    watcher = threading.Thread(target=send_soon)
    watcher.start()
    try:
        bed.attach(link)
    finally:
        rest(0.3)
        stop.set()
        watcher.join()
    former = bed.wire
    bed.wire = Wire(bed)
    former._socket.close()
    rest(0.2)


@disturbance("a link that comes again", "the container's interface is made anew, and it sends from its first instant",
             only=lambda bed: bed.attachment != "tap", sources=lambda bed: ("own", "forged") if bed.is_pinned else ("own",))
def link_again(bed, stream, report):
    attach_again(bed, "br-mcp")


@disturbance("a link that is found again", "an interface of another name, with forged sources until it is found", is_bounded=True,
             only=lambda bed: bed.attachment != "tap" and not bed.is_pinned, sources=lambda bed: ("forged",))
def link_renamed(bed, stream, report):
    for name in ("br-new", "br-mcp"):
        before = len(stream.leaked())
        attach_again(bed, name)
        report.gap("a new interface", stream, before)


@disturbance("a link without its address", "the host's addresses on the container's link go and come: what is refused must not go by another route",
             sources=lambda bed: ("own", "forged") if bed.is_pinned else ("own",))
def without_address(bed, stream, report):
    for verb in ("del", "add"):
        bed.host.ip(*[f"address {verb} {address} dev br-mcp{' nodad' if verb == 'add' and ':' in address else ''}" for address in bed.own_addresses])
        rest(0.3)
        # A reset and an error about other transports.
        for version in bed.versions:
            there = "45.11.250.2" if version == 4 else "2a10:77::fa:2"
            mark = bed.ledger.begin(stream.kind)
            bed.send(ip(OWN[version], there, TCP, tcp(OWN[version], there, mark * 2)))
        rest(0.1)


@disturbance("foreign flush", "`nft flush ruleset` while the container sends", is_bounded=True)
def flush(bed, stream, report):
    for turn in range(report.flushes):
        before = len(stream.leaked())
        bed.host("nft", "flush", "ruleset")
        eventually("the rules are back", 10, lambda: has_table(bed))
        rest(0.2)
        report.gap("flush ruleset", stream, before)
    bed.publish()


@disturbance("foreign deletion", "`nft delete table inet sluice` while the container sends", is_bounded=True)
def delete(bed, stream, report):
    for turn in range(report.flushes):
        before = len(stream.leaked())
        bed.host("nft", "delete", "table", "inet", "sluice")
        eventually("the rules are back", 10, lambda: has_table(bed))
        rest(0.2)
        report.gap("delete table", stream, before)


def chain(bed):
    """The rules of the forward chain without their counters, or nothing."""
    text = subprocess.run(bed.host.words("nft", "-s", "list", "chain", "inet", "sluice", "forward"), capture_output=True, text=True).stdout
    return re.sub(r"counter( packets \d+ bytes \d+)?", "counter", text)


@disturbance("foreign edits", "chains of the table are flushed, and rules that accept put into them", is_bounded=True)
def edits(bed, stream, report):
    for command in (["flush", "chain", "inet", "sluice", "forward"], ["flush", "table", "inet", "sluice"],
                    ["insert", "rule", "inet", "sluice", "forward", "accept"]) * max(1, report.flushes // 3):
        whole = chain(bed)
        before = len(stream.leaked())
        bed.host("nft", *command)
        eventually(f"the chain is whole again after {' '.join(command[:2])}", 10, lambda: chain(bed) == whole)
        rest(0.1)
        report.gap(" ".join(command[:2]), stream, before)
