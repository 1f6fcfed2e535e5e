#!/usr/bin/env python3
"""What reading the audit log costs: `sluice log` over millions of events beside jq, grep and zstdcat.

  Tests/Benchmarks/log.py .build/release/sluice [--events 10000000] [--folder DIR] [--only plain|zst] [--rounds 3]

Makes a log as `sluice serve` leaves it (audit.jsonl and rotated files of 64 MiB, events in the order of time, the last one
now), reads it plain, then with all rotated files compressed, and prints wall and CPU seconds and the largest resident
memory of each command, medians of the rounds, with the files in the page cache. Needs GNU time; jq and zstd are optional.
10 million events take 4 GB in DIR, which is kept if it was named and made anew only when it is empty."""
import argparse, glob, os, random, re, shutil, statistics, subprocess, sys, tempfile, time

import harness

MAX_SIZE, SECONDS = 64 << 20, 6 * 3600
SERVERS = ["github-mcp"] + [f"{kind}-{number:02d}" for kind in ("jira", "mail", "search", "files") for number in range(12)]
REST = '"payload_size":%d,"id":"%s","code":"%s","client":"10.77.%d.2","client_port":%d,"transport":"%s",'


class Events:
    """Lines as the encoder writes them; everything that costs time is drawn beforehand."""

    def __init__(self, seed=1):
        self.random = random.Random(seed)
        words = ["api", "cdn", "telemetry", "assets", "login", "www", "img", "events", "static", "eu-west-1", "ingest", "auth"]
        zones = [f"{word}{number}.example.{top}" for word in ("acme", "metrics", "tiles", "shop", "cloud")
                 for number in range(80) for top in ("com", "net", "org")]
        self.names = [f"{self.random.choice(words)}{self.random.choice(['', '-1', '-2'])}.{zone}" for zone in zones for _ in range(10)]
        self.names += [r"a\\032b.evil.example.com", r'say\"server\":\"github-mcp\".example.com', "*.flood.example.net"]
        self.tails = [self.tail() for _ in range(20_000)]

    def tail(self):
        """Everything after `ts` but the id, by which server, with which decision."""
        pick, draw = self.random.random(), self.random
        index = min(int(draw.expovariate(0.12)), len(SERVERS) - 1)
        server, name = SERVERS[index], draw.choice(self.names)
        start = f'","server":"{server}","destination":"'
        port = draw.randrange(1024, 65536)
        if pick < 0.72:  # denied, now and then several in one event
            kind = draw.choice(["A", "A", "A", "AAAA", "AAAA", "HTTPS"])
            count = draw.choice([1] * 12 + [3, 40])
            more = "" if count == 1 else ',"first_ts":"2026-11-20T09:14:12.481Z","last_ts":"2026-11-20T09:14:22.481Z"'
            return (start + name + '","decision":"block","reason":"destination not in allowlist",',
                    REST % (len(name) + 29, "%s", "not-listed", index, port, "udp")
                    + f'"type":"{kind}","rcode":"NXDOMAIN","count":{count}{more}}}\n')
        if pick < 0.92:  # granted
            addresses = ",".join(f'"45.11.{draw.randrange(256)}.{draw.randrange(256)}"' for _ in range(draw.choice([1, 1, 2, 4])))
            return (start + name + '","decision":"allow","reason":"destination in allowlist, addresses opened",',
                    REST % (len(name) + 29, "%s", "granted", index, port, "udp")
                    + '"type":"A","rcode":"NOERROR","count":1,"rule":"/etc/sluice/policies/%s.yaml:%d","chain":["%s"],'
                    '"addresses":[%s],"ports":["443/tcp"],"ttl":300,"lifetime":330,"upstream":"tls://192.0.2.53:853"}\n'
                    % (server, draw.randrange(3, 90), name, addresses))
        if pick < 0.98:  # a refused connection
            address = f"198.51.{draw.randrange(256)}.{draw.randrange(256)}"
            return (start + address + '","decision":"block","reason":"address never resolved by any server",',
                    REST % (60, "%s", "raw-address", index, port, "tcp")
                    + f'"type":null,"rcode":null,"count":{draw.choice([1, 1, 7])},"address":"{address}","protocol":"tcp","port":443}}\n')
        return (start + name + '","decision":"error","reason":"upstream unreachable",',
                REST % (len(name) + 29, "%s", "upstream-unreachable", index, port, "udp") + '"type":"A","rcode":"SERVFAIL","count":1}\n')

    def write(self, folder, count):
        """Rotated files, oldest first, numbered at the end."""
        end, done, files = time.time(), 0, []
        step, tails = SECONDS / count, self.tails
        heads = [tail[0] for tail in tails]
        rests = [tail[1].split("%s", 1) for tail in tails]
        file = size = None
        while done < count:
            if file is None or size + (4096 * 420) > MAX_SIZE:
                if file: file.close()
                files.append(os.path.join(folder, f"part{len(files)}"))
                file, size = open(files[-1], "w"), 0
            lines = []
            for number in range(done, min(done + 4096, count)):
                moment = end - (count - number) * step
                if number == done or int(moment) != second:
                    second = int(moment)
                    text = time.strftime('{"ts":"%Y-%m-%dT%H:%M:%S.', time.gmtime(second))
                kind = (number * 7919 + (number >> 11)) % 20_000
                before, after = rests[kind]
                lines.append("%s%03dZ%s%s%010x-%010x%s" % (
                    text, int((moment - second) * 1000), heads[kind], before, 0x65000000, number, after))
            block = "".join(lines)
            file.write(block)
            size += len(block)
            done += len(lines)
        file.close()
        for number, path in enumerate(reversed(files)):
            os.rename(path, os.path.join(folder, "audit.jsonl" + (f".{number}" if number else "")))


