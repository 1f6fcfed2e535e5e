import DNSWire
import IPNetwork
import LinuxIO
import TLS
import TestSupport
import Testing

@testable import Upstream

/// A reactor with a pool on the test's thread.
final class Asker {
  let reactor: Reactor
  let pool: UpstreamPool

  convenience init(_ upstreams: [FakeUpstream], limits: UpstreamLimits = Asker.patient) throws {
    try self.init(upstreams.map { Self.server($0.port) }, clients: [:], limits: limits)
  }

  init(_ servers: [UpstreamServer], clients: [UpstreamServer: TLSClient], limits: UpstreamLimits) throws {
    reactor = try Reactor()
    pool = UpstreamPool(reactor: reactor, servers: servers, clients: clients, limits: limits)
  }

  init(_ reactor: Reactor, _ pool: UpstreamPool) { (self.reactor, self.pool) = (reactor, pool) }

  static func server(_ port: UInt16) -> UpstreamServer {
    UpstreamServer(address: IPAddress(v4: 0x7F00_0001), port: port)
  }

  /// Asks and waits for the result.
  func ask(_ name: String = "www.example.com", _ type: RRType = .A) throws -> Result<UpstreamAnswer, UpstreamFailure> {
    var result: Result<UpstreamAnswer, UpstreamFailure>?
    pool.ask(name: Messages.name(name).span, type: type, for: 1) { [reactor] in
      result = $0
      reactor.stop()
    }
    #expect(result == nil, "the result came inside ask")
    run()
    return try #require(result)
  }

  /// Asks for all of them at once; marks by name, none where there is no answer.
  func ask(_ names: [String]) -> [String: UInt8] {
    var marks: [String: UInt8] = [:]
    var ended = 0
    for name in names {
      pool.ask(name: Messages.name(name).span, type: .A, for: 1) { [reactor] result in
        marks[name] = result.mark
        ended += 1
        if ended == names.count { reactor.stop() }
      }
    }
    run()
    return marks
  }

  /// Runs until `condition` holds.
  func until(_ condition: @escaping (UpstreamPool) -> Bool) throws {
    func look() {
      if condition(pool) { return reactor.stop() }
      _ = reactor.schedule(at: .now().adding(milliseconds: 5)) { look() }
    }
    if condition(pool) { return }
    look()
    run()
  }

  /// Runs until no upstream is being judged.
  func settle() throws { try until { $0.states.allSatisfy { !$0.isSuspect } } }

  /// Runs until something stops the reactor; a minute without that are a failure.
  func run() {
    let timer = reactor.schedule(at: .now().adding(milliseconds: 60_000)) { [reactor] in
      Issue.record("no result")
      reactor.stop()
    }
    reactor.run()
    reactor.cancel(timer)
  }

  /// Waits that a loaded machine does not exceed, for scripts in which every upstream answers.
  static var patient: UpstreamLimits { limits(first: 10_000, longest: 10_000) }

  /// For scripts in which some upstreams are silent and some are not.
  static var steady: UpstreamLimits { limits(first: 700, longest: 10_000) }

  /// For scripts in which all are silent.
  static var impatient: UpstreamLimits { limits(first: 40, longest: 120, total: 600) }

  static func limits(first: UInt64, longest: UInt64, total: UInt64 = 30_000) -> UpstreamLimits {
    var limits = UpstreamLimits()
    limits.firstTry = first
    limits.shortestTry = first
    limits.longestTry = longest
    limits.total = total
    return limits
  }
}

extension Result where Success == UpstreamAnswer, Failure == UpstreamFailure {
  /// The last octet of the answer: what scripts tell their answers apart by.
  var mark: UInt8? { (try? get())?.message.last }

  var failure: UpstreamFailure? {
    if case .failure(let failure) = self { failure } else { nil }
  }
}
