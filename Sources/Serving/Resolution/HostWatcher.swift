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
  private var isReading = false
  /// Something changed since the reading that runs began.
  private var isStale = false
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
      if news.drain() { read() }
    }
  }

  /// Reads on this thread.
  func current() throws(SystemError) -> HostNetwork { try reader.read().get() }

  private func read() {
    isStale = true
    guard !isReading else { return }
    (isReading, isStale, begun) = (true, false, .now())
    Thread.detachNewThread { [reader, mailbox] in mailbox.post(.host(reader.read())) }
  }

  /// A reading ended.
  func take(_ outcome: Result<HostNetwork, SystemError>) {
    var wait = max(Self.pause, (MonotonicTime.now().nanoseconds - begun.nanoseconds) / 1_000_000 * 4)
    switch outcome {
    case .success(let network):
      isFailing = false
      onChange?(network)
    case .failure(let error):
      if !isFailing { StandardError.write("sluice: the host's network cannot be read, trying again: \(error)") }
      (isFailing, isStale, wait) = (true, true, Self.retry)
    }
    _ = reactor.schedule(at: MonotonicTime.now().adding(milliseconds: wait)) { [unowned self] in
      isReading = false
      if isStale { read() }
    }
  }
}
