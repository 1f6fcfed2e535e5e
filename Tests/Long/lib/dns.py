"""DNS messages as values that can be compared, and many questions asked at a time."""
import socket, struct, time

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "HINFO": 13, "MINFO": 14, "MX": 15, "TXT": 16, "RP": 17, "AFSDB": 18, "RT": 21,
         "AAAA": 28, "LOC": 29, "SRV": 33, "NAPTR": 35, "KX": 36, "DNAME": 39, "SSHFP": 44, "TLSA": 52, "SVCB": 64, "HTTPS": 65, "URI": 256,
         "CAA": 257, "TYPE65280": 65280}
MNEMONICS = {number: text for text, number in TYPES.items()}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
# Types whose data have names: how many octets or, of NAPTR, strings stand before, and how many names there are.
NAMES = {2: (0, 1), 5: (0, 1), 6: (0, 2), 12: (0, 1), 14: (0, 2), 15: (2, 1), 17: (0, 2), 18: (2, 1), 21: (2, 1), 33: (6, 1), 36: (2, 1), 39: (0, 1)}


def wire(text):
    """The octets of a name in presentation form without escapes."""
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".") if label) + b"\0"


def question(text, kind, ident, size=1232):
    """A query with an OPT (RFC 6891)."""
    return struct.pack(">6H", ident, 0x100, 1, 0, 0, 1) + wire(text) + struct.pack(">2H", kind, 1) + b"\0" + struct.pack(">HHIH", 41, size, 0, 0)


def read_name(message, at):
    """A name in lower case, and the offset behind it."""
    labels, after, hops = [], None, 0
    while True:
        count = message[at]
        if count >= 0xC0:
            after = after or at + 2
            at, hops = (count & 0x3F) << 8 | message[at + 1], hops + 1
            if hops > 128:
                raise ValueError("a chain of pointers")
        elif count == 0:
            return b"".join(labels).lower() + b"\0", after or at + 1
        else:
            labels.append(message[at:at + count + 1])
            at += count + 1


def plain_data(message, kind, at, count):
    """Record data with its names written out, in lower case."""
    end = at + count
    if kind == 35:
        head = 4
        for _ in range(3):
            head += 1 + message[at + head]
        names = 1
    elif kind in NAMES:
        head, names = NAMES[kind]
    else:
        return message[at:end]
    data, at = message[at:at + head], at + head
    for _ in range(names):
        name, at = read_name(message, at)
        data += name
    if at > end:
        raise ValueError("a name that ends behind its record")
    return data + message[at:end]


class Reply:
    """What was answered: code, records of the answer section as a set, and whether a denial has its SOA."""

    def __init__(self, message):
        self.ident, flags, questions, answers, authorities, additionals = struct.unpack(">6H", message[:12])
        self.octets, self.rcode, self.is_truncated = len(message), RCODES.get(flags & 15, str(flags & 15)), bool(flags & 0x200)
        self.records, self.ttls, self.has_soa, self.text = set(), [], False, b""
        at, self.kind = 12, 0
        for _ in range(questions):
            at = read_name(message, at)[1] + 4
            self.kind = struct.unpack(">H", message[at - 4:at - 2])[0]
        for index in range(answers + authorities + additionals):
            owner, at = read_name(message, at)
            kind, _, ttl, count = struct.unpack(">HHIH", message[at:at + 10])
            at += 10
            if at + count > len(message):
                raise ValueError("a record that ends behind the message")
            if index < answers:
                self.records.add((owner, kind, plain_data(message, kind, at, count)))
                self.ttls.append(ttl)
            elif index < answers + authorities:
                self.has_soa |= kind == 6
            elif kind == 41:
                self.text += message[at:at + count]
            at += count

    @property
    def shape(self):
        """What is compared: code, records, and of a denial whether it has its SOA."""
        return self.rcode, frozenset(self.records), self.has_soa and not any(kind == self.kind for _, kind, _ in self.records)

    def __str__(self):
        kinds = {}
        for _, kind, _ in self.records:
            kinds[kind] = kinds.get(kind, 0) + 1
        return " ".join([self.rcode, *[f"{count} {MNEMONICS.get(kind, kind)}" for kind, count in sorted(kinds.items())], *["SOA"] * self.has_soa])


class Asker:
    """Asks one server many questions, some at a time: by UDP, and what is truncated by TCP over one connection."""
    window, patience = 48, 5.0

    def __init__(self, space, server, source=None):
        self.space, self.server, self.source = space, server, source

    def ask(self, questions):
        """Replies in the order of the questions, each a name and a type; None where there is none."""
        replies = [None] * len(questions)
        again = self._by_datagrams(questions, replies)
        if again:
            self._by_stream(questions, replies, again)
        return replies

    def _by_datagrams(self, questions, replies):
        client = self.space.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.connect(self.server)
        client.settimeout(0.05)
        waiting, next_one, again = {}, 0, []
        try:
            while waiting or next_one < len(questions):
                while len(waiting) < self.window and next_one < len(questions):
                    name, kind = questions[next_one]
                    client.send(question(name, kind, next_one & 0xFFFF))
                    waiting[next_one & 0xFFFF] = (next_one, time.monotonic() + self.patience)
                    next_one += 1
                try:
                    message = client.recv(65535)
                except TimeoutError:
                    now = time.monotonic()
                    waiting = {ident: entry for ident, entry in waiting.items() if entry[1] > now}
                    continue
                reply = Reply(message)
                index, _ = waiting.pop(reply.ident, (None, 0))
                if index is not None and reply.is_truncated:
                    again.append(index)
                elif index is not None:
                    replies[index] = reply
        finally:
            client.close()
        return again

    def _by_stream(self, questions, replies, indexes):
        left = list(reversed(indexes))
        # A server may end a connection after so many questions.
        for _ in range(1 + len(indexes)):
            before = len(left)
            self._by_connection(questions, replies, left)
            if not left or len(left) == before:
                return

    def _by_connection(self, questions, replies, left):
        """Asks over one connection; what has no reply when that ends stays among those that are left."""
        client = self.space.socket(socket.AF_INET, socket.SOCK_STREAM)
        client.settimeout(self.patience)
        stream, waiting = b"", {}
        try:
            client.connect(self.server)
            while left or waiting:
                while left and len(waiting) < 16:
                    index = left.pop()
                    message = question(*questions[index], index & 0xFFFF)
                    client.sendall(struct.pack(">H", len(message)) + message)
                    waiting[index & 0xFFFF] = index
                octets = client.recv(65536)
                if not octets:
                    break
                stream += octets
                while len(stream) >= 2 and len(stream) >= (end := 2 + int.from_bytes(stream[:2], "big")):
                    reply, stream = Reply(stream[2:end]), stream[end:]
                    if reply.ident in waiting:
                        replies[waiting.pop(reply.ident)] = reply
        except OSError:
            pass  # what waits has no reply
        finally:
            client.close()
        left.extend(waiting.values())
