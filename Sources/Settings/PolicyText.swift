package import EgressPolicy

/// Policy documents that stand in no configuration, read and checked as if they did.
package enum PolicyText {
  /// The keys of a policy document.
  package static var documentKeys: [String] { PolicyReader.documentKeys }

  /// The policies of `octets`, and every finding of `sluice check` about them alone: as in mode `managed`, which asks most.
  ///
  /// - Parameter name: the file's, as findings have it.
  package static func read(
    _ octets: [UInt8], name: String
  ) -> (policies: [ServerPolicy], findings: [Diagnostic]) {
    var reader = PolicyReader(nameChecks: NameCheckDefaults(verification: .sni))
    do throws(Diagnostic) {
      let policies = try YAMLReader.read(octets, name: name).documents.compactMap { reader.document($0) }
      return (policies, (reader.findings.diagnostics + PolicyLinter.check(policies)).sorted())
    } catch {
      return ([], [error])
    }
  }
}
