import CLinux
import Foundation
import Glibc
import Testing

/// The parent of everything that runs the real executable: one test at a time, because many of them load the machine.
@Suite(
  "End to end", .serialized, .enabled(if: Machine.isRoot, "needs root: makes network namespaces"),
  .enabled(if: Machine.executable != nil, "needs the executable: swift build --build-tests, or SLUICE_EXECUTABLE"))
enum EndToEnd {}

/// What the tests find on the machine.
enum Machine {
  static let isRoot = geteuid() == 0

  /// The `sluice` built with the tests; `SLUICE_EXECUTABLE` names another one.
  static let executable: String? = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    let bundles = CommandLine.arguments.filter { $0.hasSuffix(".xctest") }
    let paths = ([own] + bundles).map { ($0 as NSString).deletingLastPathComponent + "/sluice" }
    let named = ProcessInfo.processInfo.environment["SLUICE_EXECUTABLE"]
    return ((named.map { [$0] } ?? []) + paths).first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// The root of the checkout.
  static let repository = URL(filePath: #filePath).appending(path: "../../../..").standardizedFileURL.path

  /// The user that serve becomes; made where it is not there, as `Tests/run` does.
  static let serviceUser: (uid: UInt32, gid: UInt32) = {
    var (uid, gid): (UInt32, UInt32) = (0, 0)
    if unsafe sluice_find_user("sluice", &uid, &gid) != 0 {
      _ = try? Command.must("useradd --system --no-create-home --shell /usr/sbin/nologin sluice")
      _ = unsafe sluice_find_user("sluice", &uid, &gid)
    }
    return (uid, gid)
  }()

  static func has(_ program: String) -> Bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].contains {
      FileManager.default.isExecutableFile(atPath: $0 + "/" + program)
    }
  }
}

/// What went wrong outside the assertions of a test.
struct Obstacle: Error, CustomStringConvertible {
  var description: String

  init(_ description: String) {
    self.description = description
  }
}

/// Polls until `condition` holds; throws when it does not within `seconds`.
func eventually(_ what: String, within seconds: Double = 10, _ condition: () throws -> Bool) throws {
  let deadline = Deadline(seconds)
  while !(try condition()) {
    guard !deadline.isOver else { throw Obstacle("not within \(seconds) s: \(what)") }
    usleep(5_000)
  }
}

/// A point of monotonic time.
struct Deadline {
  private let end: ContinuousClock.Instant

  init(_ seconds: Double) {
    end = .now + .seconds(seconds)
  }

  var isOver: Bool { .now >= end }

  /// Never negative.
  var milliseconds: Int32 {
    let left = ContinuousClock.now.duration(to: end)
    return Int32(clamping: max(0, left / .milliseconds(1)).isFinite ? Int(max(0, left / .milliseconds(1))) : 0)
  }
}
