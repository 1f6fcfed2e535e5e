"""Zones that Debian's tools signed, and Debian's servers that have them."""
import base64, os, random, re, shutil, subprocess, time
from namespaces import *
from peers import Missing, ORIGIN
import dns

DAY = 86_400
HEAD = "$ORIGIN {0}\n$TTL 60\n@ IN SOA ns.example. h.example. 1 3600 600 86400 60\n@ IN NS ns.example.\n"


class Zone:
    """What a zone holds, and how it is signed: from when to when (days from now), by NSEC or NSEC3, with which algorithm."""

    def __init__(self, name, records="", days=(-1, 7), nsec3=None, opt_out=False, algorithm=13, more_keys=0):
        self.name, self.records, self.days, self.nsec3, self.opt_out = name, records, days, nsec3, opt_out
        self.algorithm, self.more_keys = algorithm, more_keys
        self.signed, self.delegation = None, ""

    @property
    def text(self):
        return HEAD.format(self.name) + self.records

    @property
    def file(self):
        return "root" if self.name == "." else self.name.rstrip(".")


def key_tag(data):
    """Of a key's data (RFC 4034 appendix B)."""
    total = sum(octet << 8 if at % 2 == 0 else octet for at, octet in enumerate(data))
    return total + (total >> 16) & 0xFFFF


