import Glibc

/// Descriptors, counted so that tests which run beside this one make no difference.
enum Descriptors {
  /// What an open descriptor stands for; nil for one that is not open.
  static func file(_ descriptor: Int32) -> UInt64? {
    var status = stat()
    return unsafe fstat(descriptor, &status) == 0 ? UInt64(status.st_ino) : nil
  }

  /// Sockets of this process that are connected to a port of 127.0.0.1, by datagrams or in streams: another suite's may have the
  /// same port of the other kind.
  static func connected(to port: UInt16, by kind: __socket_type) -> Int {
    // As many as a test process may have open here; numbers that are not sockets have no peer.
    (0..<4096 as Range<Int32>).count { fd in
      var address = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let failed = unsafe withUnsafeMutableBytes(of: &address) { octets in
        unsafe getpeername(fd, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
      }
      var own = Int32(0)
      var size = socklen_t(MemoryLayout<Int32>.size)
      // `own` has the size that is said.
      guard unsafe getsockopt(fd, SOL_SOCKET, SO_TYPE, &own, &size) == 0, own == Int32(kind.rawValue) else {
        return false
      }
      return failed == 0 && address.sin_family == sa_family_t(AF_INET) && address.sin_port == port.bigEndian
    }
  }

  /// Runs `body` under a limit of its own.
  static func withLimit<Value>(_ limit: rlim_t, _ body: () -> Value) -> Value {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var before = rlimit()
    _ = unsafe getrlimit(resource, &before)
    var changed = rlimit(rlim_cur: limit, rlim_max: before.rlim_max)
    _ = unsafe setrlimit(resource, &changed)
    defer { _ = unsafe setrlimit(resource, &before) }
    return body()
  }
}
