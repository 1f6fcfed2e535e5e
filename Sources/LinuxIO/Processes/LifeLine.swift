import Glibc

/// One end of the socket between a helper and what keeps it: the supervisor asks, the helper answers, and each sees by its end
/// that the other is gone.
package struct LifeLine {
  /// What was heard at this end.
  package enum Word: Hashable, Sendable {
    case nothing
    /// The other side asked, or answered.
    case said
    case gone
  }

  /// Far more than the questions of a helper's longest silence; more than that waits for the next look.
  private static let mostWords = 16

  /// Stays its owner's.
  package let descriptor: Int32

  package init(_ descriptor: Int32) {
    self.descriptor = descriptor
  }

  /// Makes both ends.
  package static func pair() throws(SystemError) -> DescriptorPair { try .sockets(ofMessages: false) }

  /// Asks, or answers. Where the socket is full the other side has words enough to read.
  package func speak() { _ = MessageSocket.send([1], descriptor, waiting: false) }

  /// Takes what the other side said, without waiting.
  package func listen() -> Word {
    var octets = [UInt8](repeating: 0, count: Self.mostWords)
    return switch MessageSocket.receive(descriptor, into: &octets) {
    case .octets: .said
    case .nothing: .nothing
    case .closed: .gone
    }
  }

  /// The helper's part: answers if it was asked. Returns false when the supervisor is gone.
  package func answer() -> Bool {
    let word = listen()
    if word == .said { speak() }
    return word != .gone
  }
}
