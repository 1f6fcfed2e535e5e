import CLinux
import Glibc

/// A network namespace of the test's own, on this thread.
enum RouteNamespace {
  static let isRoot = geteuid() == 0
  static let reason = "needs root: makes network namespaces"

  struct Failure: Error, CustomStringConvertible {
    var description: String
  }

  /// Runs `body` on this thread in a namespace of its own, which is gone afterwards.
  static func perform<T>(_ body: () throws -> T) throws -> T {
    let home = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0, sluice_new_network_namespace() == 0 else {
      throw Failure(description: "no network namespace: error \(errno)")
    }
    defer {
      precondition(sluice_enter_network_namespace(home) == 0)
      close(home)
    }
    return try body()
  }

  /// Runs `ip LINE` in the namespace of this thread.
  static func ip(_ line: String) throws {
    try run("ip \(line)")
  }

  static func run(_ line: String) throws {
    guard let stream = unsafe popen("PATH=/usr/sbin:/usr/bin:/sbin:/bin; \(line) 2>&1", "r") else {
      throw Failure(description: "no shell")
    }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4_096)
    while true {
      let count = unsafe fread(&chunk, 1, chunk.count, stream)
      guard count > 0 else { break }
      output += chunk.prefix(count)
    }
    guard unsafe pclose(stream) == 0 else {
      throw Failure(description: "\(line): \(String(decoding: output, as: UTF8.self))")
    }
  }
}