def is_point(key):
    """Whether 32 octets are a key of Ed25519 (RFC 8032 section 5.1.3): what is none is found out before it costs anything."""
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime)
    y = int.from_bytes(key, "little") & (1 << 255) - 1
    return y < prime and pow((y * y - 1) * (d * y * y + 1), (prime - 1) // 2, prime) in (0, 1)


def colliding_keys(data, count):
    """Data of keys of Ed25519 with the same tag."""
    chance, wanted, found = random.Random(7), key_tag(data), []
    while len(found) < count:
        other = bytearray(data[:4] + chance.randbytes(len(data) - 4))
        other[-2:] = b"\0\0"
        other[-2:] = (wanted - key_tag(other) & 0xFFFF).to_bytes(2, "big")
        if key_tag(other) == wanted and is_point(other[4:]):
            found.append(bytes(other))
    return found


class Signer:
    """Signs zones in a folder of its own, each with one key."""
    # Of the key that it adds: a set of records has one.
    key_ttl = 60

    def __init__(self, folder):
        if not shutil.which(self.program):
            raise Missing(f"there is no {self.program} (package {self.package})")
        self.folder = os.path.join(folder, self.label)
        os.makedirs(self.folder)

    def sign(self, zone):
        """Sets what the zone's file is then, and what its parent has of it."""
        self.write(zone.file, zone.text)
        zone.signed, zone.delegation = self._sign(zone)

    def write(self, file, text):
        with open(os.path.join(self.folder, file), "w") as output:
            output.write(text)

    def read(self, file):
        with open(os.path.join(self.folder, file)) as source:
            return source.read()

    def _more_keys(self, zone, key):
        """Adds keys with the tag of the one that signs."""
        words = self.read(f"{key}.key").split("DNSKEY")[1].split(";")[0].split()
        data = int(words[0]).to_bytes(2, "big") + bytes([int(words[1]), int(words[2])]) + base64.b64decode("".join(words[3:]))
        with open(os.path.join(self.folder, zone.file), "a") as output:
            for other in colliding_keys(data, zone.more_keys) if zone.more_keys else ():
                output.write(f"@ {self.key_ttl} IN DNSKEY {words[0]} 3 {zone.algorithm} {base64.b64encode(other[4:]).decode()}\n")

    @staticmethod
    def date(days):
        return time.strftime("%Y%m%d%H%M%S", time.gmtime(time.time() + days * DAY))


class LDNS(Signer):
    label, program, package, algorithms = "ldns", "ldns-signzone", "ldnsutils", {13: "ECDSAP256SHA256", 15: "ED25519", 16: "ED448"}
    key_ttl = 3600

    def _sign(self, zone):
        key = run("ldns-keygen", "-r", "/dev/urandom", "-a", self.algorithms[zone.algorithm], "-k", zone.name, cwd=self.folder).strip()
        self._more_keys(zone, key)
        denial = [] if zone.nsec3 is None else ["-n", "-t", str(zone.nsec3)] + ["-p"] * zone.opt_out
        run("ldns-signzone", *denial, "-o", zone.name, "-i", self.date(zone.days[0]), "-e", self.date(zone.days[1]), "-f", f"{zone.file}.signed",
            zone.file, key, cwd=self.folder)
        return self.read(f"{zone.file}.signed"), self.read(f"{key}.ds")


class BIND(Signer):
    label, program, package, algorithms = "bind9", "dnssec-signzone", "bind9-utils", {13: "ECDSAP256SHA256", 15: "ED25519", 16: "ED448"}

    def _sign(self, zone):
        key = run("dnssec-keygen", "-q", "-a", self.algorithms[zone.algorithm], "-f", "KSK", "-n", "ZONE", zone.name, cwd=self.folder).strip()
        self._more_keys(zone, key)
        with open(os.path.join(self.folder, zone.file), "a") as output:
            output.write(self.read(f"{key}.key"))
        denial = [] if zone.nsec3 is None else ["-3", "-", "-H", str(zone.nsec3)] + ["-A"] * zone.opt_out
        run("dnssec-signzone", "-z", "-P", "-O", "full", *denial, "-o", zone.name, "-s", self.date(zone.days[0]), "-e", self.date(zone.days[1]),
            "-f", f"{zone.file}.signed", zone.file, key, cwd=self.folder)
        return self.read(f"{zone.file}.signed"), run("dnssec-dsfromkey", "-2", key, cwd=self.folder)


class Knot(Signer):
    label, program, package, algorithms = "knot", "kzonesign", "knot-dnssecutils", {13: "ecdsap256sha256", 15: "ed25519", 16: "ed448"}

    def _sign(self, zone):
        if zone.more_keys:
            raise Missing("it signs no keys but its own")
        for folder in ("keys", "out"):
            os.makedirs(os.path.join(self.folder, zone.file + ".d", folder))
        lifetime = zone.days[1] - zone.days[0]
        self.write(zone.file + ".conf", f"""server:
  rundir: {self.folder}
database:
  storage: {self.folder}/{zone.file}.d/keys
policy:
  - id: p
    algorithm: {self.algorithms[zone.algorithm]}
    single-type-signing: on
    nsec3: {'off' if zone.nsec3 is None else 'on'}
    nsec3-iterations: {zone.nsec3 or 0}
    nsec3-salt-length: 0
    nsec3-opt-out: {'on' if zone.opt_out else 'off'}
    rrsig-lifetime: {lifetime}d
    rrsig-refresh: 1h
    rrsig-pre-refresh: 1
    propagation-delay: 0
    dnskey-ttl: 60
    zone-max-ttl: 60
    cds-cdnskey-publish: none
zone:
  - domain: {zone.name}
    file: {self.folder}/{zone.file}
    dnssec-signing: on
    dnssec-policy: p
    zonefile-load: whole
    journal-content: none
""")
        configuration = os.path.join(self.folder, zone.file + ".conf")
        out = os.path.join(self.folder, zone.file + ".d", "out")
        # A minute ago, as it takes inceptions to lie behind.
        run("kzonesign", "-c", configuration, "-o", out, "-t", str(int(time.time() + zone.days[0] * DAY)), zone.name)
        files = os.listdir(out)
        with open(os.path.join(out, files[0])) as source:
            return source.read(), run("keymgr", "-c", configuration, zone.name, "ds")


class Server:
    """An authoritative server at the internet's address, with zones in a folder."""

    def __init__(self, bed, zones):
        if not shutil.which(self.program):
            raise Missing(f"there is no {self.program} (package {self.package})")
        self.folder = os.path.join(bed.folder, self.label + "-server")
        os.makedirs(self.folder)
        os.chmod(self.folder, 0o777)
        for zone in zones:
            with open(os.path.join(self.folder, zone.file), "w") as output:
                output.write(zone.signed)
        file = os.path.join(self.folder, "conf")
        with open(file, "w") as output:
            output.write(self.settings(zones))
        self.log = os.path.join(self.folder, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(bed.net.words(*self.words(file)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)

        def answers():
            if self.process.poll() is not None:
                raise Failure(f"{self.label} ended: {open(self.log).read()[-3000:]}")
            try:
                replies = dns.Asker(bed.net, (ORIGIN, 53)).ask([(zone.name, dns.TYPES["SOA"]) for zone in zones])
            except ConnectionRefusedError:
                return False
            return all(reply and reply.rcode == "NOERROR" and reply.records for reply in replies)
        # A server may answer for one zone while it still reads another.
        eventually(f"{self.label} answers for each zone", 30, answers)

    def close(self):
        end(self.process)


class NSD(Server):
    label, program, package = "nsd", "nsd", "nsd"

    def settings(self, zones):
        return f"""server:
  ip-address: {ORIGIN}
  username: ""
  chroot: ""
  zonesdir: "{self.folder}"
  database: ""
  pidfile: "{self.folder}/pid"
  xfrdfile: "{self.folder}/xfrd"
  zonelistfile: "{self.folder}/list"
  server-count: 1
  rrl-ratelimit: 0
remote-control:
  control-enable: no
""" + "".join(f'zone:\n  name: "{zone.name}"\n  zonefile: "{zone.file}"\n' for zone in zones)

    def words(self, file):
        return ["nsd", "-d", "-c", file]


class Named(Server):
    label, program, package = "bind9", "named", "bind9"

    def settings(self, zones):
        return f"""options {{
  directory "{self.folder}"; pid-file none; session-keyfile none; listen-on {{ {ORIGIN}; }}; listen-on-v6 {{ none; }};
  recursion no; allow-query {{ any; }}; dnssec-validation no; empty-zones-enable no; check-integrity no; minimal-responses yes;
  max-records-per-type 0; max-types-per-name 0;
}};
controls {{ }};
""" + "".join(f'zone "{zone.name}" {{ type primary; file "{zone.file}"; check-names ignore; }};\n' for zone in zones)

    def words(self, file):
        return ["named", "-g", "-n", "1", "-c", file]


class Knotd(Server):
    label, program, package = "knot", "knotd", "knot"

    def settings(self, zones):
        return f"""server:
  rundir: {self.folder}
  listen: {ORIGIN}@53
database:
  storage: {self.folder}/db
template:
  - id: default
    storage: {self.folder}
    semantic-checks: off
    zonefile-sync: -1
    journal-content: none
log:
  - target: stderr
    any: warning
zone:
""" + "".join(f'  - domain: "{zone.name}"\n    file: {zone.file}\n' for zone in zones)

    def words(self, file):
        return ["knotd", "-c", file]


PAIRS = ((LDNS, NSD), (BIND, Named), (Knot, Knotd))


def forge(zone, change):
    """Changes lines of a signed zone."""
    zone.signed = "".join(change(line) for line in zone.signed.splitlines(True))


def with_other_address(zone, former, new):
    forge(zone, lambda line: re.sub(rf"\b{re.escape(former)}\b", new, line))


def with_wrong_signatures(zone, owner, count):
    """Adds to the signature of a name's address others that are made up."""
    chance = random.Random(11)

    def change(line):
        words = line.split()
        if not words or words[0].rstrip(".") != owner or "RRSIG" not in words or words[words.index("RRSIG") + 1] != "A":
            return line
        # Behind the signer's name stands the signature, in one piece or in several.
        head = words[:words.index("RRSIG") + 9]
        length = len(base64.b64decode("".join(words[len(head):])))
        return "".join(" ".join(head + [base64.b64encode(chance.randbytes(length)).decode()]) + "\n" for _ in range(count))
    forge(zone, change)
