import CLinux
import Glibc

/// Two descriptors that were made together; each is closed once, at the latest when their owner goes.
package struct DescriptorPair: ~Copyable {
  /// -1 once it was closed or taken.
  package private(set) var first: Int32
  /// -1 once it was closed or taken.
  package private(set) var second: Int32

  private init(call: StaticString, _ make: (inout [Int32]) -> Int32) throws(SystemError) {
    var ends: [Int32] = [-1, -1]
    let error = make(&ends)
    guard error == 0 else { throw SystemError(call: call, errno: error) }
    (first, second) = (ends[0], ends[1])
  }

  deinit {
    if first >= 0 { close(first) }
    if second >= 0 { close(second) }
  }

  /// A pipe: what is written to `second` is read from `first`.
  package static func pipe() throws(SystemError) -> DescriptorPair {
    // Two numbers are written, to a list of two.
    try DescriptorPair(call: "pipe2") { ends in unsafe sluice_pipe(&ends) }
  }

  /// Connected local sockets.
  ///
  /// - Parameter ofMessages: `SOCK_SEQPACKET`, for `MessageSocket`; else a stream of octets.
  package static func sockets(ofMessages: Bool) throws(SystemError) -> DescriptorPair {
    // Two numbers are written, to a list of two.
    try DescriptorPair(call: "socketpair") { ends in unsafe sluice_socket_pair(ofMessages ? 1 : 0, &ends) }
  }

  /// Closes the first one, once; `first` is -1 then.
  package mutating func closeFirst() {
    if first >= 0 { close(first) }
    first = -1
  }

  /// Closes the second one, once; `second` is -1 then.
  package mutating func closeSecond() {
    if second >= 0 { close(second) }
    second = -1
  }

  /// Gives the first one another owner.
  ///
  /// - Precondition: it was not closed or taken.
  package mutating func takeFirst() -> FileDescriptor {
    precondition(first >= 0)
    defer { first = -1 }
    return FileDescriptor(first)
  }
}
