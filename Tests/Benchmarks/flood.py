#!/usr/bin/env python3
"""A forger who knows the port: what a flood of forged answers does to the true one.

  sudo Tests/Benchmarks/flood.py .build/release/sluice [--questions 50] [--packets 100000] [--trip 40]

The upstream is scripted: it answers by UDP and TCP, a round trip after it was asked. Of every other question it tells a forger the
port at once, who sends 100,000 packets there, from the upstream's own address and port, with the right question in lower case and
ids by chance. Questions with and without a flood take turns, each of a name that was never asked; after a few floods Sluice asks by
TCP alone for a while, where there is no port to flood. Prints how much later the flooded ones are answered. What is to hold: no
forged address is answered, every question is, and the answer is later by less than one round trip, at the median and at the 95th
percentile, each beside those without a flood. Needs root and gcc (for the harness)."""
import argparse, heapq, os, random, select, socket, statistics, struct, sys, threading, time

import harness
from harness import PORT, UPSTREAM, UPSTREAM_APART, Server, query

ZONE, TRUE, FORGED = "flood.net", bytes([45, 11, 0, 1]), bytes([45, 66, 6, 6])


def answer(message, address):
    """The answer to a query: one A record, the question as it was asked, and no OPT."""
    end = 12 + message[12:].index(0) + 5
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 300, 4) + address
    return message[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + message[12:end] + record


class Upstream:
    """Answers A queries with the true address after `trip` seconds; a connection's first answer takes another one."""

    def __init__(self, trip, packets):
        self.trip, self.packets = trip, packets
        self.datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        self.datagrams.bind((UPSTREAM_APART, UPSTREAM))
        self.listener = socket.create_server((UPSTREAM_APART, UPSTREAM), backlog=64)
        self.flooded, self.floods, self.flooding = set(), 0, None
        self.ends = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        due, connections, number = [], {}, 0
        poll = select.epoll()
        for reader in (self.datagrams, self.listener):
            poll.register(reader.fileno(), select.EPOLLIN)
        while not self.ends:
            wait = max(due[0][0] - time.perf_counter(), 0) if due else 0.05
            for descriptor, _ in poll.poll(wait):
                number += 1
                if descriptor == self.datagrams.fileno():
                    message, peer = self.datagrams.recvfrom(4096)
                    send = lambda reply, peer=peer: self.datagrams.sendto(reply, peer)
                    heapq.heappush(due, (time.perf_counter() + self.trip, number, send, answer(message, TRUE)))
                    self.forge(message, peer)
                elif descriptor == self.listener.fileno():
                    connection, _ = self.listener.accept()
                    connections[connection.fileno()] = [connection, b"", time.perf_counter() + self.trip]
                    poll.register(connection.fileno(), select.EPOLLIN)
                else:
                    number = self.read(connections, descriptor, poll, due, number)
            while due and due[0][0] <= time.perf_counter():
                _, _, send, reply = heapq.heappop(due)
                try:
                    send(reply)
                except OSError:
                    pass

    def read(self, connections, descriptor, poll, due, number):
        connection, octets, opened = connections[descriptor]
        try:
            more = connection.recv(65536)
        except OSError:
            more = b""
        if not more:
            poll.unregister(descriptor)
            del connections[descriptor]
            connection.close()
            return number
        octets += more
        while len(octets) > 2 and len(octets) >= 2 + int.from_bytes(octets[:2], "big"):
            length = int.from_bytes(octets[:2], "big")
            reply, octets = answer(octets[2:2 + length], TRUE), octets[2 + length:]
            framed = len(reply).to_bytes(2, "big") + reply
            number += 1
            send = lambda reply, connection=connection: connection.sendall(reply)
            heapq.heappush(due, (max(time.perf_counter(), opened) + self.trip, number, send, framed))
        connections[descriptor][1] = octets
        return number

    def forge(self, message, peer):
        """The forger: another process, which is told what who stands beside the network sees: the port."""
        name = bytes(message[12:12 + message[12:].index(0) + 1]).lower()
        if name not in self.flooded:
            return
        self.flooded.discard(name)
        forged = bytearray(answer(message, FORGED))
        forged[12:12 + len(name)] = name

        self.floods += 1
        self.flooding = os.fork()
        if self.flooding:
            return
        for _ in range(self.packets):
            forged[:2] = random.randbytes(2)
            try:
                self.datagrams.sendto(forged, peer)
            except OSError:
                pass  # refused: the port was given up
        os._exit(0)


def ask(name, wait=10.0):
    """Seconds until the answer, and its octets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(wait)
        client.connect(("127.0.0.1", PORT))
        start = time.perf_counter()
        client.send(query(name, random.randrange(65536)))
        reply = client.recv(4096)
        return time.perf_counter() - start, reply


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sluice")
    parser.add_argument("--questions", type=int, default=40, help="with a flood, and as many without")
    parser.add_argument("--packets", type=int, default=100_000, help="of a flood")
    parser.add_argument("--trip", type=float, default=40, help="milliseconds of a round trip to the upstream")
    options = parser.parse_args()
    options.sluice = os.path.abspath(options.sluice)
    harness.enter_namespace()
    place = harness.Place("flood")
    upstream = Upstream(options.trip / 1000, options.packets)
    server = None
    times, forged, failed = {False: [], True: []}, 0, 0
    try:
        server = Server(place, "sluice", command(place, options), f"up.{ZONE}", cpu=None)
        for number in range(options.questions):
            for is_flooded in (False, True):
                name = f"q{number}{'f' if is_flooded else 'p'}.{ZONE}"
                if is_flooded:
                    upstream.flooded.add(query(name)[12:-4])
                seconds, reply = ask(name)
                forged += FORGED in reply
                failed += TRUE not in reply
                times[is_flooded].append(seconds * 1000)
                # The rest of the flood meets a port that was given up.
                if upstream.flooding:
                    os.waitpid(upstream.flooding, 0)
                    upstream.flooding = None
    finally:
        upstream.ends = True
        if server:
            server.stop()
        place.remove()
    tell(times, upstream, forged, failed, options)


def command(place, options):
    log = place.file("log")
    os.mkdir(log)
    place.write("policy.yaml", f'server: bench\nnetworks: [ 127.0.0.0/16 ]\negress: [ "*.{ZONE}" ]\n')
    return [options.sluice, "serve", "--config", place.write("sluice.yaml", f"""listen: [ "127.0.0.1:{PORT}" ]
upstreams: [ "udp://{UPSTREAM_APART}:{UPSTREAM}" ]
policies: policy.yaml
firewall: {{ mode: "off" }}
audit: {{ path: {log}/audit.jsonl }}
state: {log}/state
control: {place.file("control.sock")}
workers: 1
user: root
""")]


def tell(times, upstream, forged, failed, options):
    print(f"{upstream.floods} floods of {upstream.packets:,} packets at ports that were known, {options.questions} questions with and as "
          f"many without; a round trip is {options.trip:.0f} ms; {harness.machine()}.\n")
    print("| questions | p50 ms | p95 ms | longest ms |\n|---|--:|--:|--:|")
    row = {}
    for is_flooded, values in times.items():
        ordered = sorted(values)
        row[is_flooded] = (statistics.median(ordered), ordered[len(ordered) * 95 // 100], ordered[-1])
        print(f"| {'with a flood' if is_flooded else 'without'} | " + " | ".join(f"{value:.1f}" for value in row[is_flooded]) + " |")
    later, late = row[True][0] - row[False][0], row[True][1] - row[False][1]
    print(f"\nlater by {later:.1f} ms at the median, {late:.1f} at the 95th percentile; forged answers {forged}, unanswered {failed}")
    if forged or failed or max(later, late) >= options.trip:
        sys.exit("what is to hold does not")


if __name__ == "__main__":
    main()
