import BridgeProcesses
import CLinux
import FirewallModel
import Glibc
import LinuxIO

/// A process that reads the configuration's files, writes the envelope that they make, and ends: of the bridge, what parses
/// files has no privilege, and what has one parses none.
final class EnvelopeReading {
  enum Outcome {
    case envelope(Envelope)
    /// What is wrong, as a sentence.
    case failure(String)
  }

  /// Milliseconds: far longer than a million names take beside other work.
  static let patience: UInt64 = 120_000
  private static let maximumComplaint = 1_500
  private static let success: UInt8 = 0
  private static let failure: UInt8 = 1

  /// Becomes readable when there is something to `take`.
  var descriptor: Int32 { output.first }
  private var process: ChildProcess
  /// `first` stays in this process.
  private var output: DescriptorPair
  private let end = MonotonicTime.now().adding(milliseconds: EnvelopeReading.patience)
  private var octets: [UInt8] = []

  /// - Parameter path: of the configuration.
  init(_ path: String) throws(SystemError) {
    output = try DescriptorPair.pipe()
    let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
    defer { close(null) }
    process = try ChildProcess.start(
      BridgeStart.ownExecutable, ["sluice", "bridge", BridgeStart.Role.envelope.rawValue, path],
      descriptors: [null, output.second, 2])
    output.closeSecond()
    _ = fcntl(output.first, F_SETFL, O_NONBLOCK)
  }

  deinit {
    process.kill()
    _ = process.wait()
  }

  /// Takes what has been written; nil while there may be more.
  func take() -> Outcome? {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = unsafe read(descriptor, &chunk, chunk.count)
      if count > 0, octets.count + count <= Envelope.maximumOctets {
        octets += chunk.prefix(count)
      } else if count > 0 {
        return .failure("it is too large")
      } else if count < 0, errno == EAGAIN {
        return MonotonicTime.now() < end ? nil : .failure("reading it took too long")
      } else if count == 0 || errno != EINTR {
        return outcome
      }
    }
  }

  private var outcome: Outcome {
    switch octets.first {
    case Self.success:
      do throws(BridgeFormatError) {
        return .envelope(try Envelope(decoding: Array(octets.dropFirst())))
      } catch {
        return .failure("what read it wrote something else (\(error))")
      }
    case Self.failure:
      return .failure(String(decoding: octets.dropFirst().prefix(Self.maximumComplaint), as: UTF8.self))
    default: return .failure("what reads it ended without a word")
    }
  }

  // MARK: The process

  /// What the process does: gives up every privilege, reads, writes to standard output. Returns the exit code.
  static func run(_ path: String, _ read: (String) -> Outcome) -> Int32 {
    // It may take seconds, and only a reload waits for it.
    _ = setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 19)
    let error = sluice_privileges_drop_all()
    let octets =
      switch error == 0 ? read(path) : .failure("privileges cannot be given up: error \(error)") {
      case .envelope(let envelope): [success] + envelope.encoded()
      case .failure(let text): [failure] + Array(text.utf8)
      }
    var rest = octets[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
      guard count > 0 || errno == EINTR else { return 1 }
      rest = rest.dropFirst(max(count, 0))
    }
    return octets.first == success ? 0 : 1
  }
}
