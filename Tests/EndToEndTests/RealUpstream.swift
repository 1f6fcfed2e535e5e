import Foundation
import IPNetwork
import TestSupport

/// A real server in front of the testbed's name server, by TLS or by HTTPS.
enum RealUpstream: String, CaseIterable, Sendable {
  case unbound, nsd
  /// By HTTPS.
  case dnsdist

  /// What their certificates are for.
  static let name = "dns.example.net"
  /// Where messages are posted.
  private static let path = "/dns-query"

  private var isHTTP: Bool { self == .dnsdist }
  private var port: UInt16 { isHTTP ? 8443 : 853 }

  /// As `status` tells it.
  var address: String { address(path: Self.path) }

  private func address(path: String) -> String {
    let place = "\(Testbed.upstreamAddress):\(port)"
    return isHTTP ? "https://\(place)\(path)#\(Self.name)" : "tls://\(place)#\(Self.name)"
  }

  /// A testbed whose only upstream it is, believed where `Testbed.trust` says so.
  func settings(path: String = RealUpstream.path, pins: [String] = []) -> TestbedSettings {
    var settings = TestbedSettings()
    let more = pins.isEmpty ? "" : ", pins: [ \"\(pins.joined(separator: "\", \""))\" ]"
    settings.upstreams = "[ { address: \"\(address(path: path))\", ca: authorities.pem\(more) } ]"
    settings.startsSluice = false
    return settings
  }

  func start(_ identity: TestAuthority.Identity, _ bed: Testbed) throws -> RunningCommand {
    let folder = bed.folder.appending(path: rawValue + "-upstream")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let file = folder.appending(path: "server.conf")
    try Data(configuration(identity, folder, bed).utf8).write(to: file)
    let words = isHTTP ? ["--supervised", "--disable-syslog", "-C", file.path] : ["-d", "-c", file.path]
    let command = try RunningCommand([rawValue] + words, in: bed.internet, folder: bed.folder)
    try eventually("\(rawValue) listens") {
      guard command.isRunning else { throw Obstacle("\(rawValue): \(command.errors)") }
      return try Socket.connects(Testbed.upstreamAddress, port, from: bed.host)
    }
    return command
  }

  private func configuration(_ identity: TestAuthority.Identity, _ folder: URL, _ bed: Testbed) -> String {
    let tls = """
        tls-port: 853
        tls-service-key: "\(identity.key)"
        tls-service-pem: "\(identity.certificate)"
        username: ""
        chroot: ""
        pidfile: "\(folder.path)/server.pid"
      """
    switch self {
    case .unbound:
      return """
        server:
          interface: \(Testbed.upstreamAddress)@853
        \(tls)
          access-control: 0.0.0.0/0 allow
          do-not-query-localhost: no
          module-config: "iterator"
          num-threads: 1
          use-syslog: no
        forward-zone:
          name: "."
          forward-addr: \(Testbed.upstreamAddress)

        """
    case .nsd:
      return """
        server:
          ip-address: \(Testbed.upstreamAddress)@853
        \(tls)
          zonesdir: "\(bed.folder.path)/nsd"
          database: ""
          xfrdfile: "\(folder.path)/xfrd.state"
          zonelistfile: "\(folder.path)/zone.list"
          server-count: 1
          rrl-ratelimit: 0
        remote-control:
          control-enable: no
        zone:
          name: "."
          zonefile: root.zone

        """
    case .dnsdist:
      return """
        setACL("0.0.0.0/0")
        newServer({ address = "\(Testbed.upstreamAddress):53", checkInterval = 60, mustResolve = false })
        addDOHLocal("\(Testbed.upstreamAddress):\(port)", "\(identity.certificate)", "\(identity.key)", "\(Self.path)")

        """
    }
  }
}

extension Testbed {
  /// Puts an authority's certificate where upstreams of `RealUpstream.settings` are believed by it.
  func trust(_ authority: TestAuthority) throws {
    try Data(contentsOf: URL(filePath: authority.certificate)).write(to: folder.appending(path: "authorities.pem"))
  }
}
