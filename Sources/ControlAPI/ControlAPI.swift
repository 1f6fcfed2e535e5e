import AuditLog
import Foundation

/// What the control API says, as `serve` writes it and the commands read it. Keys are in snake case; times are RFC 3339 with
/// milliseconds; what remains is in milliseconds, `remaining_ms`; ports are `443/tcp`, those of one element `protocol` and
/// `port`; the place of a rule is `FILE:LINE`.
package enum ControlAPI {
  /// The calls, by what stands behind the version in their path.
  package enum Call: String, Sendable {
    case status
    case servers
    case cache
    case grants
    case reload
    case permits
    case findings
    case query
    case explanation

    /// The path of a request, without parameters: `/v1/status`.
    package var path: String { "/\(ControlAPI.version)/\(rawValue)" }
  }

  /// The first component of every path but those for metrics and probes.
  package static let version = "v1"

  /// The body of every status from 400 on.
  package struct Failure: Codable, Sendable {
    package var error: String
    /// What is wrong with which file, a line each.
    package var findings: [String]?

    package init(error: String, findings: [String]? = nil) {
      self.error = error
      self.findings = findings
    }
  }

  /// JSON of a value, with a newline at its end.
  package static func encode(_ value: some Encodable) -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    do {
      return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
    } catch {
      // Numbers that are none (NaN) are all that JSON has no form for, and no answer computes one.
      assertionFailure("\(error)")
      return Array("{}\n".utf8)
    }
  }

  /// What `encode` made, as a line of a command's output.
  package static func line(_ octets: [UInt8]) -> String { String(decoding: octets.dropLast(), as: UTF8.self) }

  /// Reads what `encode` made.
  ///
  /// - Throws: `DecodingError` for anything else.
  package static func decode<Value: Decodable>(_ type: Value.Type, _ octets: [UInt8]) throws -> Value {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(type, from: Data(octets))
  }

  private static let timeStyle = Date.ISO8601FormatStyle(includingFractionalSeconds: true)

  /// Seconds since 1970 of what `time` wrote; nil for anything else.
  package static func seconds(_ text: String) -> UInt64? {
    // Anything else is not told apart: the caller says what it expected.
    (try? timeStyle.parse(text)).map { UInt64(max($0.timeIntervalSince1970, 0)) }
  }

  /// RFC 3339 with milliseconds, UTC: the one form of a time in JSON.
  package static func time(nanoseconds: UInt64) -> String { Timestamp.text(nanoseconds) }

  /// The same, of seconds since 1970.
  package static func time(seconds: UInt64) -> String { Timestamp.text(seconds: seconds) }
}
