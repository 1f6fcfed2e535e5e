package import DNSWire
package import IPNetwork

/// What is left of an upstream's answer after scrubbing: the chain from the asked name and the records at its end.
package struct ScrubbedAnswer: Sendable {
  package var responseCode: ResponseCode
  /// Targets of the CNAME chain in order, canonical wire names; empty when the asked name answered itself.
  package var chain: [[UInt8]]
  /// Addresses of A or AAAA records, or of hints, each once.
  package var addresses: [IPAddress]
  /// Seconds, capped; 0 means: hand out once, do not store.
  package var ttl: UInt32
  package var sections: [UInt8]
  package var ttlOffsets: [UInt16]
  package var answerCount: UInt16
  package var authorityCount: UInt16
  /// Records of the answer that were left out, because there were more than are handed out.
  package var recordsCut = 0
  /// Whether it had records of the asked type, whatever was taken of them; else it says that there are none.
  package var isPositive = true
}

/// Why an upstream's answer may not be used. No address of it is.
package enum ScrubError: Error, Equatable, Sendable {
  /// Malformed, looping, contradicting itself, or with an rcode that forbids its records.
  case invalid
  /// More CNAMEs one after the other than are followed.
  case chainTooLong
  /// The chain leads to the last of these names, and the rule's `cname` does not allow it.
  case chainRefused([[UInt8]])
  /// The chain leads to the last of these names, which is denied.
  case chainDenied([[UInt8]])
  /// It holds addresses that may not be opened, beside others or not, or leads to a name that never leaves the host: then
  /// there are none of either.
  case notPublic(refused: [IPAddress], others: [IPAddress])
}
