import CLinux
import Foundation
import LinuxIO

/// The service manager that started this process, if it wants to hear of it (sd_notify(3)).
final class ServiceManager {
  private let socket: String
  /// Made at the start: later there is no socket of this kind to be had.
  private let descriptor: FileDescriptor
  /// Milliseconds between two signs of life; nil where none are asked for.
  let watchdogInterval: UInt64?

  /// Nil where no service manager listens.
  init?(environment: [String: String] = ProcessInfo.processInfo.environment, pid: Int32 = getpid()) {
    guard let socket = environment["NOTIFY_SOCKET"], socket.hasPrefix("/") || socket.hasPrefix("@") else { return nil }
    let raw = sluice_unix_datagrams()
    guard raw >= 0 else { return nil }
    descriptor = FileDescriptor(raw)
    self.socket = socket
    // Twice as often as asked for, as sd_watchdog_enabled(3) has it; not if it is meant for another process.
    let isOurs = environment["WATCHDOG_PID"].map { $0 == "\(pid)" } ?? true
    let period = environment["WATCHDOG_USEC"].flatMap { UInt64($0) }.map { $0 / 2_000 }
    watchdogInterval = isOurs ? period.flatMap { $0 > 0 ? $0 : nil } : nil
  }

  func ready(_ status: String) { tell("READY=1\nSTATUS=\(status)") }

  /// The start is not over yet, and does not hang: it gets half a minute more.
  func waiting(_ status: String) { tell("EXTEND_TIMEOUT_USEC=30000000\nSTATUS=\(status)") }

  /// Whether its socket has no file.
  var isAbstract: Bool { socket.hasPrefix("@") }

  func stopping() { tell("STOPPING=1") }

  func alive() { tell("WATCHDOG=1") }

  private func tell(_ text: String) {
    // Who does not take it learns by its own timeout.
    _ = unsafe sluice_unix_notify(descriptor.raw, socket, text)
  }
}
