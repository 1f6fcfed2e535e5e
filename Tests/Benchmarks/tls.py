#!/usr/bin/env python3
"""What a question costs whose answer has to be fetched: by UDP, by TCP that questions share, and by TLS, beside others that forward
by TLS, in interleaved rounds.

  Tests/Benchmarks/tls.py .build/release/sluice [--rounds 5] [--names 20000] [--only sluice-tls,unbound-tls]

Every candidate is an allowlist of the same names in front of the same nsd, which speaks UDP, TCP and TLS, verifies its certificate,
runs on one CPU with one thread, and is asked for every name once while the load generator has the other. The connection is made
before, with the first name. Prints medians of CPU time for each answer, and ratios to Sluice by TCP. What is to hold: TLS within
1.3 of TCP, and below the others. Needs root, gcc, nsd and openssl; a peer that is not installed is skipped and named (unbound
dnsdist)."""
import argparse, os, shutil, statistics, subprocess, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Long", "lib"))
sys.dont_write_bytecode = True
import certificates, harness
from candidates import dnsdist, unbound, write
from harness import PORT, UPSTREAM, UPSTREAM_APART

TLS_PORT, TLS_NAME, ZONE = 8853, "dns.example.net", "allowed.net"


class Upstream(harness.Upstream):
    """nsd, which listens for TLS besides."""

    def __init__(self, place, labels, identity):
        self.identity = identity
        super().__init__(place, ZONE, labels)
        self.stop()
        path = place.file("nsd.conf")
        text = open(path).read().replace("server-count: 1", f"""server-count: 1
  ip-address: {UPSTREAM_APART}@{TLS_PORT}
  tls-port: {TLS_PORT}
  tls-service-key: "{identity.key}"
  tls-service-pem: "{identity.certificate}"
  tcp-count: 1000""")
        with open(path, "w") as file:
            file.write(text)
        self.process = subprocess.Popen(["nsd", "-d", "-c", path], stdout=subprocess.DEVNULL, stderr=open(place.file("nsd.log"), "w"))
        deadline = time.time() + 60
        while not (reply := harness.ask(f"{labels[0]}.{ZONE}", UPSTREAM, wait=0.2)) or reply[1] == 0:
            if time.time() > deadline:
                sys.exit(f"nsd does not answer: {open(place.file('nsd.log')).read()}")
            time.sleep(0.02)


def sluice(upstream):
    def command(place, names, options):
        log = place.file("log")
        shutil.rmtree(log, ignore_errors=True)
        os.mkdir(log)
        place.write("policy.yaml", "server: bench\nnetworks: [ 127.0.0.0/16 ]\negress:\n" + "".join(f"  - {name}\n" for name in names))
        return [options.sluice, "serve", "--config", write(place, "sluice.yaml", f"""
            listen: [ "127.0.0.1:{PORT}" ]
            upstreams: [ {upstream} ]
            policies: policy.yaml
            firewall: {{ mode: "off" }}
            audit: {{ path: {log}/audit.jsonl }}
            cache: {{ max-entries-per-server: 1000000 }}
            state: {log}/state
            control: {log}/control.sock
            workers: 1
            user: root
            """)]
    return command


def unbound_by_tls(place, names, options):
    command = unbound(place, names, options)
    change(command[-1], f"forward-addr: 127.0.0.1@{UPSTREAM}",
           f"forward-addr: {UPSTREAM_APART}@{TLS_PORT}#{TLS_NAME}\n  forward-tls-upstream: yes")
    change(command[-1], "num-threads: 1", f"num-threads: 1\n  tls-cert-bundle: \"{place.file('authority/ca.pem')}\"")
    return command


def dnsdist_by_tls(place, names, options):
    command = dnsdist(place, names, options)
    change(command[-1], f'address="127.0.0.1:{UPSTREAM}"',
           f'address="{UPSTREAM_APART}:{TLS_PORT}", tls="openssl", subjectName="{TLS_NAME}", validateCertificates=true, '
           f'caStore="{place.file("authority/ca.pem")}", maxInFlight=1000')
    return command


def change(path, old, new):
    text = open(path).read()
    assert old in text, f"{path} has no {old}"
    with open(path, "w") as file:
        file.write(text.replace(old, new))


CANDIDATES = {
    "sluice-udp": (None, sluice(f'"udp://{UPSTREAM_APART}:{UPSTREAM}"')),
    "sluice-tcp": (None, sluice(f'"tcp://{UPSTREAM_APART}:{UPSTREAM}"')),
    "sluice-tls": (None, sluice(f'{{ address: "tls://{UPSTREAM_APART}:{TLS_PORT}#{TLS_NAME}", ca: authority/ca.pem }}')),
    "unbound-tls": ("unbound", unbound_by_tls),
    "dnsdist-tls": ("dnsdist", dnsdist_by_tls),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sluice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--names", type=int, default=20_000)
    parser.add_argument("--only", default="", help="candidates, separated by commas: " + ",".join(CANDIDATES))
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    harness.enter_namespace()
    place = harness.Place("tls")
    labels = [f"h{number:05d}" for number in range(options.names)]
    names = [f"{label}.{ZONE}" for label in labels]
    place.write("names.txt", "".join(f"{name} A\n" for name in names[1:]))
    chosen = [name for name in options.only.split(",") if name] or list(CANDIDATES)
    for name in [name for name in chosen if CANDIDATES[name][0] and not shutil.which(CANDIDATES[name][0])]:
        print(f"skipped: {name}, because {CANDIDATES[name][0]} is not installed")
        chosen.remove(name)
    upstream = Upstream(place, labels, certificates.Authority(place.file("authority")).issue("upstream", TLS_NAME))
    results = {name: [] for name in chosen}
    try:
        for turn in range(options.rounds):
            for name in chosen:
                results[name].append(measure(place, name, names, options))
                print(f"round {turn} {name:12} {results[name][-1]['us']:7.2f} µs {results[name][-1]['qps']:9,.0f}/s "
                      f"p50 {results[name][-1]['p50']:8.1f} lost {results[name][-1]['lost']}", flush=True)
    finally:
        upstream.stop()
        place.remove()
    tell(results, options)


def measure(place, name, names, options):
    server = harness.Server(place, name, CANDIDATES[name][1](place, names, options), names[0])
    try:
        report = harness.measure(place, server, "-f", place.file("names.txt"), "-n", len(names) - 1, "-l", 60, "-w", 200)
        if report["with_address"] < report["answered"] * 0.99:
            sys.exit(f"{name}: {report['with_address']} of {report['answered']} answers hold an address")
        return report
    finally:
        server.stop()


def tell(results, options):
    median = {name: {key: statistics.median(report[key] for report in reports) for key in ("us", "qps", "p50", "lost")}
              for name, reports in results.items()}
    print(f"\nMedians of {options.rounds} interleaved rounds, {options.names:,} names; {harness.machine()}.\n")
    print("| forwarder | µs | to Sluice by TCP | answers/s | p50 µs | lost |\n|---|--:|--:|--:|--:|--:|")
    for name, row in sorted(median.items(), key=lambda entry: entry[1]["us"]):
        ratio = f"{row['us'] / median['sluice-tcp']['us']:.2f}" if "sluice-tcp" in median else ""
        print(f"| {name} | {row['us']:.1f} | {ratio} | {row['qps']:,.0f} | {row['p50']:,.0f} | {row['lost']:,.0f} |")


if __name__ == "__main__":
    main()
