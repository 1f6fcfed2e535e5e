"""An add-on of mitmproxy that judges what Sluice's gate sends it: which methods and paths of a host may be asked for, which header
fields leave, and what bodies hold. What it finds it tells Sluice, which has it in its log and cuts the connection.

  mitmdump --mode regular --listen-host 127.0.0.1 --set connection_strategy=lazy --set rawtcp=false --set websocket=false \\
    -s inspect.py --set rules=rules.json --set findings=/run/sluice/findings.sock

It resolves nothing: the gate says CONNECT with the address that Sluice opened, and mitmproxy takes the name from the hello, by which it
verifies the certificate of whoever answers there. What is no HTTP is refused."""
import csv, io, json, re, socket, typing
from http.client import HTTPConnection
from mitmproxy import ctx, http, tcp

# What must not leave, and what people would rather not see leave. Each has its name in the finding's `evidence`.
CREDENTIALS = {
    "private-key": rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "aws-key": rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "github-token": rb"\bgh[pousr]_[A-Za-z0-9]{36,}|\bgithub_pat_[A-Za-z0-9_]{40,}",
    "slack-token": rb"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
    "google-key": rb"\bAIza[0-9A-Za-z_-]{35}\b",
    "jwt": rb"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
}
CREDENTIALS = {name: re.compile(pattern) for name, pattern in CREDENTIALS.items()}
CARD = re.compile(rb"\b(?:\d[ -]?){13,19}\b")
ADDRESS = re.compile(rb"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}\b")
# So many addresses of people are a list of them, and so many records a table.
ADDRESSES, RECORDS = 10, 50


def masked(octets: bytes) -> str:
    """As much of a secret as tells which one it is: its first four characters, and how many follow."""
    text = octets.decode("ascii", "replace")
    return f"{text[:4]}*** ({len(text)})"


