import Glibc

/// Descriptors, counted so that tests which run beside this one make no difference.
enum Descriptors {
  /// Sockets of this process that are connected to a port of 127.0.0.1.
  static func connected(to port: UInt16) -> Int {
    // As many as a test process may have open here; numbers that are not sockets have no peer.
    (0..<4096 as Range<Int32>).count { fd in
      var address = sockaddr_in()
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let failed = unsafe withUnsafeMutableBytes(of: &address) { octets in
        unsafe getpeername(fd, octets.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length)
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
