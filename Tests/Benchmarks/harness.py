"""What compare.py and scale.py share: a namespace, an upstream, servers under test, their cost, and the load."""
import json, os, re, shutil, signal, socket, struct, subprocess, sys, tempfile, time

FOLDER = os.path.dirname(os.path.abspath(__file__))
UPSTREAM, PORT = 5300, 5353
UPSTREAM_APART = "127.1.0.1"  # the same upstream outside 127.0.0.0/16, where clients are: no server's network may hold it
SERVER_CPU, CLIENT_CPU = "0", "1"


def enter_namespace():
    """Starts this script again in a network namespace of its own, with loopback up and 10.0.0.0/8 on it."""
    if os.environ.get("SLUICE_BENCHMARK") != "namespace":
        if os.geteuid() != 0:
            sys.exit("this benchmark needs root: it makes a network namespace of its own")
        environment = dict(os.environ, SLUICE_BENCHMARK="namespace", SWIFT_BACKTRACE="enable=no")
        os.execvpe("unshare", ["unshare", "-n", "--", sys.executable] + sys.argv, environment)
    run("ip", "link", "set", "lo", "up")
    run("ip", "route", "add", "local", "10.0.0.0/8", "dev", "lo")


def run(*command):
    subprocess.run(command, check=True)


class Place:
    """A folder for this run, removed at its end unless KEEP is set, with the load generator and the floor built in it."""

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"sluice-{name}-")
        for program in ("dnsload", "echo"):
            run("gcc", "-O2", "-o", self.file(program), os.path.join(FOLDER, "load", program + ".c"))

    def file(self, name):
        return os.path.join(self.path, name)

    def write(self, name, text):
        path = self.file(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def remove(self):
        if os.environ.get("KEEP"):
            print(f"kept {self.path}", file=sys.stderr)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def query(name, number=1, type=1):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", type, 1)


def ask(name, port=PORT, source="127.0.0.1", wait=1.0):
    """The response code, the number of answer records and their octets; None without an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        client.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
        client.bind((source, 0))
        client.connect(("127.0.0.1", port))
        try:
            client.send(query(name))
            reply = client.recv(4096)
        except OSError:
            return None
    count = reply[6] << 8 | reply[7]
    return reply[3] & 15, count, reply[len(query(name)):]


class Upstream:
    """nsd with a zone of names, each with an address of its own in 45.11.0.0/16 and after."""

    def __init__(self, place, zone, labels):
        text = f"$ORIGIN {zone}.\n$TTL 3600\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 45.10.0.1\n"
        lines = (f"{label} A 45.{11 + (i >> 16)}.{i >> 8 & 255}.{i & 255}\n" for i, label in enumerate(labels))
        place.write("upstream.zone", text + "".join(lines))
        configuration = place.write("nsd.conf", f"""server:
  ip-address: 127.0.0.1@{UPSTREAM}
  ip-address: {UPSTREAM_APART}@{UPSTREAM}
  zonesdir: "{place.path}"
  pidfile: ""
  xfrdfile: "{place.file('xfrd')}"
  username: ""
  chroot: ""
  database: ""
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
zone:
  name: {zone}
  zonefile: upstream.zone
""")
        self.process = subprocess.Popen(
            ["nsd", "-d", "-c", configuration], stdout=subprocess.DEVNULL, stderr=open(place.file("nsd.log"), "w"))
        deadline = time.time() + 60
        while not (reply := ask(f"{labels[0]}.{zone}", UPSTREAM, wait=0.2)) or reply[1] == 0:
            if time.time() > deadline:
                sys.exit(f"nsd does not answer; see {place.file('nsd.log')}")
            time.sleep(0.02)

    def stop(self):
        stop(self.process)


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """A server under test, on a CPU of its own."""

    def __init__(self, place, name, command, first, source="127.0.0.1", cpu=SERVER_CPU, patience=60):
        start = time.perf_counter()
        pinned = ["taskset", "-c", cpu] if cpu else []
        self.name, self.output = name, place.file(name + ".out")
        self.process = subprocess.Popen(pinned + command, stdout=open(self.output, "w"), stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        while not (reply := ask(first, source=source, wait=0.05)) or reply[0] != 0 or reply[1] == 0:
            if time.perf_counter() - start > patience or self.process.poll() is not None:
                self.stop()
                raise RuntimeError(f"{name} did not come up:\n" + open(self.output).read()[-2000:])
            time.sleep(0.001)
        self.start_ms = (time.perf_counter() - start) * 1000

    def processes(self):
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    parent = int(open(f"/proc/{entry}/stat").read().rsplit(")", 1)[1].split()[1])
                    children.setdefault(parent, []).append(int(entry))
                except OSError:
                    pass
        found, pending = [], [self.pid]
        while pending:
            pid = pending.pop()
            found.append(pid)
            pending += children.get(pid, [])
        return found

    def threads(self):
        for pid in self.processes():
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    yield f"/proc/{pid}/task/{task}"
            except OSError:
                pass

    def cpu(self):
        """Microseconds on a CPU, of all threads of all its processes."""
        return sum(int(open(task + "/schedstat").read().split()[0]) for task in self.threads()) / 1000

    def wakeups(self):
        """How often a thread of it was switched to."""
        return sum(int(open(task + "/schedstat").read().split()[2]) for task in self.threads())

    def memory(self):
        """MiB, proportional share."""
        sizes = (re.search(r"^Pss:\s+(\d+)", open(f"/proc/{pid}/smaps_rollup").read(), re.M) for pid in self.processes())
        return sum(int(size[1]) for size in sizes if size) / 1024

    def resident(self):
        """MiB of the process that was started, with what it shares."""
        status = open(f"/proc/{self.pid}/status").read()
        return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]) / 1024

    def stop(self):
        stop(self.process)


def load(place, *arguments, cpu=CLIENT_CPU):
    """Runs the load generator to its end; its report."""
    return result(load_later(place, *arguments, cpu=cpu))


def result(running):
    """The report of a load; RuntimeError when the server would not go on."""
    output, _ = running.communicate()
    if running.returncode != 0:
        raise RuntimeError("the load generator gave up: see what it says above")
    return json.loads(output)


def load_later(place, *arguments, cpu=CLIENT_CPU):
    command = ["taskset", "-c", cpu] if cpu else []
    command += [place.file("dnsload"), "-p", str(PORT)] + [str(argument) for argument in arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def measure(place, server, *arguments):
    """A load against a server: the generator's report with the server's CPU microseconds for each answer."""
    before = server.cpu()
    report = load(place, *arguments)
    report["us"] = (server.cpu() - before) / max(report["answered"], 1)
    return report


def machine():
    model = re.search(r"model name\s*:\s*(.*)", open("/proc/cpuinfo").read())
    return f"{model[1] if model else 'unknown CPU'}, {os.cpu_count()} CPUs, Linux {os.uname().release}"
