"""Asks api.github.com through the gate from many threads at a time, for some seconds: what is allowed must be answered, and with the
path that this one asked for; what is not must never be."""
import http.client, json, random, socket, ssl, sys, threading, time

duration, authority = float(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=authority)
wrong, counts, lock = [], {"answered": 0, "refused": 0}, threading.Lock()


def ask(method, path, body=None):
    """The status and the answer's object; 0 where the connection was cut."""
    link = http.client.HTTPSConnection("api.github.com", timeout=15, context=context)
    try:
        # To the address that was opened, under the name that it was opened for.
        link.sock = context.wrap_socket(socket.create_connection(("45.11.0.10", 443), timeout=15), server_hostname="api.github.com")
        link.request(method, path, body)
        answer = link.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.status == 200 else None
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        link.close()


def run(seed):
    chance = random.Random(seed)
    until = time.monotonic() + duration
    while time.monotonic() < until:
        path = f"/repos/{seed}/{chance.randrange(10**9)}"
        kind = chance.choice(["plain", "plain", "body", "method", "path", "key"])
        if kind in ("plain", "body"):
            status, told = ask("POST" if kind == "body" else "GET", path, "x" * chance.randrange(100_000) if kind == "body" else None)
            right = status == 200 and told["path"] == path and told["sni"] == "api.github.com"
        else:
            words = {"method": ("DELETE", path), "path": ("GET", "/orgs" + path), "key": ("POST", path, "k=AKIAABCDEFGHIJKLMNOP")}[kind]
            status, told = ask(*words)
            right = status in (0, 403)
        with lock:
            counts["answered" if kind in ("plain", "body") else "refused"] += 1
            if not right:
                wrong.append(f"{kind}: {status} {told}")


threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(f"{counts['answered']} allowed requests answered and {counts['refused']} others refused, {len(wrong)} judged wrongly")
sys.exit(f"wrong: {wrong[:5]}" if wrong else 0)
