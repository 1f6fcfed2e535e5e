import Foundation
import LinuxIO
import Serving

/// A program of the host, run for what it prints.
///
/// Not by Foundation, which learns of its end by a datagram of its own over 127.0.0.1: a host whose rules drop that waits for
/// ever, and such rules are what is looked for.
enum HostProgram {
  /// Runs a program with nothing but PATH in its environment, to its end.
  ///
  /// - Returns: 0 for a program that says it succeeded; what it printed, and without white space around it what it complained of.
  /// - Throws: `StartError` where it cannot be started.
  static func run(_ arguments: [String], input: String) throws -> (
    status: Int32, output: String, errors: String
  ) {
    // The text is a C string for the length of the call.
    guard unsafe access(arguments[0], X_OK) == 0 else {
      throw StartError("\(arguments[0]) cannot be started: \(SystemError(call: "access", errno: errno))")
    }
    do throws(SystemError) {
      let feed = try MemoryFile(named: "sluice-input", holding: Array(input.utf8))
      let output = try MemoryFile(named: "sluice-output")
      let errors = try MemoryFile(named: "sluice-errors")
      var process = try ChildProcess.start(
        arguments[0], arguments, descriptors: [feed.raw, output.raw, errors.raw])
      let status = process.wait()
      let complaint = String(decoding: try errors.contents(), as: UTF8.self)
      return (
        status, String(decoding: try output.contents(), as: UTF8.self),
        complaint.trimmingCharacters(in: .whitespacesAndNewlines)
      )
    } catch {
      throw StartError("\(arguments[0]) cannot be run: \(error)")
    }
  }
}
