"""Other makers' servers as upstreams of Sluice, each with the least configuration that it needs; behind all of them is nsd."""
import os, shutil, socket, ssl, subprocess, threading
from namespaces import *
import dns, http2

# What certificates are for.
TLS_NAME = "dns.example.net"
ORIGIN = "192.0.2.54"
# Where messages are posted.
PATH = "/dns-query"
PORTS = {"tls": 853, "https": 443}


def upstream(scheme, address, port=None):
    """As Sluice's configuration has it."""
    place = address + (f":{port}" if port else "")
    return f"{scheme}://{place}" + (PATH if scheme == "https" else "") + (f"#{TLS_NAME}" if scheme in PORTS else "")


class Missing(Exception):
    """What a peer needs is not on this machine."""


class Peer:
    """A server in the internet's namespace, at an address of its own: port 53, and that of TLS or HTTPS where it has that."""
    # How Sluice asks it; and whether it has a port 53 of its own, at which it is asked directly.
    scheme, own_port = "tls", True

    def __init__(self, bed, address, identity):
        self.bed, self.address, self.identity = bed, address, identity
        if not shutil.which(self.program):
            raise Missing(f"there is no {self.program} (package {self.package})")
        self.folder = os.path.join(bed.folder, self.label.replace(" ", "-"))
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)
        self.file = os.path.join(self.folder, "conf")
        with open(self.file, "w") as output:
            output.write(self.settings())
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(bed.net.words(*self.words()), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        try:
            eventually(f"{self.label} listens", 20, self._listens)
        except Failure:
            self.close()
            raise

    @property
    def upstream(self):
        return upstream(self.scheme, self.address)

    @property
    def has_tls(self):
        return self.scheme in PORTS

    @property
    def direct(self):
        return (self.address if self.own_port else ORIGIN, 53)

    def _listens(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.label} ended: {open(self.log).read()[-2000:]}")
        for port in ([PORTS[self.scheme]] if self.has_tls else []) + ([53] if self.own_port else []):
            with self.bed.host.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
                connection.settimeout(1)
                if connection.connect_ex((self.address, port)) != 0:
                    return False
        return bool(dns.Asker(self.bed.net, self.direct).ask([("ns", 1)])[0])

    def close(self):
        end(self.process)


class Unbound(Peer):
    label, program, package = "unbound by TLS", "unbound", "unbound"

    def settings(self):
        return f"""server:
  interface: {self.address}@53
  interface: {self.address}@853
  tls-port: 853
  tls-service-key: "{self.identity.key}"
  tls-service-pem: "{self.identity.certificate}"
  access-control: 0.0.0.0/0 allow
  module-config: "iterator"
  num-threads: 1
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: "{self.folder}/pid"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: {ORIGIN}
"""

    def words(self):
        return ["unbound", "-d", "-c", self.file]


class UnboundByUDP(Unbound):
    label, scheme = "unbound by UDP", "udp"


class UnboundByTCP(Unbound):
    label, scheme = "unbound by TCP", "tcp"


class KnotResolver(Peer):
    label, program, package = "knot-resolver by TLS", "kresd", "knot-resolver"

    def settings(self):
        return f"""net.listen('{self.address}', 53, {{ kind = 'dns' }})
net.listen('{self.address}', 853, {{ kind = 'tls' }})
net.tls('{self.identity.certificate}', '{self.identity.key}')
trust_anchors.remove('.')
cache.open(20 * MB, 'lmdb://{self.folder}/cache')
cache.min_ttl(0)
policy.add(policy.all(policy.STUB('{ORIGIN}')))
"""

    def words(self):
        return ["kresd", "-n", "-c", self.file, self.folder]


class Dnsdist(Peer):
    label, program, package = "dnsdist by TLS", "dnsdist", "dnsdist"

    def settings(self):
        return f"""setLocal("{self.address}:53")
{self.listener()}
setACL("0.0.0.0/0")
setSecurityPollSuffix("")
newServer({{ address = "{ORIGIN}:53", healthCheckMode = "up" }})
"""

    def words(self):
        return ["dnsdist", "--supervised", "--disable-syslog", "-C", self.file]

    def listener(self):
        return f'addTLSLocal("{self.address}:853", "{self.identity.certificate}", "{self.identity.key}")'


class DnsdistByHTTPS(Dnsdist):
    label, scheme = "dnsdist by HTTPS", "https"

    def listener(self):
        return f'addDOHLocal("{self.address}:443", "{self.identity.certificate}", "{self.identity.key}", "{PATH}")'


class Bind(Peer):
    label, program, package = "bind9 by TLS", "named", "bind9"

    def settings(self):
        tls = f"""tls local {{ cert-file "{self.identity.certificate}"; key-file "{self.identity.key}"; }};
""" if self.has_tls else ""
        return tls + f"""options {{
  directory "{self.folder}"; pid-file none; session-keyfile none;
  listen-on {{ {self.address}; }}; listen-on-v6 {{ none; }};
  {f"listen-on port 853 tls local {{ {self.address}; }};" if self.has_tls else ""}
  forwarders {{ {ORIGIN}; }}; forward only; recursion yes; allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no;
}};
controls {{ }};
"""

    def words(self):
        return ["named", "-g", "-n", "1", "-c", self.file]


class BindByUDP(Bind):
    label, scheme = "bind9 by UDP", "udp"


class NSD(Peer):
    """The one that is behind all of them."""
    label, program, package, scheme = "nsd by UDP", "nsd", "nsd", "udp"

    def __init__(self, bed, address, identity):
        self.bed, self.address = bed, ORIGIN
        if not shutil.which(self.program):
            raise Missing("there is no nsd (package nsd)")

    def close(self):
        pass


class NSDByTCP(NSD):
    label, scheme = "nsd by TCP", "tcp"


class Stunnel(Peer):
    label, program, package, own_port = "nsd behind stunnel4", "stunnel4", "stunnel4", False

    def settings(self):
        return "foreground = yes\npid =\n" + stunnel_service("dns", f"{self.address}:853", self.identity)

    def words(self):
        return ["stunnel4", self.file]


def stunnel_service(label, accept, identity, more=""):
    return f"[{label}]\naccept = {accept}\nconnect = {ORIGIN}:53\ncert = {identity.certificate}\nkey = {identity.key}\n{more}"


ALL = (Unbound, UnboundByUDP, UnboundByTCP, KnotResolver, Dnsdist, DnsdistByHTTPS, Bind, BindByUDP, NSD, NSDByTCP, Stunnel)


class Cutter:
    """Answers by TLS with the first half of a message and ends the connection: below TLS, or within it."""
    protocols = []

    def __init__(self, bed, port, identity, says_farewell):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(identity.certificate, identity.key)
        if self.protocols:
            self.context.set_alpn_protocols(self.protocols)
        self.says_farewell, self.asked = says_farewell, 0
        self.listener = bed.net.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((ORIGIN, port))
        self.listener.listen(16)
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            try:
                raw.settimeout(5)
                session = self.context.wrap_socket(raw, server_side=True)
                self.begin(session)
                if self.says_farewell:
                    session.unwrap()
                session.close()
            except OSError:
                raw.close()

    def begin(self, session):
        message = session.recv(4096)[2:]
        self.asked += 1
        session.sendall((len(message) + 16).to_bytes(2, "big") + self.half(message))

    @staticmethod
    def half(message):
        return (message[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + message[12:])[:len(message) // 2]

    def close(self):
        self.listener.close()


class HTTPCutter(Cutter):
    """The same by HTTPS, in the middle of a frame."""
    protocols = ["h2"]

    def begin(self, session):
        for request in http2.Connection(session).requests():
            self.asked += 1
            room = len(request.body) + 16
            session.sendall(http2.answer(request.stream, bytes(room))[:-room] + self.half(request.body))
            return
