import Foundation
import Glibc

/// A program that runs beside the test, its output in files.
final class RunningCommand {
  let name: String
  private let process = Process()
  private let folder: URL

  /// Starts `arguments`, found in PATH, inside a namespace or in the test's own.
  init(_ arguments: [String], in namespace: Namespace? = nil, folder: URL, environment: [String: String] = [:]) throws {
    name = (arguments.first.map { $0 as NSString })?.lastPathComponent ?? ""
    self.folder = folder.appending(path: "\(name).\(UUID().uuidString.prefix(8))")
    try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
    process.executableURL = URL(filePath: "/usr/bin/env")
    // The threads of tests block signals, and a program inherits that: `env` takes it back.
    process.arguments =
      ["--default-signal"] + (namespace.map { ["nsenter", "--net=\($0.path)"] } ?? []) + arguments
    var variables = ProcessInfo.processInfo.environment
    variables["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:" + (variables["PATH"] ?? "")
    variables.merge(environment) { $1 }
    process.environment = variables
    process.standardInput = FileHandle.nullDevice
    let files = (try Self.file(outputFile), try Self.file(errorFile))
    process.standardOutput = files.0
    process.standardError = files.1
    // The program has its own by then.
    defer {
      try? files.0.close()
      try? files.1.close()
    }
    try process.run()
  }

  private var outputFile: URL { folder.appending(path: "output") }
  private var errorFile: URL { folder.appending(path: "errors") }

  private static func file(_ file: URL) throws -> FileHandle {
    guard FileManager.default.createFile(atPath: file.path, contents: nil) else {
      throw Obstacle("no file \(file.path)")
    }
    return try FileHandle(forWritingTo: file)
  }

  /// `env` and `nsenter` replace themselves, so this is the program's own.
  var pid: Int32 { process.processIdentifier }
  var isRunning: Bool { process.isRunning }
  var output: String { (try? String(contentsOf: outputFile, encoding: .utf8)) ?? "" }
  var errors: String { (try? String(contentsOf: errorFile, encoding: .utf8)) ?? "" }

  func signal(_ number: Int32) {
    if process.isRunning { kill(pid, number) }
  }

  /// Waits for the end and returns the exit status, or 128 and the signal's number; kills what does not end in time.
  func status(within seconds: Double) throws -> Int32 {
    let deadline = Deadline(seconds)
    while process.isRunning {
      if deadline.isOver {
        kill(pid, SIGKILL)
        process.waitUntilExit()
        throw Obstacle("\(name) did not end within \(seconds) s: \(errors)")
      }
      usleep(1_000)
    }
    // Lets Foundation close what it watched the program with.
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
  }
}

/// A program that is waited for.
enum Command {
  struct Output {
    var status: Int32
    var text: String
    var errors: String
    var lines: [Substring] { text.split(separator: "\n") }
  }

  private static let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-e2e-commands")

  static func run(
    _ arguments: [String], in namespace: Namespace? = nil, within seconds: Double = 30,
    environment: [String: String] = [:]
  ) throws -> Output {
    let file = folder.appending(path: UUID().uuidString)
    defer { try? FileManager.default.removeItem(at: file) }
    let command = try RunningCommand(arguments, in: namespace, folder: file, environment: environment)
    let status = try command.status(within: seconds)
    return Output(status: status, text: command.output, errors: command.errors)
  }

  /// Runs what must succeed, a line of words without quotes.
  @discardableResult
  static func must(_ line: String, in namespace: Namespace? = nil) throws -> String {
    let output = try run(line.split(separator: " ").map(String.init), in: namespace)
    guard output.status == 0 else { throw Obstacle("\(line): \(output.status) \(output.errors)") }
    return output.text
  }
}
