import Foundation
import Serving

/// A program of the host, run for what it prints.
enum HostProgram {
  /// Runs a program with nothing but PATH in its environment, to its end.
  ///
  /// - Throws: `StartError` where it cannot be started.
  static func run(_ arguments: [String], input: String) throws -> (
    status: Int32, output: String, errors: String
  ) {
    let process = Process()
    process.executableURL = URL(filePath: arguments[0])
    process.arguments = Array(arguments.dropFirst())
    process.environment = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"]
    let (feed, output, errors) = (Pipe(), Pipe(), Pipe())
    process.standardInput = feed
    process.standardOutput = output
    process.standardError = errors
    do {
      try process.run()
    } catch {
      throw StartError("\(arguments[0]) cannot be started: \(error.localizedDescription)")
    }
    // What follows reads everything before it writes anything.
    try feed.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try feed.fileHandleForWriting.close()
    let text = try output.fileHandleForReading.readToEnd() ?? Data()
    let complaint = try errors.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let trimmed = String(decoding: complaint, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    return (process.terminationStatus, String(decoding: text, as: UTF8.self), trimmed)
  }
}
