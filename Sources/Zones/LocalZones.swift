package import DNSWire
package import IPNetwork

/// The names that are answered on the host and never forwarded: special-use names (RFC 6761, 6303, 7686, 8375, 9476),
/// the reverse zones of private space, and what the operator adds.
///
/// A zone is whatever has an SOA; a file may hold several. The zone of the root gives only the SOA of denials.
package final class LocalZones: Sendable {
  private let table: ZoneTable

  /// Reads zone files.
  ///
  /// - Throws: every fault of every file, with its line.
  package init(files: [(path: String, text: [UInt8])]) throws(ZoneErrors) {
    table = try ZoneTable(files: files)
  }

  /// The SOA that stands in the authority section of every denial.
  package var sinkholeSOA: LocalRecord { table.sinkholeSOA }

  /// Every address that the zones answer.
  package var addresses: Set<IPAddress> { table.addresses }

  /// What the zones say about a question; nil if its name is in none of them. Allocates nothing then.
  ///
  /// - Parameter name: canonical wire octets.
  package func answer(name: Span<UInt8>, type: RRType) -> LocalAnswer? {
    table.answer(name: name, type: type)
  }
}

extension LocalZones {
  /// The zones that ship with the executable, as the files `sinkhole.zone` and `special-use.zone`.
  package static let shippedFiles: [(path: String, text: [UInt8])] = [
    ("sinkhole.zone", Array(ShippedZones.sinkhole.utf8)),
    ("special-use.zone", Array(ShippedZones.specialUse.utf8)),
  ]

  /// The text of a shipped zone; nil if none has this name.
  package static func shippedFile(named name: String) -> [UInt8]? {
    shippedFiles.first { $0.path == name }?.text
  }
}
