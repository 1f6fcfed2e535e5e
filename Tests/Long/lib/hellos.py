"""What an attacker's client, and an honest one, may send first over TCP, octet for octet."""
import struct


def sized(width, octets):
    return len(octets).to_bytes(width, "big") + octets


def names(*said):
    """The extension that says names, each with its type."""
    return struct.pack(">H", 0) + sized(2, sized(2, b"".join(bytes([kind]) + sized(2, name) for kind, name in said)))


def extension(kind, body=b""):
    return struct.pack(">H", kind) + sized(2, body)


def message(mark, extensions, version=b"\3\3"):
    """A ClientHello; the mark stands in its random."""
    body = version + mark.ljust(32, b"\0") + sized(1, b"") + sized(2, b"\x13\1\xc0\x2f") + sized(1, b"\0")
    return b"\1" + sized(3, body + (sized(2, b"".join(extensions)) if extensions is not None else b""))


def records(octets, size=16_384, kind=22):
    parts = [octets[start:start + size] for start in range(0, len(octets), size)]
    return b"".join(bytes([kind, 3, 1]) + sized(2, part) for part in parts)


def hello(mark, name, *more, version=b"\3\3"):
    return records(message(mark, [names((0, name))] + list(more), version))


# A HelloRetryRequest (RFC 8446 section 4.1.3).
RETRY = records(b"\2" + sized(3, b"\3\3" + bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
                              + sized(1, b"") + b"\x13\1\0" + sized(2, extension(43, b"\3\4"))))


def catalogue(mark, right, other, listed, patterned):
    """What is sent first: a title, the octets or what they are cut to, and the code of the event; nil for what passes.

    `right` was opened at the address; `other` is on another server's list, `listed` on its own and never opened there, and
    `patterned` below a pattern of its own and never resolved.
    """
    pieces = message(mark(), [names((0, right))])
    return [
        ("as clients send it", hello(mark(), right), None),
        ("in upper case", hello(mark(), right.upper()), None),
        ("one octet at a time", [bytes([octet]) for octet in hello(mark(), right)], None),
        # But for those of the mark, which is looked for as a whole.
        ("a record for each octet", records(pieces[:6], 1) + records(pieces[6:38]) + records(pieces[38:], 1), None),
        ("16 KiB in one record", hello(mark(), right, extension(21, bytes(16_100))), None),
        ("early data behind it", hello(mark(), right) + records(b"early" + mark(), kind=23), None),
        ("GREASE", hello(mark(), right, extension(0x0A0A), extension(0x1A1A, b"\0")), None),
        ("TLS 1.0", hello(mark(), right, version=b"\3\1"), None),
        ("another name", hello(mark(), b"evil.example"), "sni-mismatch"),
        ("no name", records(message(mark(), [extension(43, b"\2\3\4")])), "sni-missing"),
        ("no extension", records(message(mark(), None)), "sni-missing"),
        ("a name of another server's list", hello(mark(), other), "sni-mismatch"),
        ("a listed name that was never opened there", hello(mark(), listed), "sni-mismatch"),
        ("a name under a pattern that was never resolved", hello(mark(), patterned), "sni-mismatch"),
        ("a dot at its end", hello(mark(), right + b"."), "sni-mismatch"),
        ("a U-label", hello(mark(), "\u00fc.".encode() + right), "sni-mismatch"),
        ("a zero within it", hello(mark(), right + b"\0.evil.example"), "sni-mismatch"),
        ("two names", records(message(mark(), [names((0, right), (0, b"evil.example"))])), "sni-mismatch"),
        ("two lists of names", records(message(mark(), [names((0, right)), names((0, b"evil.example"))])), "not-tls"),
        ("an address for a name", hello(mark(), b"45.11.1.38"), "sni-mismatch"),
        ("SSLv2", b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + mark(), "not-tls"),
        ("HTTP", b"GET /" + mark() + b" HTTP/1.1\r\nHost: " + right + b"\r\n\r\n", "not-tls"),
        ("garbage", bytes(range(200, 256)) + mark(), "not-tls"),
        ("more than 16 KiB", hello(mark(), right, extension(21, bytes(16_384))), "not-tls"),
        ("what may hide another name", hello(mark(), right, extension(0xFE0D, b"\0")), "ech-refused"),
        ("half a hello, and silence", hello(mark(), right)[:60], "not-tls"),
        ("silence", b"", "not-tls"),
    ]
