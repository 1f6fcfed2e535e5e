import CLinux
import Foundation
import Glibc

/// A network namespace of the test's own, deleted with everything in it.
final class Namespace {
  let name: String

  init(_ label: String) throws {
    name = "sluice-e2e-\(getpid())-\(label)"
    _ = try? Command.must("ip netns delete \(name)")
    try Command.must("ip netns add \(name)")
    try Command.must("ip netns exec \(name) sysctl -q -w net.ipv6.conf.default.accept_dad=0")
    try Command.must("ip -n \(name) link set lo up")
  }

  var path: String { "/run/netns/\(name)" }

  func delete() {
    _ = try? Command.must("ip netns delete \(name)")
  }

  @discardableResult
  func must(_ line: String) throws -> String {
    try Command.must(line, in: self)
  }

  func ip(_ line: String) throws {
    try Command.must("ip -n \(name) \(line)")
  }

  /// Runs `body` on this thread inside the namespace: sockets that it opens stay there. It must not suspend.
  func perform<T>(_ body: () throws -> T) throws -> T {
    let home = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    let target = unsafe open(path, O_RDONLY | O_CLOEXEC)
    defer {
      close(home)
      close(target)
    }
    guard home >= 0, target >= 0, sluice_enter_network_namespace(target) == 0 else {
      throw Obstacle("cannot enter \(name): \(errno)")
    }
    defer { precondition(sluice_enter_network_namespace(home) == 0, "the thread is lost in \(name)") }
    return try body()
  }
}
