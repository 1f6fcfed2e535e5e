import Foundation
import HostNetwork
import IPNetwork
import LinuxIO
import Synchronization

/// Follows the host's network: the reactor hears of changes, another thread reads, since routing tables may be long.
final class HostWatcher {
  /// Milliseconds between the end of a reading and the next; or four times as long as it took.
  private static let pause: UInt64 = 20
  /// After how many milliseconds a reading that failed is tried again.
  private static let retry: UInt64 = 1_000

  private final class Reader: Sendable {
    private let socket: Mutex<RouteSocket>

    init() throws(SystemError) {
      socket = Mutex(try RouteSocket())
    }

    /// Routes by gateways say nothing of what is on a link.
    func read() -> Result<HostNetwork, SystemError> {
      socket.withLock { socket in
        do throws(SystemError) {
          return .success(try socket.read { $0.gateway == nil && $0.destination.length > 0 })
        } catch {
          return .failure(error)
        }
      }
    }
  }

  private let news: RouteSocket
  private let reader: Reader
  private let reactor: Reactor
  private let mailbox: Mailbox<ResolverMessage>
  private var turns = ReadingTurns()
  private var begun = MonotonicTime.now()
  private var isFailing = false
  /// Called on the reactor's thread with what was read.
  var onChange: ((HostNetwork) -> Void)?

  /// Hears of every change from here on.
  init(reactor: Reactor, mailbox: Mailbox<ResolverMessage>) throws(SystemError) {
    self.reactor = reactor
    self.mailbox = mailbox
    news = try RouteSocket()
    reader = try Reader()
    try reactor.register(news.descriptor, readable: true, writable: false) { [unowned self] _ in
      if news.drain(), turns.changed() { read() }
    }
  }

  /// Reads on this thread.
  func current() throws(SystemError) -> HostNetwork { try reader.read().get() }

  private func read() {
    begun = .now()
    Thread.detachNewThread { [reader, mailbox] in mailbox.post(.host(reader.read())) }
  }

  /// A reading ended.
  func take(_ outcome: Result<HostNetwork, SystemError>) {
    var wait = max(Self.pause, (MonotonicTime.now().nanoseconds - begun.nanoseconds) / 1_000_000 * 4)
    switch outcome {
    case .success(let network):
      isFailing = false
      turns.ended(hasFailed: false)
      onChange?(network)
    case .failure(let error):
      if !isFailing { StandardError.write("sluice: the host's network cannot be read, trying again: \(error)") }
      (isFailing, wait) = (true, Self.retry)
      turns.ended(hasFailed: true)
    }
    _ = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: wait)) { [unowned self] in
      if turns.rested() { read() }
    }
  }
}

/// When the host's network is read: once at a time, and again where something changed since a reading began, or it failed.
struct ReadingTurns {
  private var isReading = false
  private var isStale = false

  /// Something changed; whether a reading is to begin now.
  mutating func changed() -> Bool {
    isStale = true
    return begin()
  }

  /// The reading ended. Another one begins after a rest at the soonest.
  mutating func ended(hasFailed: Bool) { isStale = isStale || hasFailed }

  /// Whether a reading is to begin now.
  mutating func rested() -> Bool {
    isReading = false
    return begin()
  }

  private mutating func begin() -> Bool {
    guard isStale, !isReading else { return false }
    (isReading, isStale) = (true, false)
    return true
  }
}
