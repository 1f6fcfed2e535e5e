package import EgressPolicy
package import Settings
package import Zones
import Foundation

/// The zones that the configuration names, read from their files.
package enum ZoneFiles {
  /// Every fault of every zone file, as a finding of `check`.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    FileErrors.findings { () throws(FileErrors) in try load(settings) }
  }

  /// - Throws: what is wrong with which file.
  package static func load(_ settings: Settings) throws(FileErrors) -> LocalZones {
    var files: [(path: String, text: [UInt8])] = []
    var findings: [Diagnostic] = []
    for source in settings.zones {
      switch source {
      case .builtIn(let name):
        if let text = LocalZones.shippedFile(named: name) { files.append((name, text)) }
      case .file(let path, let location):
        if let text = FileManager.default.contents(atPath: path) {
          files.append((path, Array(text)))
        } else {
          findings.append(.error("cannot read the zone file \(path)", at: location))
        }
      }
    }
    do throws(ZoneErrors) {
      let zones = try LocalZones(files: files)
      guard findings.isEmpty else { throw ZoneErrors([]) }
      return zones
    } catch {
      findings += error.errors.map { fault in
        .error(fault.message, at: SourceLocation(file: fault.file, line: fault.line, column: 1))
      }
      throw FileErrors(findings: findings)
    }
  }
}
