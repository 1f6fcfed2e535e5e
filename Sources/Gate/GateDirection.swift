import LinuxIO

/// What goes one way through a connection. A pipe is held only while octets are in it.
///
/// Octets that come few at a time are copied, which takes two system calls; what comes in whole portions goes through a pipe and
/// is not copied, until less comes again.
struct GateDirection: ~Copyable {
  /// What was read here and goes before everything else.
  private(set) var buffer: [UInt8] = []
  private var given = 0
  private var pipe: PassingPipe?
  /// More comes than one portion at a time.
  private var isBulk = false
  /// Octets that were given away.
  private(set) var sent = 0
  /// Octets that came in, given away or not.
  private(set) var taken = 0
  /// As many octets may still be taken.
  var room = Int.max
  /// There are more than may be taken.
  private(set) var isBeyond = false
  private(set) var isEnded = false
  /// The other side was told of the end.
  private(set) var isFinished = false
  private(set) var waitsForSink = false

  /// What may be taken besides what is here already.
  enum Taking {
    /// Nothing, and no end is passed on.
    case nothing
    /// Nothing, since nothing has come.
    case rest
    case all
  }

  /// Whether more can be taken.
  var takesMore: Bool { !isEnded && !waitsForSink }

  /// Takes octets that were read elsewhere.
  mutating func append(_ octets: some Collection<UInt8>) {
    buffer += octets
    taken += octets.count
  }

  /// Moves octets until there are none, or no room; false where either side failed.
  ///
  /// - Parameters:
  ///   - rounds: so often octets are taken at most.
  ///   - taking: what is here already is given in any case.
  mutating func pump(from source: Int32, to sink: Int32, rounds: Int, _ taking: Taking, _ gate: GateLoop) -> Bool {
    waitsForSink = false
    isBeyond = false
    guard !isFinished else { return true }
    guard giveBuffer(to: sink) else { return false }
    for _ in 0..<rounds where !waitsForSink {
      guard drain(to: sink) else { return false }
      if waitsForSink { break }
      guard taking == .all, !isEnded else { break }
      switch isBulk ? fill(from: source, to: sink, gate) : copy(from: source, to: sink, gate) {
      // A portion that is not full: nothing else has come, unless no more may be taken.
      case .octets where isBulk || pipe != nil || room == 0: continue
      case .octets: break
      case .end: isEnded = true
      case .wouldWait: return release(to: gate)
      case .failed: return false
      }
      break
    }
    guard !waitsForSink else { return true }
    guard drain(to: sink) else { return false }
    if isEnded && !waitsForSink && taking != .nothing {
      PassingSockets.finish(sink)
      isFinished = true
    }
    return waitsForSink || release(to: gate)
  }

  private mutating func fill(from source: Int32, to sink: Int32, _ gate: GateLoop) -> PassingSockets.Outcome {
    guard room > 0 else { return lookBeyond(source) }
    if pipe == nil { pipe = gate.takePipe() }
    // Where the kernel gives no pipe octets pass all the same.
    guard let outcome = pipe?.fill(from: source, limit: min(room, PassingPipe.size)) else {
      return copy(from: source, to: sink, gate)
    }
    if case .octets(let count) = outcome {
      isBulk = count >= gate.portion.count
      note(count)
    }
    return outcome
  }

  /// Takes a portion and gives it at once; what there is no room for stays here.
  private mutating func copy(from source: Int32, to sink: Int32, _ gate: GateLoop) -> PassingSockets.Outcome {
    guard room > 0 else { return lookBeyond(source) }
    let outcome = PassingSockets.receive(source, into: &gate.portion, limit: room)
    guard case .octets(let count) = outcome else { return outcome }
    isBulk = count == gate.portion.count
    note(count)
    var left = 0
    switch PassingSockets.send(sink, gate.portion, from: 0, to: count) {
    case .octets(let given): left = given
    case .wouldWait: break
    case .end, .failed: return .failed(0)
    }
    sent += left
    if left < count {
      buffer = Array(gate.portion[left..<count])
      waitsForSink = true
    }
    return outcome
  }

  private mutating func note(_ octets: Int) {
    taken += octets
    if room != .max { room -= octets }
  }

  /// Where nothing more may be taken: whether there is something.
  private mutating func lookBeyond(_ source: Int32) -> PassingSockets.Outcome {
    let outcome = PassingSockets.peek(source)
    guard case .octets = outcome else { return outcome }
    isBeyond = true
    return .wouldWait
  }

  private mutating func giveBuffer(to sink: Int32) -> Bool {
    while given < buffer.count {
      switch PassingSockets.send(sink, buffer, from: given) {
      case .octets(let count):
        given += count
        sent += count
      case .wouldWait:
        waitsForSink = true
        return true
      case .end, .failed: return false
      }
    }
    (buffer, given) = ([], 0)
    return true
  }

  private mutating func drain(to sink: Int32) -> Bool {
    while let held = pipe?.held, held > 0 {
      switch pipe?.drain(to: sink) ?? .end {
      case .octets(let count): sent += count
      case .wouldWait:
        waitsForSink = true
        return true
      case .end, .failed: return false
      }
    }
    return true
  }

  private mutating func release(to gate: GateLoop) -> Bool {
    if pipe?.held == 0, let pipe = pipe.take() { gate.give(pipe) }
    return true
  }

  /// What is under way is lost.
  mutating func discard(_ gate: GateLoop) {
    buffer = []
    if let pipe = pipe.take() { gate.give(pipe) }
  }
}
