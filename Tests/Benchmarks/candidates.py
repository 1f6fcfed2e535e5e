"""The servers that compare.py puts side by side, each configured as an allowlist: the names given are forwarded to the
upstream and cached, every other name is NXDOMAIN. One thread answers in each. A candidate returns its command line."""
import os, shutil, subprocess, textwrap
from harness import PORT, UPSTREAM, UPSTREAM_APART

CANDIDATES = {}


def candidate(program):
    def add(function):
        CANDIDATES[function.__name__.replace("_", "-")] = (program, function)
        return function
    return add


def write(place, name, text):
    return place.write(name, textwrap.dedent(text))


@candidate("gcc")
def floor(place, names, options):
    return [place.file("echo"), str(PORT)]


def configure(place, names, name, options, firewall):
    log = place.file(name + "-log")
    shutil.rmtree(log, ignore_errors=True)
    os.mkdir(log)
    networks = "[ 127.0.0.0/16 ]"
    place.write(name + "-policy.yaml",
                f"server: bench\nnetworks: {networks}\negress:\n" + "".join(f"  - {n}\n" for n in names))
    return ["serve", "--config", write(place, name + ".yaml", f"""
        listen: [ "127.0.0.1:{PORT}" ]
        upstreams: [ "udp://{UPSTREAM_APART}:{UPSTREAM}" ]
        policies: {name}-policy.yaml
        firewall: {firewall}
        audit: {{ path: {log}/audit.jsonl }}
        state: {log}/state
        control: {log}/control.sock
        workers: 1
        user: root
        """)]


@candidate(None)
def sluice(place, names, options):
    return [options.sluice] + configure(place, names, "sluice", options, '{ mode: "off" }')


@candidate("nft")
def sluice_nft(place, names, options):
    # Tables of the user's own: its managed rules would fence the clients on loopback off from everything else.
    script = """add table inet bench
    flush table inet bench
    add set inet bench bench-4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
    add set inet bench bench-6 { type ipv6_addr . inet_proto . inet_service; flags timeout; }
    """
    subprocess.run(["nft", "-f", "-"], input=script, text=True, check=True)
    return [options.sluice] + configure(place, names, "sluice-nft", options, "{ mode: sets, table: inet bench }")


def older(command, options):
    """The same by the executable of --former, which may know no `state:` yet."""
    with open(command[-1]) as file:
        lines = [line for line in file if not line.startswith("state:")]
    with open(command[-1], "w") as file:
        file.writelines(lines)
    return [options.former] + command[1:]


@candidate(None)
def former(place, names, options):
    return older(sluice(place, names, options), options)


@candidate("nft")
def former_nft(place, names, options):
    return older(sluice_nft(place, names, options), options)


@candidate("dnsmasq")
def dnsmasq(place, names, options, extra=""):
    path = write(place, "dnsmasq.conf", f"""
        no-daemon
        no-resolv
        no-hosts
        no-poll
        port={PORT}
        listen-address=127.0.0.1
        bind-interfaces
        cache-size=20000
        user=root
        address=/#/
        """)
    with open(path, "a") as file:
        file.write(extra + "".join(f"server=/{n}/127.0.0.1#{UPSTREAM}\n" for n in names))
    return ["dnsmasq", "-C", path, "-x", ""]


@candidate("dnsmasq")
def dnsmasq_nftset(place, names, options):
    subprocess.run(["nft", "add table inet peers; add set inet peers dm { type ipv4_addr; flags timeout; timeout 1h; }"], check=True)
    return dnsmasq(place, names, options, f"nftset=/{names[0].split('.', 1)[1]}/4#inet#peers#dm\n")


@candidate("unbound")
def unbound(place, names, options):
    path = write(place, "unbound.conf", f"""
        server:
          interface: 127.0.0.1@{PORT}
          username: ""
          chroot: ""
          directory: "{place.path}"
          pidfile: ""
          do-daemonize: no
          use-syslog: no
          num-threads: 1
          so-reuseport: no
          do-not-query-localhost: no
          msg-cache-size: 64m
          rrset-cache-size: 128m
          module-config: "iterator"
          access-control: 127.0.0.0/8 allow
          local-zone: "." always_nxdomain
        """)
    with open(path, "a") as file:
        file.write("server:\n" + "".join(f'  local-zone: "{n}." always_transparent\n' for n in names))
        file.write(f'forward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@{UPSTREAM}\nremote-control:\n  control-enable: no\n')
    return ["unbound", "-d", "-c", path]


