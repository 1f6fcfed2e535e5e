/// Why what a server says by HTTP is no answer.
package enum HTTPFailure: Error, Hashable, Sendable {
  /// It answered with another status than 200.
  case status(UInt16)
  /// It answered with something else than a DNS message.
  case content
  /// Its answer is longer than a DNS message can be.
  case length
  /// What it says is not HTTP/2, or breaks its rules.
  case notHTTP2

  /// For machines; never changes once released.
  package var token: String {
    switch self {
    case .status(let status): "http-\(status)"
    case .content: "http-content"
    case .length: "http-length"
    case .notHTTP2: "http-version"
    }
  }

  /// What is the matter, after "upstream X:".
  package var text: String {
    switch self {
    case .status(let status): "it answers with HTTP status \(status)"
    case .content: "what it answers by HTTP is no DNS message"
    case .length: "its answer is longer than a DNS message can be"
    case .notHTTP2: "what it says is not HTTP/2"
    }
  }
}
