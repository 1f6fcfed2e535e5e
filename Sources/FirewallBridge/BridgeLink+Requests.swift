package import FirewallModel
package import GrantLedger

/// What serve asks of the bridge beside commits.
extension BridgeLink {
  /// Closes elements now; commits of them that are still under way end `unavailable`.
  ///
  /// - Parameter cutsFlows: connections that they admitted end too; `completion` learns how many.
  package func revoke(
    _ elements: [GrantElement], cutsFlows: Bool = false,
    _ completion: @escaping (BridgeRequestFailure?, Int) -> Void = { _, _ in }
  ) {
    guard !elements.isEmpty else { return scheduleOnReactor { completion(nil, 0) } }
    complete(queue.revoke(Set(elements)))
    close(elements, cutsFlows: cutsFlows, completion)
  }

  /// Closes elements that make room for nothing new; nothing that waits asked for them.
  package func evict(_ elements: [GrantElement]) {
    queue.leave(elements)
    pump()
  }

  /// Evictions are a part of the batch that they make room for, so that they come in turns like it.
  func evictNow(_ elements: [GrantElement], _ done: @escaping () -> Void = {}) {
    guard !elements.isEmpty else { return done() }
    close(elements, cutsFlows: false) { [weak self] failure, _ in
      if let failure { self?.onEvictionFailure?(elements, failure) }
      done()
    }
  }

  private func close(
    _ elements: [GrantElement], cutsFlows: Bool, _ completion: @escaping (BridgeRequestFailure?, Int) -> Void
  ) {
    var rest = elements[...]
    var failure: BridgeRequestFailure?
    var flows = 0
    var open = (elements.count + BridgeMessage.maximumElements - 1) / BridgeMessage.maximumElements
    while !rest.isEmpty {
      let part = rest.prefix(BridgeMessage.maximumElements)
      rest = rest.dropFirst(part.count)
      nextRequest &+= 1
      let message = BridgeMessage.revoke(
        request: nextRequest, plan: fingerprint, cutsFlows: cutsFlows, elements: Array(part))
      request(nextRequest, [message]) { result in
        switch result {
        case .success(let done): flows += done.flows
        case .failure(let refused): failure = failure ?? refused
        }
        open -= 1
        if open == 0 { completion(failure, flows) }
      }
    }
  }

  /// Which elements still carry connections; `completion` is called for each of the messages in which they are asked
  /// for.
  package func inUse(
    _ elements: [GrantElement], _ completion: @escaping (Result<[GrantElement], BridgeRequestFailure>) -> Void
  ) {
    var rest = elements[...]
    while !rest.isEmpty {
      let part = rest.prefix(BridgeMessage.maximumElements)
      rest = rest.dropFirst(part.count)
      nextRequest &+= 1
      request(nextRequest, [.inUse(request: nextRequest, plan: fingerprint, elements: Array(part))]) {
        completion($0.map { $0.elements.map(\.element) })
      }
    }
  }

  /// Has new connections to elements refused for a while, because the gate could not make one.
  package func refuseUnreachable(
    _ elements: [GrantElement], _ completion: @escaping (BridgeRequestFailure?) -> Void = { _ in }
  ) {
    let part = Array(elements.prefix(BridgeMessage.maximumElements))
    nextRequest &+= 1
    request(nextRequest, [.unreachable(request: nextRequest, plan: fingerprint, elements: part)]) {
      completion($0.failure)
    }
  }

  /// What the kernel holds for a server.
  package func list(
    server: UInt16, _ completion: @escaping (Result<[ListedElement], BridgeRequestFailure>) -> Void
  ) {
    nextRequest &+= 1
    request(nextRequest, [.listServer(request: nextRequest, plan: fingerprint, server: server)]) {
      completion($0.map(\.elements))
    }
  }

  /// Deletes a managed table, with everything that is open; the bridge then waits for a plan.
  package func removeTable(_ table: String, _ completion: @escaping (BridgeRequestFailure?) -> Void) {
    nextRequest &+= 1
    request(nextRequest, [.removeTable(request: nextRequest, table: table)]) { completion($0.failure) }
  }

  /// Has the bridge read the configuration's files again: plans and elements are held against what they say from then on.
  /// A failure says what could not be read; then the former bounds stay.
  package func readAgain(_ completion: @escaping (BridgeRequestFailure?) -> Void) {
    nextRequest &+= 1
    request(nextRequest, [.readAgain(request: nextRequest)]) { completion($0.failure) }
  }

  /// Has the bridge tell what was refused until now, and close the books of it.
  package func closeBooks(_ completion: @escaping (BridgeRequestFailure?) -> Void) {
    nextRequest &+= 1
    request(nextRequest, [.closeBooks(request: nextRequest)]) { completion($0.failure) }
  }

  /// Learns that the bridge has done all that it was asked before, or why it does not answer.
  package func ping(_ completion: @escaping (BridgeRequestFailure?) -> Void) {
    nextRequest &+= 1
    request(nextRequest, [.ping(request: nextRequest)]) { completion($0.failure) }
  }
}

extension Result where Failure == BridgeRequestFailure {
  var failure: BridgeRequestFailure? {
    if case .failure(let failure) = self { failure } else { nil }
  }
}

extension BridgeMessage {
  /// Connections are read and cut by a thread of the bridge's, files are read by a process, and books are closed when the
  /// kernel's log has come; everything else is done before anything that follows.
  var mayBeDoneLate: Bool {
    switch self {
    case .inUse, .readAgain, .closeBooks, .revoke(_, _, cutsFlows: true, _): true
    default: false
    }
  }
}