def is_card(octets: bytes) -> bool:
    """Whether digits are a card's number, by its check digit (Luhn)."""
    digits = [octet - 48 for octet in octets if 48 <= octet < 58]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 3:
        return False
    doubled = [2 * digit - 9 * (digit > 4) if place % 2 else digit for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def records(octets: bytes, kind: str) -> int:
    """How many records a body holds that is a table or a list."""
    try:
        if "json" in kind or octets[:1] in (b"[", b"{"):
            return longest(json.loads(octets))
        lines = [line for line in io.StringIO(octets.decode()) if line.strip()]
        if "csv" in kind and lines:
            return len(lines) - 1
        widths = {len(row) for row in csv.reader(lines)}
        return len(lines) - 1 if len(widths) == 1 and widths.pop() > 2 else 0
    except (ValueError, csv.Error, RecursionError):
        return 0


def longest(value: typing.Any, depth: int = 8) -> int:
    """The longest list of objects or lists within a value."""
    if isinstance(value, dict):
        return max((longest(inner, depth - 1) for inner in value.values()), default=0) if depth else 0
    if not isinstance(value, list):
        return 0
    own = len(value) if value and all(isinstance(one, (dict, list)) for one in value) else 0
    return max([own] + ([longest(inner, depth - 1) for inner in value[:1_000]] if depth else []))


def findings(octets: bytes, kind: str) -> typing.Iterator[tuple[str, str]]:
    """What a body holds: of each kind one, with evidence that may stand in a log."""
    for name, pattern in CREDENTIALS.items():
        if found := pattern.search(octets):
            yield "credentials", f"{name} {masked(found.group())}"
            break
    cards = [found.group() for found in CARD.finditer(octets) if is_card(found.group())]
    people = set(ADDRESS.findall(octets))
    if cards:
        yield "personal-data", f"card {masked(cards[0])}"
    elif len(people) >= ADDRESSES:
        yield "personal-data", f"{len(people)} mail addresses, {masked(min(people))}"
    if (count := records(octets, kind)) >= RECORDS:
        yield "structured-data", f"{count} records"


class FindingSocket(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str):
        super().__init__("sluice", timeout=2)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Inspection:
    def __init__(self) -> None:
        self.rules: dict = {"hosts": {}, "findings": {}}
        # What the gate said of each connection, as long as that lives.
        self.known: dict[str, dict[str, str]] = {}

    def load(self, loader) -> None:
        loader.add_option("rules", str, "rules.json", "What hosts may be asked for.")
        loader.add_option("findings", str, "/run/sluice/findings.sock", "Sluice's socket for findings.")

    def configure(self, updated) -> None:
        if "rules" in updated:
            with open(ctx.options.rules) as file:
                self.rules = json.load(file)

    # The gate's CONNECT; mitmproxy has one such flow for each connection.
    def http_connect(self, flow: http.HTTPFlow) -> None:
        fields = {key: flow.request.headers.get(f"Sluice-{key}", "") for key in ["Name", "Server", "Connection"]}
        if not fields["Connection"] or fields["Name"] not in self.rules["hosts"]:
            flow.response = http.Response.make(403, b"not by this proxy\n")
            return
        self.known[flow.client_conn.id] = fields

    def client_disconnected(self, client) -> None:
        self.known.pop(client.id, None)

    def request(self, flow: http.HTTPFlow) -> None:
        fields = self.known.get(flow.client_conn.id)
        if fields is None:
            flow.response = http.Response.make(403, b"not by this proxy\n")
            return
        body = flow.request.get_content(strict=False) or b""
        if reason := self.refusal(flow, fields["Name"]):
            return self.block(flow, *reason, len(body))
        for field in self.rules["hosts"][fields["Name"]].get("strip", []):
            flow.request.headers.pop(field, None)
        # What stands in the target leaves as well as what stands in the body.
        target = flow.request.path.encode()
        octets = len(target) + len(body)
        for part, media in [(target, ""), (body, flow.request.headers.get("content-type", ""))]:
            for kind, evidence in findings(part, media):
                if self.rules["findings"].get(kind, "flag") == "block":
                    return self.block(flow, kind, evidence, octets)
                self.tell(flow, kind, evidence, "flag", octets)

    def refusal(self, flow: http.HTTPFlow, name: str) -> typing.Optional[tuple[str, str]]:
        """Why a request may not be made at all: what is wrong with it, and evidence."""
        rule = self.rules["hosts"][name]
        # The name in the hello, in the Host, and in the target where that is a whole URL.
        said = [flow.client_conn.sni or "", flow.request.host_header or ""] + [flow.request.authority] * bool(flow.request.authority)
        for host in said:
            if host.lower().removesuffix(":443") != name:
                return "other-host", host[:100]
        if "upgrade" in flow.request.headers:
            return "upgrade", flow.request.headers["upgrade"][:50]
        if flow.request.method not in rule["methods"]:
            return "method", flow.request.method[:20]
        path = flow.request.path.split("?")[0]
        if "/../" in path + "/" or "%2e" in path.lower() or "%2f" in path.lower() or not any(
            path == allowed or path.startswith(allowed if allowed.endswith("/") else allowed + "/")
            for allowed in rule["paths"]
        ):
            return "path", path[:100]
        return None

    def block(self, flow: http.HTTPFlow, kind: str, evidence: str, octets: int) -> None:
        self.tell(flow, kind, evidence, "block", octets)
        # Whatever Sluice made of it: this request goes nowhere.
        flow.response = http.Response.make(403, f"refused by the inspector: {kind}\n".encode())

    def tell(self, flow: http.HTTPFlow, kind: str, evidence: str, action: str, octets: int) -> None:
        fields = self.known.get(flow.client_conn.id, {})
        finding = {"connection": fields.get("Connection", ""), "kind": kind, "action": action, "evidence": evidence,
                   "octets": octets}
        try:
            link = FindingSocket(ctx.options.findings)
            link.request("POST", "/v1/findings", json.dumps(finding), {"content-type": "application/json"})
            answer = link.getresponse()
            text = answer.read().decode()
            link.close()
            if answer.status != 201:
                ctx.log.error(f"a finding was not taken ({answer.status}): {text}")
        except OSError as error:
            ctx.log.error(f"a finding could not be told: {error}")

    # Octets within TLS that are no HTTP, if an option lets them come here all the same.
    def tcp_start(self, flow: tcp.TCPFlow) -> None:
        flow.kill()


addons = [Inspection()]