def measured(command, rounds, output=subprocess.DEVNULL):
    """Medians of wall seconds, CPU seconds and MiB, and the last output."""
    results = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run(["/usr/bin/time", "-f", "%U %S %M", "bash", "-c", command], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, env=dict(os.environ, SWIFT_BACKTRACE="enable=no", LC_ALL="C"))
        wall = time.perf_counter() - start
        last = done.stderr.strip().splitlines()
        user, system, memory = last[-1].split()
        for line in last[:-1]: print(f"  {command}: {line}", file=sys.stderr)
        results.append((wall, float(user) + float(system), int(memory) / 1024))
    return [statistics.median(column) for column in zip(*results)] + [done.stdout.strip()[:40].splitlines()[:1]]


def report(title, commands, rounds):
    print(f"\n{title}\n\n| command | wall s | CPU s | MiB | prints |\n|---|--:|--:|--:|---|")
    for command in commands:
        wall, cpu, memory, output = measured(command, rounds)
        shown = command.replace(options.sluice, "sluice").replace(f" --path {log}", "").replace(options.folder + "/", "")
        print(f"| `{shown.replace('|', chr(92) + '|')}` | {wall:.2f} | {cpu:.2f} | {memory:.0f} | {' '.join(output)} |", flush=True)


def main():
    global options, log
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sluice")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--folder")
    parser.add_argument("--only", choices=["plain", "zst"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    kept = options.folder
    options.folder = kept or tempfile.mkdtemp(prefix="sluice-log-")
    log = os.path.join(options.folder, "audit.jsonl")
    if not glob.glob(log + "*"): Events().write(options.folder, options.events)
    sizes = lambda: sum(os.path.getsize(path) for path in glob.glob(log + "*"))
    read = f"{options.sluice} log --path {log}"
    queries = [
        f"{read} --count --server github-mcp --decision block", f"{read} --count", f"{read} --count --json --decision block",
        f"{read} --count --name '*.shop7*.example.com'", f"{read} --count --client 10.77.3.0/24",
        f"{read} --count --code granted --rule github-mcp.yaml:12", f"{read} --count --since 1h", f"{read} --limit 20 | tail -1",
        f"{read} --limit 20 --server files-11 --name 'img.*' | tail -1",
        f"{read} --server github-mcp --decision block | tail -1", f"{read} --json | tail -c 20",
        f"{options.sluice} log top --path {log} --limit 3 | sed -n 2p", f"{options.sluice} log top --path {log} --by server | sed -n 2p",
    ]
    print(f"{options.events:,} events; medians of {options.rounds} rounds; {harness.machine()}.")
    block = '"server":"github-mcp","destination":"[^"]*","decision":"block"'
    if options.only in (None, "plain"):
        subprocess.run(f"cat {log}* > /dev/null", shell=True)
        report(f"Plain: {sizes() / 1e9:.2f} GB.", queries + [
            f"cat {log}* | wc -l", f"cat {log}* | grep -cF '\"server\":\"github-mcp\"'", f"cat {log}* | grep -c '{block}'"], options.rounds)
        if shutil.which("jq"):
            report("One round:", [f"cat {log}* | jq -c 'select(.server == \"github-mcp\" and .decision == \"block\")' | wc -l"], 1)
    if options.only in (None, "zst") and shutil.which("zstd"):
        if not glob.glob(f"{log}.*.zst"):
            subprocess.run(f"ls {log}.[0-9]* | xargs -P 2 -n 1 zstd -q --rm", shell=True, check=True)
        report(f"Rotated files as .zst: {sizes() / 1e9:.2f} GB.", queries + [
            f"(zstdcat {log}.*.zst; cat {log}) | grep -c '{block}'"], options.rounds)
    if not kept: shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
