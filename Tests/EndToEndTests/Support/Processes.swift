import Foundation
import Glibc

/// Looks at other processes through /proc.
enum Processes {
  static func children(of pid: Int32) -> [Int32] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { Int32($0) }.filter { stat($0)?.parent == pid && stat($0)?.state != "Z" }.sorted()
  }

  static func descendants(of pid: Int32) -> [Int32] {
    var found = children(of: pid)
    var at = 0
    while at < found.count {
      found += children(of: found[at])
      at += 1
    }
    return found
  }

  /// Kills everything below a process, although what is left of it starts the rest again.
  static func killDescendants(of pid: Int32) {
    // What stands still starts nothing.
    var stopped: Set<Int32> = []
    while true {
      let moving = descendants(of: pid).filter { stopped.insert($0).inserted }
      if moving.isEmpty { break }
      for process in moving { kill(process, SIGSTOP) }
    }
    for process in stopped { kill(process, SIGKILL) }
  }

  static func isAlive(_ pid: Int32) -> Bool {
    stat(pid).map { $0.state != "Z" } ?? false
  }

  static func signal(_ pid: Int32, _ number: Int32) {
    kill(pid, number)
  }

  /// Resident memory in KiB.
  static func residentMemory(_ pid: Int32) throws -> Int {
    try status(pid, "VmRSS").flatMap { Int($0.split(separator: " ")[0]) } ?? { throw Obstacle("no VmRSS of \(pid)") }()
  }

  static func openDescriptors(_ pid: Int32) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
  }

  /// A field of /proc/PID/status.
  static func status(_ pid: Int32, _ field: String) throws -> String? {
    let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
    let line = text.split(separator: "\n").first { $0.hasPrefix(field + ":") }
    return line.map { $0.dropFirst(field.count + 1).trimmingCharacters(in: .whitespaces) }
  }

  private static func stat(_ pid: Int32) -> (state: Character, parent: Int32)? {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard fields.count > 1, let state = fields[0].first, let parent = Int32(fields[1]) else { return nil }
    return (state, parent)
  }
}
