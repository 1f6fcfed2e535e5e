import CLinux
import Foundation
import Glibc
import Synchronization

/// Takes whatever is sent to port 9000 of any address of a namespace, and counts it.
final class Sink: Sendable {
  static let port: UInt16 = 9_000

  private let listener: Int32
  private let count = Atomic<Int>(0)
  private let isOver = Atomic<Bool>(false)
  private let ended = DispatchSemaphore(value: 0)

  init(in namespace: Namespace) throws {
    listener = try namespace.perform {
      let fd = socket(AF_INET6, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
      var address = sockaddr_in6()
      address.sin6_family = sa_family_t(AF_INET6)
      address.sin6_port = Self.port.bigEndian
      let isBound = unsafe withUnsafePointer(to: address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          unsafe bind(fd, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) == 0
        }
      }
      guard fd >= 0, isBound, listen(fd, 16) == 0 else { throw Obstacle("no sink: \(errno)") }
      return fd
    }
    Thread.detachNewThread { [self] in
      take()
      ended.signal()
    }
  }

  /// Octets that arrived so far.
  var received: Int { count.load(ordering: .relaxed) }

  /// Sends `octets` over one connection; returns when what got through has arrived.
  func upload(to address: String, octets: Int, from namespace: Namespace) throws {
    let connection = try Socket(streamTo: address, Self.port, from: namespace)
    _ = connection.sendAll(octets, within: 5)
    connection.finish(within: 1)
    var last = -1
    try eventually("the sink has taken everything") {
      defer { last = received }
      usleep(100_000)
      return last == received
    }
  }

  func stop() {
    isOver.store(true, ordering: .relaxed)
    ended.wait()
    close(listener)
  }

  private func take() {
    var open: [Int32] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while !isOver.load(ordering: .relaxed) {
      var waits = ([listener] + open).map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard unsafe poll(&waits, nfds_t(waits.count), 20) > 0 else { continue }
      if waits[0].revents != 0 {
        let fd = accept(listener, nil, nil)
        if fd >= 0 { open.append(fd) }
      }
      for wait in waits.dropFirst() where wait.revents != 0 {
        let got = unsafe recv(wait.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        if got > 0 {
          count.wrappingAdd(got, ordering: .relaxed)
        } else {
          close(wait.fd)
          open.removeAll { $0 == wait.fd }
        }
      }
    }
    for fd in open { close(fd) }
  }
}
