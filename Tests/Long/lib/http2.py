"""HTTP/2 as a server that answers what is posted to it (RFC 9113), as little of it as a test needs: of headers it reads nothing."""
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
# Status 200 of the static table, and the media type as a literal (RFC 7541 section 6.2.2).
OK = b"\x88" + b"\x0f\x10" + bytes([len("application/dns-message")]) + b"application/dns-message"


def frame(kind, flags, stream, data=b""):
    return struct.pack(">I", len(data))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + data


def answer(stream, message):
    return frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, END_STREAM, stream, message)


class Request:
    def __init__(self, stream):
        self.stream, self.headers, self.body = stream, b"", b""


class Connection:
    """Gives the requests of a connection one after the other, as far as they are whole."""

    def __init__(self, connection):
        self.connection, self.stream = connection, connection.makefile("rb")

    def requests(self):
        if self.stream.read(len(PREFACE)) != PREFACE:
            return
        self.connection.sendall(frame(SETTINGS, 0, 0))
        open_requests = {}
        while len(head := self.stream.read(9)) == 9:
            kind, flags, stream = head[3], head[4], struct.unpack(">I", head[5:])[0]
            data = self.stream.read(int.from_bytes(head[:3], "big"))
            if kind == SETTINGS and not flags & ACK:
                self.connection.sendall(frame(SETTINGS, ACK, 0))
            elif kind == PING and not flags & ACK:
                self.connection.sendall(frame(PING, ACK, 0, data))
            elif kind in (HEADERS, CONTINUATION):
                open_requests.setdefault(stream, Request(stream)).headers += data
            elif kind == DATA:
                open_requests[stream].body += data
                if data:
                    self.connection.sendall(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", len(data))))
            if kind in (HEADERS, DATA) and flags & END_STREAM:
                yield open_requests.pop(stream)
