import LinuxIO

/// What goes one way through a connection. A pipe is held only while octets are in it.
struct GateDirection: ~Copyable {
  /// What was read here and goes before everything else.
  var buffer: [UInt8] = []
  private var given = 0
  private var pipe: PassingPipe?
  /// Octets that were given away.
  private(set) var sent = 0
  private(set) var isEnded = false
  /// The other side was told of the end.
  private(set) var isFinished = false
  private(set) var waitsForSink = false

  /// Whether more can be taken.
  var takesMore: Bool { !isEnded && !waitsForSink }

  /// Moves octets until there are none, or no room; false where either side failed.
  ///
  /// - Parameters:
  ///   - rounds: so often a pipe is filled at most.
  ///   - takes: false gives what is here, and takes nothing.
  mutating func pump(from source: Int32, to sink: Int32, rounds: Int, takes: Bool, _ gate: GateLoop) -> Bool {
    waitsForSink = false
    guard !isFinished else { return true }
    guard giveBuffer(to: sink) else { return false }
    for _ in 0..<rounds where !waitsForSink {
      guard drain(to: sink) else { return false }
      if waitsForSink { break }
      guard takes, !isEnded else { break }
      switch fill(from: source, gate) {
      case .octets: continue
      case .end: isEnded = true
      case .wouldWait: return release(to: gate)
      case .failed: return false
      }
      break
    }
    guard !waitsForSink else { return true }
    guard drain(to: sink) else { return false }
    if isEnded && !waitsForSink && takes {
      PassingSockets.finish(sink)
      isFinished = true
    }
    return waitsForSink || release(to: gate)
  }

  private mutating func fill(from source: Int32, _ gate: GateLoop) -> PassingSockets.Outcome {
    if pipe == nil { pipe = gate.takePipe() }
    return pipe?.fill(from: source) ?? .failed(0)
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
