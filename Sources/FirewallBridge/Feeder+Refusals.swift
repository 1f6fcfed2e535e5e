import LinuxIO

/// Telling serve which connections the table refused.
extension Feeder {
  func report(_ reader: RefusalReader) {
    guard let feeder else {
      _ = reader.drain { _ in }
      return
    }
    var refused: [RefusedConnection] = []
    let isWhole = reader.drain { packet in
      if refused.count < BridgeMessage.maximumRefusals, let connection = feeder.connection(of: packet) {
        refused.append(connection)
      }
    }
    if !isWhole { lostRefusals += 1 }
    guard !refused.isEmpty else { return }
    // The kernel bounds how many there are; should serve stand still all the same, feeding goes on.
    guard mention(.refusals(refused)) else {
      lostRefusals += refused.count
      return
    }
    if lostRefusals > 0, mention(.notice("\(lostRefusals) or more refused connections left no event: too many at once"))
    {
      lostRefusals = 0
    }
  }
}

extension SetFeeder {
  /// Reads the table's own prefix: `sluice SERVER [WHY] `; nil for what no rule of ours logged.
  func connection(of packet: RefusedPacket) -> RefusedConnection? {
    let words = packet.prefix.split(separator: " ")
    guard words.count == 2 || words.count == 3, words[0] == "sluice" else { return nil }
    var kind = RefusedConnection.Kind.closed
    if words.count == 3 {
      switch words[2] {
      case "max-bytes": kind = .maxBytes
      case "max-bytes-per-hour": kind = .maxBytesPerHour
      case "spoofed": kind = .spoofed
      case "held" where words[1] == "host": kind = .held
      case "inbound" where words[1] == "host": kind = .inbound
      default: return nil
      }
    }
    let server = serverIndex(String(words[1]))
    if server == nil, kind == .closed {
      guard words[1] == "host" else { return nil }
      kind = .host
    }
    return RefusedConnection(
      server: server, kind: kind, source: packet.source, sourcePort: packet.sourcePort,
      destination: packet.destination, transport: packet.transport, port: packet.port, length: packet.length)
  }
}
