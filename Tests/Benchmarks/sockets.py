#!/usr/bin/env python3
"""What batch sizes and options of a UDP socket do to the kernel's part of an answer, with the echo in C in place of a server.

  Tests/Benchmarks/sockets.py [--rounds 7] [--seconds 1]

Every variant against the plain one of the same round: CPU for each answer at full speed and at 20,000 a second, and the
latency at the latter. Needs root, gcc and nothing else."""
import argparse, socket, statistics

import harness

# <linux/udp.h>, <asm-generic/socket.h>, <linux/in.h>
UDP_GRO, SO_BUSY_POLL, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 104, 46, 10, 3
PLAIN = "batches of 64"
VARIANTS = {
    PLAIN: [64], "batches of 8": [8], "batches of 16": [16], "batches of 32": [32], "batches of 128": [128], "batches of 256": [256],
    "UDP_GRO": [64, socket.IPPROTO_UDP, UDP_GRO, 1],
    "SO_BUSY_POLL 50 µs": [64, socket.SOL_SOCKET, SO_BUSY_POLL, 50],
    "IP_PMTUDISC_PROBE": [64, socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    options = parser.parse_args()
    harness.enter_namespace()
    place = harness.Place("sockets")
    names = [f"h{number:05d}.allowed.net" for number in range(1000)]
    asked = place.write("asked.txt", "".join(f"{name} A\n" for name in names))
    reports = {}
    for _ in range(options.rounds):
        for variant, arguments in VARIANTS.items():
            server = harness.Server(place, "echo", [place.file("echo"), str(harness.PORT), *map(str, arguments)], names[0])
            for load, more in (("full", ["-w", 400]), ("20k", ["-R", 20_000])):
                report = harness.measure(place, server, "-f", asked, "-c", 8, *more, "-l", options.seconds)
                reports.setdefault((load, variant), []).append(report)
            server.stop()
    paired = lambda load, variant, key: statistics.median(
        one[key] / plain[key] for one, plain in zip(reports[load, variant], reports[load, PLAIN]))
    middle = lambda load, variant, key: statistics.median(report[key] for report in reports[load, variant])
    print(f"Medians of {options.rounds} rounds; {harness.machine()}.\n")
    print("| | full speed, µs | to plain | 20,000/s, µs | to plain | p50 µs | p99 µs |\n|--|--:|--:|--:|--:|--:|--:|")
    for variant in VARIANTS:
        print(f"| {variant} | {middle('full', variant, 'us'):.2f} | {paired('full', variant, 'us'):.2f} | "
              f"{middle('20k', variant, 'us'):.2f} | {paired('20k', variant, 'us'):.2f} | "
              f"{middle('20k', variant, 'p50'):.0f} | {middle('20k', variant, 'p99'):.0f} |")
    place.remove()


if __name__ == "__main__":
    main()
