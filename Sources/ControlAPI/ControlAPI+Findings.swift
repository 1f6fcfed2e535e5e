extension ControlAPI {
  /// What an inspector found in a connection that it was handed: the body of `POST /v1/findings`.
  package struct Finding: Codable, Sendable {
    /// What is to become of the connection.
    package enum Action: String, Codable, Sendable {
      case block
      case flag
    }

    /// `Sluice-Connection` of its CONNECT.
    package var connection: String
    /// What it is, in a word: `credentials`.
    package var kind: String
    package var action: Action
    /// As much of it as may stand in a log.
    package var evidence: String?
    /// Octets that were judged.
    package var octets: UInt64?

    package init(connection: String, kind: String, action: Action, evidence: String? = nil, octets: UInt64? = nil) {
      self.connection = connection
      self.kind = kind
      self.action = action
      self.evidence = evidence
      self.octets = octets
    }

    /// Octets of a kind: of `a-z`, `0-9` and `-`.
    package static let maximumKind = 64
    /// Octets of the evidence.
    package static let maximumEvidence = 512

    /// What is wrong with it, as a sentence; nil where nothing is.
    package var fault: String? {
      let isWord = kind.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2D }
      guard isWord, (1...Self.maximumKind).contains(kind.utf8.count) else {
        return "kind is not 1 to \(Self.maximumKind) of a-z, 0-9 and '-'"
      }
      guard (evidence ?? "").utf8.count <= Self.maximumEvidence else {
        return "evidence has more than \(Self.maximumEvidence) octets"
      }
      return nil
    }
  }

  /// The answer to `POST /v1/findings`.
  package struct FindingTaken: Codable, Sendable {
    /// Whether the connection still was one; with `block` it is none any more.
    package var live: Bool

    package init(live: Bool) { self.live = live }
  }
}
