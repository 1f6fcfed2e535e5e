import Glibc
import LinuxIO

/// Loopback addresses as the tests write them.
extension SocketAddress {
  static func v4(_ low: UInt64, port: UInt16 = 0) -> SocketAddress {
    SocketAddress(isV6: false, high: 0, low: low, port: port)
  }

  static func v6(high: UInt64 = 0, low: UInt64, port: UInt16 = 0) -> SocketAddress {
    SocketAddress(isV6: true, high: high, low: low, port: port)
  }
}

/// What tests ask of a socket beside what LinuxIO does.
enum LoopbackSocket {
  /// The interface's index.
  static var interface: UInt32 { unsafe if_nametoindex("lo") }

  /// The port that a socket is bound to.
  static func port(of socket: Int32) -> UInt16 {
    var storage = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let failed = unsafe withUnsafeMutableBytes(of: &storage) { octets in
      unsafe getsockname(socket, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
    }
    // The port stands at the same place for both families.
    return failed == 0 ? UInt16(bigEndian: storage.sin6_port) : 0
  }

  static func option(_ socket: Int32, _ level: Int, _ name: Int32) -> Int32 {
    var value: Int32 = -1
    var length = socklen_t(MemoryLayout<Int32>.size)
    _ = unsafe getsockopt(socket, Int32(level), name, &value, &length)
    return value
  }

  static func setOption(_ socket: Int32, _ level: Int, _ name: Int32, _ value: Int32) {
    var value = value
    _ = unsafe setsockopt(socket, Int32(level), name, &value, socklen_t(MemoryLayout<Int32>.size))
  }

  static func send(_ octets: [UInt8], on socket: Int32) -> Bool {
    unsafe octets.withUnsafeBytes { unsafe Glibc.send(socket, $0.baseAddress, $0.count, 0) } == octets.count
  }

  /// Sends from a socket that is not connected.
  static func send(_ octets: [UInt8], from socket: Int32, to address: SocketAddress) -> Bool {
    let port = address.port.bigEndian
    if address.isV6 {
      var target = sockaddr_in6()
      target.sin6_family = sa_family_t(AF_INET6)
      target.sin6_port = port
      unsafe withUnsafeMutableBytes(of: &target.sin6_addr) { octets in
        unsafe octets.storeBytes(of: address.high.bigEndian, as: UInt64.self)
        unsafe octets.storeBytes(of: address.low.bigEndian, toByteOffset: 8, as: UInt64.self)
      }
      return unsafe withUnsafeBytes(of: &target) { unsafe send(octets, from: socket, to: $0) }
    }
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = port
    target.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.low).bigEndian
    return unsafe withUnsafeBytes(of: &target) { unsafe send(octets, from: socket, to: $0) }
  }

  private static func send(_ octets: [UInt8], from socket: Int32, to target: UnsafeRawBufferPointer) -> Bool {
    let sent = unsafe octets.withUnsafeBytes { octets in
      unsafe sendto(
        socket, octets.baseAddress, octets.count, 0, target.baseAddress?.assumingMemoryBound(to: sockaddr.self),
        socklen_t(target.count))
    }
    return sent == octets.count
  }

  /// Whether something to read comes within the time; a blocking read after it can't hang a test.
  static func isReadable(_ socket: Int32, within milliseconds: Int32 = 5000) -> Bool {
    var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, milliseconds) == 1
  }

  /// Waits up to five seconds for one datagram; nil if none comes.
  static func receive(_ socket: Int32) -> [UInt8]? {
    guard isReadable(socket) else { return nil }
    var buffer = [UInt8](repeating: 0, count: 8192)
    let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(socket, $0.baseAddress, $0.count, 0) }
    return count < 0 ? nil : Array(buffer[..<count])
  }

  /// A listening TCP socket on an address and a port of the kernel's choice.
  static func listenTCP(isV6: Bool) throws(SystemError) -> FileDescriptor {
    let raw = socket(isV6 ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard raw >= 0, listen(raw, 8) == 0 else { throw SystemError(call: "listen", errno: errno) }
    return FileDescriptor(raw)
  }
}
