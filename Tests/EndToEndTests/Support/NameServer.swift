import Foundation

/// An authoritative upstream for the whole tree: nsd with one zone of the root.
final class NameServer {
  private let process: RunningCommand
  private let namespace: Namespace

  /// Serves `records`, master-file lines with absolute names, on `address`.
  init(records: String, address: String, in namespace: Namespace, folder: URL) throws {
    self.namespace = namespace
    let directory = folder.appending(path: "nsd")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    let zone = """
      $ORIGIN .
      $TTL 60
      . IN SOA ns. hostmaster. 1 3600 600 86400 60
      . IN NS ns.
      ns. IN A \(address)

      """
    try Data((zone + records).utf8).write(to: directory.appending(path: "root.zone"))
    let configuration = """
      server:
        ip-address: \(address)
        username: ""
        chroot: ""
        zonesdir: "\(directory.path)"
        database: ""
        pidfile: "\(directory.path)/nsd.pid"
        xfrdfile: "\(directory.path)/xfrd.state"
        zonelistfile: "\(directory.path)/zone.list"
        server-count: 1
        rrl-ratelimit: 0
        answer-cookie: yes
      remote-control:
        control-enable: no
      zone:
        name: "."
        zonefile: root.zone

      """
    let file = directory.appending(path: "nsd.conf")
    try Data(configuration.utf8).write(to: file)
    process = try RunningCommand(["nsd", "-d", "-c", file.path], in: namespace, folder: folder)
    let dig = ["dig", "+short", "+time=1", "+tries=1", "@\(address)", "ns.", "A"]
    try eventually("nsd answers") {
      guard process.isRunning else { throw Obstacle("nsd: \(process.errors)") }
      return try Command.run(dig, in: namespace).text.hasPrefix(address)
    }
    // Counted by the kernel before nsd sees them, whatever they hold.
    for line in [
      "add table inet watch", "add counter inet watch dns",
      "add chain inet watch arrived { type filter hook input priority -300 ; }",
      "add rule inet watch arrived iifname eth0 meta l4proto { tcp, udp } th dport 53 counter name dns",
    ] {
      try Command.must("nft " + line, in: namespace)
    }
  }

  /// Packets towards port 53 that came in from outside, over UDP and TCP.
  func packets() throws -> Int {
    let text = try Command.must("nft list counter inet watch dns", in: namespace)
    let words = text.split(whereSeparator: \.isWhitespace)
    guard let at = words.firstIndex(of: "packets"), let count = Int(words[at + 1]) else {
      throw Obstacle("no counter in \(text)")
    }
    return count
  }

  /// Stops or continues to answer, without a trace on the network.
  func signal(_ number: Int32) throws {
    // The process that answers is a grandchild of the one that was started.
    for pid in Processes.descendants(of: process.pid) + [process.pid] {
      Processes.signal(pid, number)
    }
  }

  func stop() {
    process.signal(15)
    _ = try? process.status(within: 5)
  }
}
