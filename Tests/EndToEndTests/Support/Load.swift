import Foundation

/// dnsperf as the client, asking the same names again and again until it is stopped.
final class Load {
  private let process: RunningCommand

  init(_ names: some Sequence<String>, queriesPerSecond: Int, on bed: Testbed) throws {
    let file = bed.folder.appending(path: "load.\(UUID().uuidString.prefix(8))")
    try Data(names.map { "\($0) A\n" }.joined().utf8).write(to: file)
    process = try RunningCommand(
      [
        "dnsperf", "-s", "10.77.1.1", "-d", file.path, "-l", "600", "-c", "4", "-Q", "\(queriesPerSecond)", "-t", "1",
      ], in: bed.client, folder: bed.folder)
  }

  /// Stops and says how many queries were sent: a load that sent none proves nothing.
  func stop() throws -> Int {
    process.signal(2)
    _ = try process.status(within: 20)
    let line = process.output.split(separator: "\n").first { $0.contains("Queries sent:") }
    guard let count = line?.split(whereSeparator: \.isWhitespace).last.flatMap({ Int($0) }) else {
      throw Obstacle("dnsperf: \(process.output) \(process.errors)")
    }
    return count
  }
}
