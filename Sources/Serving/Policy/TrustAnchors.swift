import DNSWire
package import EgressPolicy
import Foundation
import LDNS
package import Settings
import Validation

/// The keys that signatures are traced to, read from their files: DS and DNSKEY records, as Debian's dns-root-data has them.
package enum TrustAnchors {
  /// Every fault of every file, as a finding of `check`.
  package static func diagnose(_ settings: Settings) -> [Diagnostic] {
    FileErrors.findings { () throws(FileErrors) in try load(settings) }
  }

  /// - Throws: what is wrong with which file.
  static func load(_ settings: Settings) throws(FileErrors) -> [Name: [DelegationSigner]] {
    var anchors: [Name: [DelegationSigner]] = [:]
    var findings: [Diagnostic] = []
    for file in settings.trustAnchors {
      guard let text = FileManager.default.contents(atPath: file.path) else {
        findings.append(.error("cannot read the trust anchor file \(file.path)", at: file.location))
        continue
      }
      let (records, faults) = MasterFile.read(Array(text))
      findings += faults.map { .error($0.message, at: SourceLocation(file: file.path, line: $0.line, column: 1)) }
      for record in records {
        guard let signer = signer(record) else {
          findings.append(
            .error(
              "\(record.type) is no key that signs, expected DS or DNSKEY of an algorithm that is verified (5, 7, 8, 10, 13, 14, 15)",
              at: SourceLocation(file: file.path, line: record.line, column: 1)))
          continue
        }
        anchors[Name(canonical: record.owner.span), default: []].append(signer)
      }
      if records.isEmpty, faults.isEmpty {
        findings.append(
          .error("the trust anchor file \(file.path) holds no record, expected DS or DNSKEY", at: file.location))
      }
    }
    guard findings.isEmpty else { throw FileErrors(findings: findings) }
    return anchors
  }

  private static func signer(_ record: MasterFile.Record) -> DelegationSigner? {
    switch record.type {
    case .DS: DelegationSigner(trusted: record.rdata)
    case .DNSKEY: DelegationSigner(trustedKey: record.rdata, zone: Name(canonical: record.owner.span))
    default: nil
    }
  }
}
