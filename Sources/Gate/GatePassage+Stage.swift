/// How far a connection has come.
extension GatePassage {
  enum Stage {
    case hello
    /// Waits for the record and the connection.
    case opening
    /// It is recorded, and the proxy that it goes through is told whose it is.
    case inspecting
    /// The hello is on its way, and of the answer too little has come.
    case answer
    case secondHello
    case passes
    case ended
  }

  /// Whether it is past its judgement.
  var isPassing: Bool {
    switch stage {
    case .answer, .secondHello, .passes: true
    case .hello, .opening, .inspecting, .ended: false
    }
  }
}
