import Foundation
import Glibc

/// A host with Sluice, a client behind it and an internet in front of it, each a network namespace.
///
///     client 10.77.1.2 ── 10.77.1.1 host 192.0.2.1 ── 192.0.2.54 internet: nsd, and every address of 45.11.0.0/16
final class Testbed {
  static let upstreamAddress = "192.0.2.54"

  let client: Namespace
  let host: Namespace
  let internet: Namespace
  let folder: URL
  let upstream: NameServer
  private(set) var sluice: SluiceServer
  private var webServers: [RunningCommand] = []

  /// Builds the testbed, starts Sluice, runs `body`, and takes everything down again.
  static func run(_ settings: TestbedSettings = TestbedSettings(), _ body: (Testbed) throws -> Void) throws {
    let bed = try Testbed(settings)
    defer { bed.takeDown() }
    do {
      try body(bed)
    } catch {
      throw Obstacle("\(error)\n--- sluice says:\n\(bed.sluice.errors.suffix(4_000))")
    }
  }

  private init(_ settings: TestbedSettings) throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "sluice-e2e-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    _ = unsafe chmod(folder.path, 0o755)
    // Serve rotates its log in there.
    _ = unsafe chown(folder.path, Machine.serviceUser.uid, Machine.serviceUser.gid)
    client = try Namespace("client")
    host = try Namespace("host")
    internet = try Namespace("net")
    try Self.connect(client, host, internet)
    upstream = try NameServer(
      records: settings.records, address: Self.upstreamAddress, in: internet, folder: folder)
    sluice = SluiceServer(settings, in: host, folder: folder)
    for port in settings.identity == nil ? ["80", "443"] : ["80"] {
      webServers.append(
        try RunningCommand(["busybox", "httpd", "-f", "-p", port, "-h", folder.path], in: internet, folder: folder))
    }
    if let identity = settings.identity {
      let words = ["python3", "-c", Self.secureServer, "443", identity.certificate, identity.key]
      webServers.append(try RunningCommand(words, in: internet, folder: folder))
    }
    try eventually("the client reaches the internet without Sluice") {
      try Socket.connects("45.11.0.66", 443, from: client) && Socket.connects("45.11.0.66", 80, from: client)
        && Socket.connects("2a10:77::66", 443, from: client)
    }
    if settings.startsSluice { try sluice.start() }
  }

  /// Answers each request with a page and the end once it has all of it, every connection for itself.
  private static let secureServer = """
    import re, socket, socketserver, ssl, sys
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                with context.wrap_socket(self.request, server_side=True) as link:
                    said = link.recv(4096)
                    length = re.search(rb"content-length: ([0-9]+)", said.lower())
                    left = int(length[1]) - (len(said) - said.find(b"\\r\\n\\r\\n") - 4) if length else 0
                    while left > 0:
                        more = link.recv(65536)
                        if not more: return
                        left -= len(more)
                    if said: link.sendall(b"HTTP/1.0 200 ok\\r\\n\\r\\nhello\\n")
            except OSError:
                pass
    class Server(socketserver.ThreadingTCPServer):
        address_family, allow_reuse_address, daemon_threads, request_queue_size = socket.AF_INET6, True, True, 128
    Server(("::", int(sys.argv[1])), Handler).serve_forever()
    """

  private static func connect(_ client: Namespace, _ host: Namespace, _ internet: Namespace) throws {
    try host.must("sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    try Command.must("ip link add br-mcp netns \(host.name) type veth peer name eth0 netns \(client.name)")
    try Command.must("ip link add uplink netns \(host.name) type veth peer name eth0 netns \(internet.name)")
    try host.ip("address add 10.77.1.1/24 dev br-mcp")
    try host.ip("address add fd00:77:1::1/64 dev br-mcp nodad")
    try host.ip("address add 192.0.2.1/24 dev uplink")
    try host.ip("address add 2001:db8:2::1/64 dev uplink nodad")
    try host.ip("link set br-mcp up")
    try host.ip("link set uplink up")
    try client.ip("address add 10.77.1.2/24 dev eth0")
    // A second client, of another server.
    try client.ip("address add 10.77.1.200/24 dev eth0")
    // And one of no server.
    try client.ip("address add 10.99.0.2/24 dev eth0")
    try host.ip("address add 10.99.0.1/24 dev br-mcp")
    try client.ip("address add fd00:77:1::2/64 dev eth0 nodad")
    try client.ip("link set eth0 up")
    try client.ip("route add default via 10.77.1.1 src 10.77.1.2")
    try client.ip("route add default via fd00:77:1::1")
    try internet.ip("address add \(upstreamAddress)/24 dev eth0")
    try internet.ip("address add 2001:db8:2::54/64 dev eth0 nodad")
    try internet.ip("link set eth0 up")
    // Every address of these networks is the internet's own.
    try internet.ip("route add local 45.11.0.0/16 dev lo")
    try internet.ip("route add local 2a10:77::/64 dev lo")
    try host.ip("route add 45.11.0.0/16 via \(upstreamAddress)")
    try host.ip("route add 2a10:77::/64 via 2001:db8:2::54")
    try internet.ip("route add 10.0.0.0/8 via 192.0.2.1")
    try internet.ip("route add fd00:77::/32 via 2001:db8:2::1")
  }

  private func takeDown() {
    sluice.stop()
    upstream.stop()
    for server in webServers {
      // One process for each connection; a connection that was cut in the middle keeps its own for a minute.
      for child in Processes.descendants(of: server.pid) { Processes.signal(child, SIGKILL) }
      server.signal(SIGKILL)
      _ = try? server.status(within: 5)
    }
    for namespace in [client, host, internet] {
      namespace.delete()
    }
    try? FileManager.default.removeItem(at: folder)
  }

  // MARK: - Asking

  struct DigAnswer {
    var text: String
    var status: String
    /// The last words of the answer section's lines, in the order of the section.
    var values: [String]
    /// Type, TTL and owner of the same.
    var records: [(owner: String, ttl: Int, type: String)]
    var isTruncated: Bool
  }

  /// Asks Sluice as the client; words after `name` are dig's.
  func dig(_ name: String, _ words: String..., server: String = "10.77.1.1") throws -> DigAnswer {
    let arguments = ["dig", "+time=3", "+tries=1", "@\(server)", name] + words
    let output = try Command.run(arguments, in: client)
    guard output.status == 0 else { throw Obstacle("dig \(name): \(output.text) \(output.errors)") }
    return Self.parse(output.text)
  }

  static func parse(_ text: String) -> DigAnswer {
    let lines = text.split(separator: "\n")
    let status = lines.first { $0.contains("status: ") }?.split(separator: "status: ").last?.prefix { $0 != "," }
    let flags = lines.first { $0.hasPrefix(";; flags: ") }?.dropFirst(10).prefix { $0 != ";" }
    var answer = DigAnswer(
      text: text, status: String(status ?? ""), values: [], records: [],
      isTruncated: flags?.split(separator: " ").contains("tc") ?? false)
    var isAnswer = false
    for line in lines {
      if line.hasPrefix(";; ") { isAnswer = line.hasPrefix(";; ANSWER SECTION") }
      guard isAnswer, !line.hasPrefix(";") else { continue }
      let words = line.split(whereSeparator: \.isWhitespace)
      guard words.count >= 5, let ttl = Int(words[1]) else { continue }
      answer.values.append(words[4...].joined(separator: " "))
      answer.records.append((String(words[0]), ttl, String(words[3])))
    }
    return answer
  }

  // MARK: - Asking without dig

  /// A UDP socket of the client, connected to Sluice.
  func socket(to address: String = "10.77.1.1", from source: String? = nil) throws -> Socket {
    try Socket(datagramTo: address, 53, from: client, bind: source)
  }

  func stream(to address: String = "10.77.1.1") throws -> Socket {
    try Socket(streamTo: address, 53, from: client)
  }

  func connects(_ address: String, _ port: UInt16 = 443) throws -> Bool {
    try Socket.connects(address, port, from: client)
  }

  /// The host sends what a client sends to port 443 of an address to another one.
  func translate(_ address: String, to other: String) throws {
    _ = try nft("add table ip translation")
    _ = try nft("add chain ip translation prerouting { type nat hook prerouting priority dstnat; }")
    _ = try nft("add rule ip translation prerouting ip daddr \(address) tcp dport 443 dnat to \(other)")
  }

  func nft(_ line: String) throws -> String {
    try Command.must("nft " + line, in: host)
  }
}
