"""What sees octets arrive: on the links of everything around the container, and above the firewall on the host."""
import errno, os, select, socket, struct, threading, time
from packets import *

MAGIC = b"\xe5\xcaPE\x99"
SENTINEL = b"SENTINEL"


class Ledger:
    """Every attempt has a number, which its packets carry behind the magic octets; the ledger knows its kind."""

    def __init__(self):
        self.kinds = [None]
        self.lock = threading.Lock()
        self.escaped = {}  # attempt: octets
        self.places = {}  # attempt: where they arrived
        self.samples = {}  # attempt: the beginning of what arrived
        self.strays = []  # (time, place, octets, text): packets that nothing explains
        self.allowed = set()  # attempts that policy opened
        self.arrived = set()  # of those, what arrived
        self.times = {}  # attempt: the moments of arrival

    def begin(self, kind, allowed=False):
        with self.lock:
            self.kinds.append(kind)
            number = len(self.kinds) - 1
            if allowed:
                self.allowed.add(number)
        return MAGIC + number.to_bytes(3, "big")

    def note(self, place, data):
        """Whether the octets bear a mark; if so they are counted."""
        at, marked = data.find(MAGIC), False
        while at >= 0 and at + 8 <= len(data):
            number = int.from_bytes(data[at + 5:at + 8], "big")
            if 0 < number < len(self.kinds):
                marked = True
                with self.lock:
                    if number in self.allowed:
                        self.arrived.add(number)
                    else:
                        self.escaped[number] = self.escaped.get(number, 0) + len(data)
                        self.places.setdefault(number, place)
                        self.samples.setdefault(number, data[:60].hex())
                        self.times.setdefault(number, []).append(time.monotonic())
                break
            at = data.find(MAGIC, at + 1)
        return marked

    def stray(self, place, data, text):
        with self.lock:
            self.strays.append((time.monotonic(), place, len(data), text))


