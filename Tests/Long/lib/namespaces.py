"""Network namespaces of this run, and sockets opened in them."""
import ctypes, fcntl, os, socket, struct, subprocess, threading, time

CLONE_NEWNET = 0x40000000
_thread = threading.local()
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something that a run needs did not come about."""


def run(*words, **more):
    """The output of a command that must succeed."""
    result = subprocess.run(words, stdin=more.pop("stdin", subprocess.DEVNULL) if "input" not in more else None,
                            capture_output=True, text=True, **more)
    if result.returncode != 0:
        raise Failure(f"{' '.join(words)}: {result.stdout}{result.stderr}")
    return result.stdout


def eventually(what, seconds, condition):
    """Polls until the condition gives something true, and returns it."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds * PATIENCE:.0f} s: {what}")
        time.sleep(0.01)


# Deadlines are this many times longer where a machine is emulated.
PATIENCE = float(os.environ.get("SLUICE_PATIENCE", "1"))


def end(process):
    """Asks a process to end, and ends it after ten seconds."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Namespace:
    def __init__(self, name):
        self.name = name
        run("ip", "netns", "add", name)
        self._descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
        self("sysctl", "-q", "-w", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.all.accept_dad=0")
        self.ip("link set lo up")

    def __call__(self, *words, **more):
        """Runs a command in the namespace."""
        return run("ip", "netns", "exec", self.name, *words, **more)

    def words(self, *words):
        return ["ip", "netns", "exec", self.name, *words]

    def ip(self, *lines):
        """Lines for `ip`, all at once."""
        run("ip", "-n", self.name, "-batch", "-", input="\n".join(lines) + "\n")

    def sysctl(self, *settings):
        self("sysctl", "-q", "-w", *settings)

    def nft(self, text):
        self("nft", "-f", "-", input=text)

    def __enter__(self):
        """The calling thread is in the namespace until the block ends."""
        # Each thread has a namespace of its own.
        _thread.outer = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._enter(self._descriptor)
        return self

    def __exit__(self, *_):
        self._enter(_thread.outer)
        os.close(_thread.outer)

    @staticmethod
    def _enter(descriptor):
        if _libc.setns(descriptor, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def socket(self, family, kind, protocol=0):
        with self:
            return socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)

    def packets(self, interface):
        """A socket for whole frames of an interface."""
        frames = self.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        frames.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        frames.bind((interface, 3))
        return frames

    def tap(self, name):
        """A tap device; its descriptor reads and writes frames."""
        with self:
            descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            fcntl.ioctl(descriptor, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1002))  # TUNSETIFF: IFF_TAP | IFF_NO_PI
        return descriptor

    def mac(self, interface):
        return bytes.fromhex(self("cat", f"/sys/class/net/{interface}/address").strip().replace(":", ""))

    def delete(self):
        os.close(self._descriptor)
        pids = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split()
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except (OSError, ValueError):
                pass
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)
