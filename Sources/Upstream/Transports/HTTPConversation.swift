import HTTP2
import LinuxIO

/// Messages by HTTP/2 (RFC 8484): each is a request of its own, and what tells answers apart is the stream.
///
/// Their ids are 0 (RFC 8484 section 4.1). So they need not be guessed, which is not what protects an answer here: its stream
/// is within TLS.
final class HTTPConversation: Conversation {
  private let session: HTTP2Session
  private var calls: [UInt32: SharedCall] = [:]
  /// What came, and how much of it was told.
  private var events: [HTTP2Session.Event] = []
  private var told = 0
  private var hasToldOfBreach = false

  init(_ server: UpstreamServer) {
    session = HTTP2Session(authority: server.authority, path: server.path ?? "/")
  }

  var isReady: Bool { session.isOpen }
  var hasRoom: Bool { session.hasRoom }
  var isSpent: Bool { session.isSpent }
  var count: Int { calls.count }
  /// Servers say it by leaving.
  var idle: UInt64? { nil }

  func send(_ call: SharedCall, _ random: inout SecureRandom) -> UInt32 {
    var message = call.message
    (message[0], message[1]) = (0, 0)
    let stream = session.post(message)
    calls[stream] = call
    return stream
  }

  func abandon(_ id: UInt32) {
    if calls.removeValue(forKey: id) != nil { session.abandon(id) }
  }

  func receive(_ octets: ArraySlice<UInt8>) {
    if told == events.count {
      events = []
      told = 0
    }
    events += session.receive(Array(octets))
  }

  func next() -> ConversationEvent? {
    while told < events.count {
      let event = events[told]
      told += 1
      if let event = translated(event) { return event }
    }
    guard session.isBroken, !hasToldOfBreach else { return nil }
    hasToldOfBreach = true
    return .broken
  }

  /// - Returns: nil for what became of a message that is waited for no more.
  private func translated(_ event: HTTP2Session.Event) -> ConversationEvent? {
    switch event {
    case .leaving: return .leaving
    case .dropped(let stream): return calls.removeValue(forKey: stream).map { .dropped($0) }
    case .failed(let stream, let failure): return calls.removeValue(forKey: stream).map { .failed($0, failure) }
    case .answered(let stream, let answer):
      guard let call = calls.removeValue(forKey: stream) else { return nil }
      var message = answer.message
      guard message[0] == 0, message[1] == 0, UpstreamQuery.repeats(message, questionOf: call.message) else {
        return .dropped(call)
      }
      (message[0], message[1]) = call.id
      UpstreamQuery.age(&message, by: answer.age)
      return .answered(call, message)
    }
  }

  func takeOutput(_ take: (ArraySlice<UInt8>) -> Void) {
    var output: [UInt8] = []
    session.takeOutput(into: &output)
    if !output.isEmpty { take(output[...]) }
  }

  func end() -> [SharedCall] {
    session.end()
    defer { calls = [:] }
    return Array(calls.values)
  }
}
