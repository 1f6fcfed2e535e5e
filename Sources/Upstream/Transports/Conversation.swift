import HTTP2
import LinuxIO

/// How messages go by a connection once it is open: what is written for each, and which answer is whose. Octets go in and out;
/// socket and TLS are the connection's.
protocol Conversation: AnyObject {
  /// Whether the server is ready for messages.
  var isReady: Bool { get }
  /// Whether one more message may be sent now.
  var hasRoom: Bool { get }
  /// Whether no message may be sent ever again, or not for long: another connection is needed.
  var isSpent: Bool { get }
  /// Of messages that are waited for.
  var count: Int { get }
  /// Milliseconds for which the server keeps a connection that has nothing to do; nil where it does not say.
  var idle: UInt64? { get }

  /// Takes a message to be sent; returns by what the connection names it. There is output.
  ///
  /// - Precondition: `isReady` and `hasRoom`.
  func send(_ call: SharedCall, _ random: inout SecureRandom) -> UInt32
  /// A message is waited for no more; its answer may still come.
  func abandon(_ id: UInt32)
  /// Takes what the server says. There may be events, and output.
  func receive(_ octets: ArraySlice<UInt8>)
  /// What came of it next.
  func next() -> ConversationEvent?
  /// Hands over what is to be said to the server, in the pieces that leave together: each is a record of its own within TLS.
  func takeOutput(_ take: (ArraySlice<UInt8>) -> Void)
  /// Says that nothing more comes, where there is a word for it; returns those that wait, which they do no more.
  func end() -> [SharedCall]
}

/// What came by a connection.
enum ConversationEvent {
  /// An answer, with the id of the call.
  case answered(SharedCall, [UInt8])
  /// The server said that there is none, and why.
  case failed(SharedCall, HTTPFailure)
  /// There will be none by this connection.
  case dropped(SharedCall)
  /// An answer that is waited for no more.
  case unheard
  /// The server takes no more messages.
  case leaving
  /// What the server says breaks the rules.
  case broken
}

/// Messages after their lengths (RFC 1035 section 4.2.2), with ids of the connection (RFC 7766 section 6.2.1).
final class FramedConversation: Conversation {
  private var frames = MessageFrames()
  private var ids = ConnectionIDs<SharedCall>()
  private var output: [UInt8] = []
  private var isBroken = false
  private var hasAnswered = false
  private(set) var idle: UInt64?

  var isReady: Bool { true }
  var hasRoom: Bool { !ids.isFull }
  var isSpent: Bool { ids.isFull }
  var count: Int { ids.count }

  func send(_ call: SharedCall, _ random: inout SecureRandom) -> UInt32 {
    let id = ids.add(call, &random)
    MessageFrames.append(call.message, id: id, to: &output)
    return UInt32(id)
  }

  func abandon(_ id: UInt32) { ids.abandon(UInt16(truncatingIfNeeded: id)) }

  func receive(_ octets: ArraySlice<UInt8>) { frames.append(octets) }

  func next() -> ConversationEvent? {
    guard !isBroken else { return nil }
    do throws(MessageFrames.MalformedError) {
      guard let message = try frames.next() else { return nil }
      return take(message)
    } catch {
      isBroken = true
      return .broken
    }
  }

  private func take(_ message: consuming [UInt8]) -> ConversationEvent {
    if !hasAnswered { idle = UpstreamQuery.keepalive(message.span) }
    hasAnswered = true
    switch ids.answered(UInt16(message[0]) << 8 | UInt16(message[1])) {
    case .abandoned: return .unheard
    case .unasked:
      isBroken = true
      return .broken
    case .call(let call):
      (message[0], message[1]) = call.id
      return .answered(call, message)
    }
  }

  /// Each message by itself: a server that has decrypted two, and waits for its socket before it looks at the second one,
  /// would wait for ever (dnsdist 1.7 does now and then).
  func takeOutput(_ take: (ArraySlice<UInt8>) -> Void) {
    var start = 0
    while start < output.count {
      let end = start + 2 + Int(output[start]) << 8 + Int(output[start + 1])
      take(output[start..<end])
      start = end
    }
    output.removeAll(keepingCapacity: true)
  }

  func end() -> [SharedCall] {
    // Those that wait may be sent again: what has not left yet does not leave.
    output = []
    return ids.removeAll()
  }
}
