import LinuxIO
import Resolver

/// When to say that clients ask which no policy knows: a container that is meant to be governed may be one of them, and it
/// looks guarded, since it gets no name.
struct UnknownClientNotice {
  /// Nanoseconds between two notices, however many ask.
  static let pause: UInt64 = 600_000_000_000

  private var told: UInt64 = 0
  private var last: UInt64?

  /// What is to be said now; nil for nothing.
  ///
  /// - Parameters:
  ///   - total: queries of such clients so far.
  ///   - now: nanoseconds of the monotonic clock.
  mutating func text(_ total: UInt64, now: UInt64) -> String? {
    guard total > told, last.map({ now >= $0 &+ Self.pause }) ?? true else { return nil }
    let count = total - told
    (told, last) = (total, now)
    return
      "warning: \(count) \(count == 1 ? "query" : "queries") of clients that no policy knows: they get no name, and unless "
      + "their network or interface is a server's they reach every address; `sluice log --decision block` names them, "
      + "`sluice doctor` says what mends it"
  }
}

/// Says on the standard error that clients ask which no policy knows.
final class UnknownClientWatch {
  /// Milliseconds between two looks at the counters.
  private static let rhythm: UInt64 = 1_000

  private let service: ResolutionService
  private var notice = UnknownClientNotice()

  init(_ service: ResolutionService) {
    self.service = service
  }

  func start() {
    if let text = notice.text(service.snapshot.unknownClients.total(.denied), now: service.now) {
      StandardError.write("sluice: \(text)")
    }
    _ = service.reactor.schedule(at: MonotonicTime.now().adding(milliseconds: Self.rhythm)) { [weak self] in
      self?.start()
    }
  }
}
