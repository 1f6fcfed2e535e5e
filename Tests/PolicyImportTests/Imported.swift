import DNSWire
import EgressPolicy
import Foundation
import Settings

@testable import PolicyImport

/// Imports files of `Fixtures`, or a text.
func imported(
  _ format: ImportFormat, _ names: String..., options: ImportOptions = ImportOptions()
) throws -> ImportedPolicy {
  try PolicyImport.run(format, try names.map { try fixture($0) }, options)
}

func imported(
  _ format: ImportFormat, text: String, options: ImportOptions = ImportOptions()
) throws -> ImportedPolicy {
  try PolicyImport.run(format, [ImportSource(name: "source", octets: Array(text.utf8))], options)
}

func fixture(_ name: String) throws -> ImportSource {
  let url = Bundle.module.bundleURL.appendingPathComponent("Fixtures/\(name)")
  return ImportSource(name: name, octets: Array(try Data(contentsOf: url)))
}

extension ImportedPolicy {
  /// What `check` says of it; warnings too.
  var findings: [String] {
    PolicyText.read(Array(text.utf8), name: "policy").findings.map(\.description)
  }

  /// As it decides.
  var snapshot: PolicySnapshot { PolicySnapshot(PolicyText.read(Array(text.utf8), name: "policy").policies) }

  /// The ports that are open for a name of a server; nil where it is not listed.
  func ports(_ name: String, of server: String? = nil) -> String? {
    let snapshot = snapshot
    guard let index = server.map({ snapshot.server(named: $0) }) ?? 0, let asked = Name(written: name),
      case .allowed(let rule) = snapshot.decide(server: index, name: asked.wire.span, type: .A)
    else { return nil }
    return snapshot.rule(server: index, index: rule).ports.description
  }

  func allows(_ name: String, of server: String? = nil) -> Bool { ports(name, of: server) != nil }

  /// The lines that hold a text.
  func lines(with part: String) -> [String] {
    text.split(separator: "\n").map(String.init).filter { $0.contains(part) }
  }
}
