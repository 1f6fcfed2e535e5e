package import EgressPolicy
import Foundation
import IPNetwork
package import Settings

/// Who on this host has a port that Sluice listens at: by the kernel's tables of sockets and the descriptors of processes
/// (proc(5)). The process is known to root, and to the user whose process it is.
package struct PortHolder: Hashable, Sendable {
  /// The transport whose port it is.
  package enum Transport: String, CaseIterable, Sendable {
    case tcp = "TCP"
    case udp = "UDP"
  }

  /// The process that has the socket; where several share it, the one with the least number.
  package struct Program: Hashable, Sendable {
    /// At most 15 octets: `systemd-resolve`.
    package var name: String
    package var pid: Int32
  }

  /// Where it is bound: the address itself, or every address of a family.
  package var bound: ListenAddress
  /// The number of the user who made the socket.
  package var user: UInt32
  /// Nil where this user may not see whose it is.
  package var program: Program?

  /// Those in the way of a listen address, each program once.
  ///
  /// - Parameter proc: where the kernel's files are.
  package static func find(_ listen: ListenAddress, _ transport: Transport, proc: String = "/proc") -> [PortHolder] {
    let sockets = ["", "6"].flatMap { family in
      let path = "\(proc)/net/\(transport.rawValue.lowercased())\(family)"
      return Self.sockets(FileManager.default.contents(atPath: path) ?? Data(), transport)
    }
    let meeting = sockets.filter { $0.bound.port == listen.port && meets($0.bound, listen) }
    guard !meeting.isEmpty else { return [] }
    let programs = programs(of: Set(meeting.map(\.inode)), proc: proc)
    var holders: [PortHolder] = []
    for socket in meeting {
      let holder = PortHolder(bound: socket.bound, user: socket.user, program: programs[socket.inode])
      let isKnown = holders.contains { $0.program == holder.program && $0.user == holder.user }
      if !isKnown { holders.append(holder) }
    }
    return holders
  }

  /// A warning for each listen address that a program other than Sluice has, at its place in the configuration. A service
  /// manager keeps such sockets for Sluice.
  package static func diagnose(_ settings: Settings, proc: String = "/proc") -> [Diagnostic] {
    zip(settings.listen, settings.listenLocations).flatMap { listen, location in
      others(listen, proc: proc).map { .warning("\($0.text); \($0.remedy)", at: location) }
    }
  }

  /// What programs other than Sluice have of a listen address, and what mends it.
  package static func others(_ listen: ListenAddress, proc: String = "/proc") -> [(text: String, remedy: String)] {
    Transport.allCases.flatMap { transport in
      find(listen, transport, proc: proc).filter { holder in
        // By a socket of every IPv6 address alone it cannot be told whether that takes IPv4 too.
        holder.bound.address.family == listen.address.family
          && holder.program.map { !["sluice", "systemd"].contains($0.name) } ?? false
      }.map { ("\(transport.rawValue) \(listen) is taken by \($0.text)", $0.remedy(for: listen)) }
    }
  }

  /// `dnsmasq (pid 812), which is bound to 0.0.0.0:53`.
  package var text: String {
    let who = program.map { "\($0.name) (pid \($0.pid))" } ?? "a program of the user with the number \(user)"
    return bound.isWildcard ? "\(who), which is bound to \(bound)" : who
  }

  /// What frees the port, a clause.
  package func remedy(for listen: ListenAddress) -> String {
    guard let program else { return "`sudo ss -lptun 'sport = :\(listen.port)'` names it" }
    switch program.name {
    case "aardvark-dns":
      return
        "that is Podman's name server for its networks: make the network with `podman network create --disable-dns …`, "
        + "and its containers with `--dns \(listen.address)`"
    case "systemd-resolve":
      return "list the gateways of the containers' networks under `listen:` instead, or set DNSStubListener=no in "
        + "/etc/systemd/resolved.conf and restart systemd-resolved"
    case "dnsmasq":
      return
        "give its configuration `bind-interfaces` and `except-interface=BRIDGE`; one of libvirt or LXC ends with its network"
    case "docker-proxy": return "a container publishes the port: `docker ps --filter publish=\(listen.port)` names it"
    case "systemd": return "a socket unit has it: `systemctl list-sockets` names it"
    case "sluice": return "another sluice serves there: stop that one first"
    default: return "stop it, or let it listen at other addresses"
    }
  }

  // MARK: - The kernel's tables

  struct Socket: Equatable {
    var bound: ListenAddress
    var user: UInt32
    var inode: UInt64
  }

  /// TCP_LISTEN (proc(5)).
  private static let listening = "0A"

  /// The sockets of a table that are bound: of TCP those that listen. Lines that are none are passed over.
  static func sockets(_ table: Data, _ transport: Transport) -> [Socket] {
    String(decoding: table, as: UTF8.self).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
      guard fields.count >= 10, transport == .udp || fields[3] == listening, let bound = address(fields[1]),
        let user = UInt32(fields[7]), let inode = UInt64(fields[9])
      else { return nil }
      return Socket(bound: bound, user: user, inode: inode)
    }
  }

  /// `0100007F:0035`: words of 32 bits in the order of the machine's octets, and a port.
  private static func address(_ text: Substring) -> ListenAddress? {
    let parts = text.split(separator: ":")
    guard parts.count == 2, let port = UInt16(parts[1], radix: 16), port > 0 else { return nil }
    var words: [UInt32] = []
    var rest = parts[0]
    while !rest.isEmpty {
      guard let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
      words.append(UInt32(bigEndian: word))
      rest = rest.dropFirst(8)
    }
    switch words.count {
    case 1: return ListenAddress(address: IPAddress(v4: words[0]), port: port)
    case 4:
      let high = UInt64(words[0]) << 32 | UInt64(words[1])
      return ListenAddress(address: IPAddress(high: high, low: UInt64(words[2]) << 32 | UInt64(words[3])), port: port)
    default: return nil
    }
  }

  /// Whether one socket keeps another from its address. One of every IPv6 address may take IPv4 as well.
  private static func meets(_ bound: ListenAddress, _ listen: ListenAddress) -> Bool {
    if bound.address.unmapped == listen.address.unmapped { return true }
    if bound.address.family == listen.address.family { return bound.isWildcard || listen.isWildcard }
    return bound.isWildcard && bound.address.family == .v6
  }

  /// The processes that have these sockets, as far as they can be seen.
  private static func programs(of inodes: Set<UInt64>, proc: String) -> [UInt64: Program] {
    // What cannot be listed is not this user's to see, or is over.
    let entries = FileManager.default.enumerator(atPath: proc)
    var programs: [UInt64: Program] = [:]
    var pids: [Int32] = []
    while let entry = entries?.nextObject() as? String {
      entries?.skipDescendants()
      if let pid = Int32(entry) { pids.append(pid) }
    }
    for pid in pids.sorted() {
      let folder = "\(proc)/\(pid)/fd"
      let descriptors = FileManager.default.enumerator(atPath: folder)
      while let descriptor = descriptors?.nextObject() as? String {
        descriptors?.skipDescendants()
        guard let inode = socket(at: "\(folder)/\(descriptor)"), inodes.contains(inode), programs[inode] == nil else {
          continue
        }
        let name = FileManager.default.contents(atPath: "\(proc)/\(pid)/comm") ?? Data()
        programs[inode] = Program(
          name: String(decoding: name, as: UTF8.self).trimmingCharacters(in: .newlines), pid: pid)
      }
    }
    return programs
  }

  /// The socket that a descriptor is, by its link `socket:[12345]`.
  private static func socket(at path: String) -> UInt64? {
    var octets = [UInt8](repeating: 0, count: 64)
    // At most `octets.count` octets are written.
    let count = unsafe readlink(path, &octets, octets.count)
    guard count > 0 else { return nil }
    let text = String(decoding: octets[..<count], as: UTF8.self)
    guard text.hasPrefix("socket:["), text.hasSuffix("]") else { return nil }
    return UInt64(text.dropFirst(8).dropLast())
  }
}
