import EgressPolicy
import Foundation

@testable import Settings

/// A directory of configuration files that lives as long as the test.
final class ConfigDirectory {
  let path: String

  init(_ files: [String: String] = [:]) throws {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    for (name, text) in files { try write(name, Array(text.utf8)) }
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  func write(_ name: String, _ octets: [UInt8]) throws {
    let file = path + "/" + name
    let directory = (file as NSString).deletingLastPathComponent
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try Data(octets).write(to: URL(fileURLWithPath: file))
  }

  func load() -> LoadedSettings {
    SettingsLoader.load(path: path + "/sluice.yaml", zoneDirectories: [], listDirectories: [path + "/lists"])
  }

  /// Findings as `file:line:column: severity: text` with the directory taken away.
  func findings() -> [String] {
    load().diagnostics.map { $0.description.replacingOccurrences(of: path + "/", with: "") }
  }
}

/// A configuration that has no findings, with `more` lines at its end.
func config(_ more: String = "", audit: String = "audit: { path: audit.jsonl }") -> String {
  """
  listen: [ "127.0.0.1:5353" ]
  upstreams: [ udp://127.0.0.2 ]
  policies: policy.yaml
  \(audit)
  \(more)
  """
}

let plainPolicy = """
  server: github-mcp
  networks: [ 10.77.1.0/24 ]
  egress:
    - api.github.com
    - uploads.github.com
  """

/// Loads `policy` under a plain configuration.
func loadPolicy(_ policy: String) throws -> (policies: [ServerPolicy], findings: [String]) {
  let directory = try ConfigDirectory(["sluice.yaml": config(), "policy.yaml": policy])
  return (directory.load().settings?.policies ?? [], directory.findings())
}

/// Loads a plain policy under `text`.
func loadConfig(_ text: String) throws -> (settings: Settings?, findings: [String]) {
  let directory = try ConfigDirectory(["sluice.yaml": text, "policy.yaml": plainPolicy])
  return (directory.load().settings, directory.findings())
}
