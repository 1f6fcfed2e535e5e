import CLinux
import Foundation
import Glibc

/// What the tests against the real kernel share.
package enum Kernel {
  package static let isRoot = geteuid() == 0
  package static let reason = "needs root: makes network namespaces and nftables sets of the real kernel"

  /// The executable whose hidden subcommand is the bridge; `SLUICE_BRIDGE_HOST` names another one.
  package static let host: String? = {
    if let named = ProcessInfo.processInfo.environment["SLUICE_BRIDGE_HOST"] { return named }
    let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    var folders = CommandLine.arguments.prefix(1) + [own ?? ""]
    folders = ArraySlice(folders.map { ($0 as NSString).deletingLastPathComponent })
    for argument in CommandLine.arguments where argument.hasSuffix(".xctest") {
      folders.append((argument as NSString).deletingLastPathComponent)
    }
    folders.append(FileManager.default.currentDirectoryPath + "/.build/debug")
    let candidates = folders.flatMap { [$0 + "/sluice", $0 + "/BridgeTestHost"] }
    return candidates.first { FileManager.default.isExecutableFile(atPath: $0) }
  }()

  /// Major and minor number of the running kernel.
  package static let version: (Int, Int) = {
    let text = (try? String(contentsOfFile: "/proc/sys/kernel/osrelease", encoding: .utf8)) ?? ""
    let parts = text.split(whereSeparator: { !$0.isNumber }).prefix(2).compactMap { Int($0) }
    return parts.count == 2 ? (parts[0], parts[1]) : (0, 0)
  }()

  package struct Failure: Error, CustomStringConvertible {
    package var description: String

    package init(description: String) {
      self.description = description
    }
  }

  /// Runs `body` on this thread in a network namespace of its own, which is gone afterwards.
  package static func inNamespace<T>(_ body: () throws -> T) throws -> T {
    let home = unsafe open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)
    guard home >= 0, sluice_new_network_namespace() == 0 else {
      throw Failure(description: "no network namespace: error \(errno)")
    }
    defer {
      precondition(sluice_enter_network_namespace(home) == 0)
      close(home)
    }
    return try body()
  }

  /// Runs a command from the namespace of this thread; returns its output, throws when it fails.
  @discardableResult
  package static func run(_ command: String) throws -> String {
    guard let stream = unsafe popen("PATH=/usr/sbin:/usr/bin:/sbin:/bin; \(command) 2>&1", "r") else {
      throw Failure(description: "no shell")
    }
    var output: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4_096)
    while true {
      let count = unsafe fread(&chunk, 1, chunk.count, stream)
      guard count > 0 else { break }
      output += chunk.prefix(count)
    }
    let text = String(decoding: output, as: UTF8.self)
    let status = unsafe pclose(stream)
    guard status == 0 else { throw Failure(description: "\(command): \(text)") }
    return text
  }

  package static func capabilities(of pid: Int32) throws -> [String: UInt64] {
    let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
    var found: [String: UInt64] = [:]
    for line in status.split(separator: "\n") where line.hasPrefix("Cap") || line.hasPrefix("NoNewPrivs") {
      let parts = line.split(whereSeparator: { $0 == ":" || $0 == "\t" })
      found[String(parts[0])] = UInt64(parts[1], radix: 16)
    }
    return found
  }

  /// The state letter of a process and its parent, or nil when it is gone.
  package static func process(_ pid: Int32) -> (state: Character, parent: Int32)? {
    guard let text = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8),
      let end = text.lastIndex(of: ")")
    else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    guard let state = fields[0].first, let parent = Int32(fields[1]) else { return nil }
    return (state, parent)
  }

  package static func children(of pid: Int32) -> [Int32] {
    let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return all.compactMap { Int32($0) }.filter { process($0)?.parent == pid && process($0)?.state != "Z" }
  }
}
