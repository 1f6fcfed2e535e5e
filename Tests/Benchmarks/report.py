"""The table and the plot of a comparison."""
import statistics

import harness

TITLES = {
    "cached": "cached allowed names", "denied": "denied names (Sluice records them)", "mixed": "80 % cached, 20 % denied",
    "random": "denied, a different name each time", "tcp": "cached, TCP, 8 connections with 50 queries each on the way",
    "single": "every name for the first time, one at a time", "cold": "every name for the first time", "steady": "cached, 20,000 queries a second",
}


def median(results, candidate, load, key):
    values = [record[key] for record in results if record["candidate"] == candidate and record["load"] == load]
    return statistics.median(values) if values else None


def order(results):
    return list(dict.fromkeys(record["candidate"] for record in results))


def markdown(results, rounds):
    lines = [f"Medians of {rounds} interleaved rounds; {harness.machine()}. One thread answers, on one CPU; the load generator has",
             "the other. *µs* is CPU time of all processes of a server for each answer. Ratios are to Sluice.", ""]
    candidates = order(results)
    for load in TITLES:
        rows = [(median(results, name, load, "us"), name) for name in candidates if median(results, name, load, "us")]
        if not rows:
            continue
        ours = dict((name, cost) for cost, name in rows).get("sluice")
        lines += [f"**{TITLES[load]}**", "", "| server | µs | ratio | answers/s | p50 µs | p99 µs | p99.9 µs | lost |",
                  "|---|--:|--:|--:|--:|--:|--:|--:|"]
        for cost, name in sorted(rows):
            get = lambda key: median(results, name, load, key)
            ratio = f"{cost / ours:.2f}" if ours else ""
            lines.append(f"| {name} | {cost:.2f} | {ratio} | {get('qps'):,.0f} | {get('p50'):,.0f} | {get('p99'):,.0f} | "
                         f"{get('p999'):,.0f} | {get('lost'):,.0f} |")
        lines.append("")
    added = [(median(results, name, "single", "added"), name) for name in candidates if median(results, name, "single", "us")]
    if added:
        lines += ["**One name at a time: how much later than the upstream's own answer** (p50 of the same minute)", "",
                  "| server | µs |", "|---|--:|"] + [f"| {name} | {later:,.0f} |" for later, name in sorted(added)] + [""]
    lines += ["**Memory and start** (10,000 names; all processes by their proportional share, and the one that was started with what",
              "it shares; start to the first answer)", "", "| server | MiB | resident MiB | start ms |", "|---|--:|--:|--:|"]
    first = next(iter(record["load"] for record in results), None)
    for name in candidates:
        memory, resident, start = (
            statistics.median(record[key] for record in results if record["candidate"] == name)
            for key in ("memory", "resident", "start_ms"))
        lines.append(f"| {name} | {memory:,.0f} | {resident:,.0f} | {start:,.0f} |")
    return "\n".join(lines) + "\n"


def plot(results):
    """Bars of CPU time for each answer, cached and denied, as SVG."""
    loads = [load for load in ("cached", "denied") if any(record["load"] == load for record in results)]
    colours = {"cached": "#2b6cb0", "denied": "#c05621"}
    rows = sorted(((median(results, name, "cached", "us") or 0, name) for name in order(results)))
    widest = max((median(results, name, load, "us") or 0 for _, name in rows for load in loads), default=1)
    left, width, bar = 130, 560, 13
    step = bar * len(loads) + 12
    height = 62 + step * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 80}" height="{height}" '
             'font-family="sans-serif" font-size="12">', '<rect width="100%" height="100%" fill="white"/>',
             '<text x="10" y="18" font-size="14">CPU microseconds for each answer (less is better)</text>']
    for index, load in enumerate(loads):
        x = left + 160 * index
        parts.append(f'<rect x="{x}" y="28" width="12" height="12" fill="{colours[load]}"/>'
                     f'<text x="{x + 17}" y="38">{load}</text>')
    for row, (_, name) in enumerate(rows):
        y = 54 + step * row
        weight = ' font-weight="bold"' if name.startswith("sluice") else ""
        parts.append(f'<text x="{left - 8}" y="{y + step / 2 - 2}" text-anchor="end"{weight}>{name}</text>')
        for index, load in enumerate(loads):
            value = median(results, name, load, "us")
            if value is None:
                continue
            top = y + bar * index
            length = width * value / widest
            parts.append(f'<rect x="{left}" y="{top}" width="{length:.1f}" height="{bar - 1}" fill="{colours[load]}"/>'
                         f'<text x="{left + length + 5:.1f}" y="{top + bar - 3}">{value:.2f}</text>')
    return "\n".join(parts + ["</svg>", ""])