@candidate("kresd")
def knot_resolver(place, names, options):
    place.write("kresd.names", "\n".join(names) + "\n")
    os.makedirs(place.file("kresd"), exist_ok=True)
    path = write(place, "kresd.conf", f"""
        net.listen('127.0.0.1', {PORT}, {{ kind = 'dns' }})
        modules = {{ 'policy' }}
        trust_anchors.remove('.')
        cache.size = 100 * MB
        log_level('crit')
        local names = {{}}
        for line in io.lines('{place.file("kresd.names")}') do names[#names + 1] = todname(line) end
        policy.add(policy.suffix(policy.STUB('127.0.0.1@{UPSTREAM}'), names))
        policy.add(policy.all(policy.DENY))
        """)
    return ["kresd", "-c", path, "-n", place.file("kresd")]


def response_policy_zone(names):
    return ("$TTL 300\n@ SOA ns. h. 1 3600 600 86400 300\n@ NS ns.\n"
            + "".join(f"{n} CNAME rpz-passthru.\n" for n in names) + "* CNAME .\n")


@candidate("pdns_recursor")
def pdns_recursor(place, names, options):
    place.write("allow.rpz", response_policy_zone(names))
    lua = place.write("recursor.lua", f'rpzFile("{place.file("allow.rpz")}", {{policyName="allow"}})\n')
    return ["pdns_recursor", f"--config-dir={place.path}", f"--socket-dir={place.path}", f"--local-address=127.0.0.1:{PORT}",
            "--daemon=no", "--threads=1", "--disable-syslog", "--quiet", "--loglevel=0",
            f"--forward-zones-recurse=.=127.0.0.1:{UPSTREAM}", "--dnssec=off", "--setuid=", "--setgid=",
            f"--lua-config-file={lua}", "--dont-query=", "--security-poll-suffix=", "--pdns-distributes-queries=no",
            "--write-pid=no", "--allow-from=127.0.0.0/8", "--max-packetcache-entries=100000", "--root-nx-trust=no",
            "--qname-minimization=no"]


@candidate("dnsdist")
def dnsdist(place, names, options):
    place.write("dnsdist.names", "\n".join(names) + "\n")
    path = write(place, "dnsdist.conf", f"""
        setLocal("127.0.0.1:{PORT}")
        setACL("127.0.0.0/8")
        setSecurityPollSuffix("")
        newServer({{address="127.0.0.1:{UPSTREAM}", healthCheckMode="up"}})
        cache = newPacketCache(50000, {{maxTTL=86400, temporaryFailureTTL=1}})
        getPool(""):setCache(cache)
        allowed = newSuffixMatchNode()
        for line in io.lines("{place.file("dnsdist.names")}") do allowed:add(newDNSName(line)) end
        addAction(NotRule(SuffixMatchNodeRule(allowed)), RCodeAction(DNSRCode.NXDOMAIN))
        """)
    return ["dnsdist", "--supervised", "--disable-syslog", "-C", path]


@candidate("named")
def bind9(place, names, options):
    place.write("named/allow.rpz", response_policy_zone(names))
    folder = place.file("named")
    path = write(place, "named/named.conf", f"""
        options {{ directory "{folder}"; listen-on port {PORT} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none;
          session-keyfile none; forwarders {{ 127.0.0.1 port {UPSTREAM}; }}; forward only; dnssec-validation no; recursion yes;
          allow-query {{ any; }}; qname-minimization off; minimal-responses yes; empty-zones-enable no;
          response-policy {{ zone "rpz" policy given; }} qname-wait-recurse no; }};
        controls {{ }};
        zone "rpz" {{ type primary; file "{folder}/allow.rpz"; allow-query {{ none; }}; }};
        """)
    return ["named", "-g", "-n", "1", "-U", "1", "-c", path]