class Witness:
    """One thread that reads every place where octets may arrive."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.questions = []  # (source, port, message) of what reached the upstream
        self.sentinels = set()
        self.accomplices = set()  # addresses outside that themselves sent something to the container
        self._poll = select.epoll()
        self._readers = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def watch_link(self, place, frames):
        """Frames that arrive at the far end of a link of the host."""
        self._add(frames, lambda: self._frame(place, frames))

    def watch_host(self, namespace, links):
        """Everything that gets above the host's firewall, by protocol; groups are joined on the links."""
        self._joined = []
        for family, groups in ((socket.AF_INET, ["224.0.0.251", "224.0.0.252", "239.1.2.3"]),
                               (socket.AF_INET6, ["ff02::fb", "ff02::1:3", "ff05::1:3", "ff02::1:2"])):
            for protocol in range(1, 255):
                try:
                    raw = namespace.socket(family, socket.SOCK_RAW, protocol)
                except OSError as error:
                    if error.errno in (errno.EMFILE, errno.ENFILE):
                        raise
                    continue  # the kernel has no raw socket for it
                raw.setblocking(False)
                if family == socket.AF_INET6:
                    raw.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO
                    raw.setsockopt(socket.IPPROTO_IPV6, 51, 1)  # IPV6_RECVHOPLIMIT
                self._add(raw, lambda raw=raw, family=family, protocol=protocol: self._delivered(raw, family, protocol))
            member = namespace.socket(family, socket.SOCK_DGRAM)
            self._joined.append(member)
            for link in links:
                index = int(namespace("cat", f"/sys/class/net/{link}/ifindex"))
                for group in groups:
                    if family == socket.AF_INET:
                        request = socket.inet_aton(group) + b"\0" * 4 + struct.pack("i", index)
                        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
                    else:
                        request = socket.inet_pton(family, group) + struct.pack("i", index)
                        member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)

    def start(self):
        self._thread.start()

    def stop(self):
        self._stop.set()
        self._thread.join(10)
        for source in [reader[0] for reader in self._readers.values()] + getattr(self, "_joined", []):
            source.close()
        self._poll.close()

    def _add(self, source, read):
        self._readers[source.fileno()] = (source, read)
        self._poll.register(source, select.EPOLLIN)

    def _run(self):
        while not self._stop.is_set():
            for descriptor, _ in self._poll.poll(0.1):
                try:
                    self._readers[descriptor][1]()
                except BlockingIOError:
                    pass
                except OSError:
                    # The interface went away; what comes after it has a socket of its own.
                    if self._readers[descriptor][0].family == socket.AF_PACKET:
                        continue

    def _frame(self, place, frames):
        frame, address = frames.recvfrom(65535)
        if address[2] == 4 or len(frame) < 14:  # PACKET_OUTGOING
            return
        packet = Parsed(frame)
        if packet.protocol == UDP and packet.data.startswith(SENTINEL):
            self.sentinels.add(packet.data)
            return
        if place == "internet" and packet.protocol == UDP and packet.ports[1] == 53:
            self.questions.append((packet.source, packet.ports[0], packet.data))
        if self.ledger.note(place, frame) or self._is_housekeeping(place, packet) or self._is_refusal(packet):
            return
        self.ledger.stray(place, frame, f"{packet.source} > {packet.destination} protocol {packet.protocol} "
                          f"ports {packet.ports} {packet.payload[:12].hex()}")

    def _is_housekeeping(self, place, packet):
        """What the host's own stack sends to its neighbours, and Sluice to its upstream."""
        if packet.source is None:
            return packet.kind == ARP
        if packet.protocol == IGMP or packet.protocol == ICMP6 and packet.payload[0] in (130, 131, 132, 133, 134, 135, 136, 143):
            return packet.protocol == IGMP or packet.hops in (1, 255)
        if place != "internet" or packet.destination not in ("192.0.2.54", "2001:db8:2::54"):
            return False
        return packet.protocol in (UDP, TCP) and packet.ports[1] == 53 or self._is_late(packet)

    @staticmethod
    def _is_late(packet):
        """The host's word that nothing waits for an answer any more, which came when serve was gone: it holds the upstream's own."""
        inner = packet.payload[8:]
        if packet.protocol == ICMP:
            return packet.payload[:2] == b"\3\3" and inner[9] == UDP and inner[12:16] == octets(packet.destination) and \
                inner[20:22] == b"\0\x35"
        return packet.protocol == ICMP6 and packet.payload[:2] == b"\1\4" and inner[6] == UDP and \
            inner[8:24] == octets(packet.destination) and inner[40:42] == b"\0\x35"

    def _is_refusal(self, packet):
        """What an accomplice gets whose own packet is refused: it holds nothing of the container's."""
        if packet.destination not in self.accomplices:
            return False
        if packet.protocol == TCP and len(packet.payload) == 20:
            return bool(packet.payload[13] & RST)
        # The error holds the packet that it is about: the accomplice's own.
        inner = packet.payload[8:]
        if packet.protocol == ICMP:
            return packet.payload[0] == 3 and inner[12:16] == octets(packet.destination)
        return packet.protocol == ICMP6 and packet.payload[0] == 1 and inner[8:24] == octets(packet.destination)

    # What a server may send to the host itself, whatever its policy says: errors about packets of the host, and what
    # neighbours, routers and listeners are found with.
    _errors = {ICMP: (3, 11, 12), ICMP6: (1, 2, 3, 4)}
    _discovery, _listeners = (133, 135, 136), (131, 132, 143)

    def _delivered(self, raw, family, protocol):
        hops, target = 0, None
        if family == socket.AF_INET:
            data = raw.recv(65535)
            target, payload = socket.inet_ntop(family, data[16:20]), data[(data[0] & 15) * 4:]
        else:
            data, extra, _, _ = raw.recvmsg(65535, 256)
            payload = data
            for level, kind, value in extra:
                if kind == 50:
                    target = socket.inet_ntop(family, value[:16])
                elif kind == 52:
                    hops = struct.unpack("i", value[:4])[0]
        if MAGIC not in data:
            return
        if protocol in self._errors and payload[:1] and payload[0] in self._errors[protocol] or protocol == IGMP:
            return
        if protocol == ICMP6 and payload[:1] and (
                payload[0] in self._listeners or payload[0] in self._discovery and hops == 255):
            return
        if protocol in (TCP, UDP) and len(payload) >= 4:
            port = struct.unpack(">H", payload[2:4])[0]
            if (target, port) in self.open_on_host or (None, port) in self.open_on_host:
                return
        self.ledger.note("host", data)

    # (address, port) of the resolver's listeners, and (None, port) of what the policy opens beside them.
    open_on_host = frozenset()
