"""Programs that ask for a name and connect, each as its users run it: `clients` has the sources of those that are made here."""
import json, os, select, shutil, subprocess, time
from namespaces import *

SOURCES = os.path.join(os.path.dirname(os.path.realpath(__file__)), "clients")
CONNECTED = "connected"
# In a mount namespace of its own, with the three files that say how names are asked for, as in a container.
ENTER = ('for file in resolv.conf nsswitch.conf hosts; do mount --bind "$0/$file" "/etc/$file" || exit; done; exec "$@"')


class Missing(Exception):
    """What a client needs is not on this machine."""


def need(program, package):
    if not shutil.which(program):
        raise Missing(f"there is no {program} (package {package})")


class Program:
    """A process in a container's namespaces that is told "NAME PORT" and answers with a line."""

    def __init__(self, space, folder):
        words = self.words(folder)
        command = ["nsenter", f"--net=/run/netns/{space.name}", "unshare", "--mount", "bash", "-c", ENTER, folder, *words]
        self._errors = open(os.path.join(folder, f"{self.label}.errors"), "w")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                                        cwd=folder, env=dict(os.environ, HOME=folder))
        self._rest = b""

    def ask(self, name, port, seconds):
        """Milliseconds until the program knows, and what its user sees."""
        began = time.monotonic()
        self._write(f"{name} {port}\n".encode())
        message = self._read(b"\n", began + seconds * PATIENCE).decode().strip()
        return round((time.monotonic() - began) * 1000), message.replace(name, "NAME").replace(f":{port}", ":PORT")

    def _write(self, octets):
        self.process.stdin.write(octets)
        self.process.stdin.flush()

    def _read(self, end, deadline):
        while end not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure(f"{self.label} says nothing")
            octets = os.read(self.process.stdout.fileno(), 65536)
            if not octets:
                raise Failure(f"{self.label} ended: {open(self._errors.name).read()[-500:]}")
            self._rest += octets
        line, self._rest = self._rest.split(end, 1)
        return line

    def close(self):
        self.process.kill()
        self.process.wait()
        self._errors.close()


class Glibc(Program):
    label, compiler, package = "glibc", "cc", "gcc"

    def words(self, folder):
        need(self.compiler, self.package)
        made = os.path.join(folder, self.label)
        run(self.compiler, "-O1", "-o", made, os.path.join(SOURCES, "client.c"))
        return [made]


class Musl(Glibc):
    label, compiler, package = "musl", "musl-gcc", "musl-tools"


class Go(Program):
    label = "Go"

    def words(self, folder):
        need("go", "golang-go")
        made = os.path.join(folder, "go-client")
        # Without cgo it is Go's own resolver, whatever the machine has.
        run("go", "build", "-o", made, os.path.join(SOURCES, "client.go"),
            env=dict(os.environ, CGO_ENABLED="0", GOCACHE=os.path.join(folder, "go-cache"), GOFLAGS="-mod=mod", HOME=folder))
        return [made]


class Node(Program):
    label = "Node"

    def words(self, folder):
        need("node", "nodejs")
        return ["node", os.path.join(SOURCES, "client.js")]


class Java(Program):
    label = "Java"

    def words(self, folder):
        need("java", "default-jre-headless")
        need("javac", "default-jdk-headless")
        run("javac", "-d", folder, os.path.join(SOURCES, "Client.java"))
        return ["java", "-XX:TieredStopAtLevel=1", "-cp", folder, "Client"]


class Busybox(Program):
    label = "busybox"

    def words(self, folder):
        need("busybox", "busybox-static")
        return ["busybox", "sh", os.path.join(SOURCES, "client.sh")]


class Chromium(Program):
    """Without a window, led by its debugging protocol: messages of JSON, each with a zero at its end."""
    label = "Chromium"

    def words(self, folder):
        need("chromium", "chromium")
        return ["bash", "-c", 'exec "$@" 3<&0 4>&1 >/dev/null', "bash", "chromium", "--headless", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
                f"--user-data-dir={folder}/chromium", "--remote-debugging-pipe"]

    def __init__(self, space, folder):
        super().__init__(space, folder)
        self._number = 0
        deadline = time.monotonic() + 60 * PATIENCE
        target = self._call(deadline, "Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call(deadline, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def _call(self, deadline, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._write(json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read(b"\0", deadline))
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise Failure(f"{self.label}: {method}: {answer['error']}")
                return answer["result"]

    def ask(self, name, port, seconds):
        began = time.monotonic()
        found = self._call(began + seconds * PATIENCE, "Page.navigate", self._session, url=f"http://{name}:{port}/")
        return round((time.monotonic() - began) * 1000), found.get("errorText", CONNECTED)


ALL = (Glibc, Musl, Go, Node, Java, Busybox, Chromium)
