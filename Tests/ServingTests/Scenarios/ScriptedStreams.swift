import Glibc

/// TCP of a scripted upstream, on the port of its datagrams.
final class ScriptedStreams {
  private let listener: Int32
  private var connections: [(socket: Int32, octets: [UInt8])] = []

  /// Nil where another one has the port.
  init?(port: UInt16) {
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let raw = listener
    let isBound = unsafe withUnsafeMutableBytes(of: &address) { octets in  // as many as a sockaddr_in has
      let name = unsafe octets.baseAddress?.assumingMemoryBound(to: sockaddr.self)
      return unsafe bind(raw, name, socklen_t(octets.count)) == 0
    }
    guard isBound, listen(listener, 16) == 0 else { return nil }
  }

  deinit {
    for connection in connections { close(connection.socket) }
    close(listener)
  }

  /// Has each message that came answered with others; whether there was anything to do.
  func takeTurn(_ answers: (_ message: [UInt8]) -> [[UInt8]]) -> Bool {
    var isBusy = false
    while case let socket = accept(listener, nil, nil), socket >= 0 {
      connections.append((socket, []))
      isBusy = true
    }
    for index in connections.indices where read(index) {
      isBusy = true
      for message in messages(index) {
        for answer in answers(message) { write(answer, connections[index].socket) }
      }
    }
    return isBusy
  }

  private func read(_ index: Int) -> Bool {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let socket = connections[index].socket
    let count = unsafe buffer.withUnsafeMutableBytes {
      unsafe recv(socket, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT))
    }
    guard count > 0 else { return false }
    connections[index].octets += buffer[..<count]
    return true
  }

  private func messages(_ index: Int) -> [[UInt8]] {
    var found: [[UInt8]] = []
    while case let octets = connections[index].octets, octets.count >= 2,
      case let end = 2 + Int(octets[0]) << 8 + Int(octets[1]), octets.count >= end
    {
      found.append(Array(octets[2..<end]))
      connections[index].octets.removeFirst(end)
    }
    return found
  }

  private func write(_ message: [UInt8], _ socket: Int32) {
    let framed = [UInt8(truncatingIfNeeded: message.count >> 8), UInt8(truncatingIfNeeded: message.count)] + message
    _ = unsafe framed.withUnsafeBytes { unsafe send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
}
