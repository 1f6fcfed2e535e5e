import LinuxIO

/// The ids of the messages that wait for an answer on one connection, and whose they are.
///
/// An id is drawn for each message, since those of the callers are drawn without regard to each other. That of a message
/// whose caller waits no more stays taken until the answer comes: it must not be another one's.
struct ConnectionIDs<Call> {
  /// As many may be taken, a quarter of all: then one is found in a few draws.
  static var capacity: Int { 16_384 }

  /// By id; nil where the caller waits no more.
  private var calls: [UInt16: Call?] = [:]
  /// Of calls that wait.
  private(set) var count = 0

  var isFull: Bool { calls.count >= Self.capacity }
  /// Whether nothing is to come, not even what is waited for no more.
  var isEmpty: Bool { calls.isEmpty }

  /// - Precondition: not `isFull`.
  mutating func add(_ call: Call, _ random: inout SecureRandom) -> UInt16 {
    precondition(!isFull)
    var id = random.uint16()
    while calls.keys.contains(id) { id = random.uint16() }
    calls[id] = .some(call)
    count += 1
    return id
  }

  /// What an answer with this id is for.
  enum Answered {
    case call(Call)
    /// Its caller waits no more.
    case abandoned
    /// Nothing was asked with it.
    case unasked
  }

  mutating func answered(_ id: UInt16) -> Answered {
    guard let taken = calls.removeValue(forKey: id) else { return .unasked }
    guard let call = taken else { return .abandoned }
    count -= 1
    return .call(call)
  }

  /// The caller waits no more.
  mutating func abandon(_ id: UInt16) {
    guard let taken = calls[id], taken != nil else { return }
    calls[id] = .some(nil)
    count -= 1
  }

  /// All that wait, which they do no more.
  mutating func removeAll() -> [Call] {
    defer { self = Self() }
    return calls.values.compactMap { $0 }
  }
}
