import AuditLog

/// One thing that `doctor` looked at.
struct Finding: Equatable {
  enum Severity: String, Comparable, CaseIterable {
    /// Something gets past policy, or nothing works.
    case serious
    /// Something is not as it should be.
    case warning
    /// As it commonly is, and yet worth knowing.
    case remark
    case ok

    static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }

    private var rank: Int {
      switch self {
      case .serious: 0
      case .warning: 1
      case .remark: 2
      case .ok: 3
      }
    }
  }

  var severity: Severity
  /// Nil where nothing is to be mended.
  var kind: FindingKind?
  /// What it is about: `docker`, `table`, …
  var area: String
  var text: String
  /// What mends it.
  var remedy: String?

  static func ok(_ area: String, _ text: String) -> Finding { Finding(severity: .ok, area: area, text: text) }

  static func remark(_ kind: FindingKind, _ area: String, _ text: String, _ remedy: String) -> Finding {
    Finding(severity: .remark, kind: kind, area: area, text: text, remedy: remedy)
  }

  static func warning(_ kind: FindingKind, _ area: String, _ text: String, _ remedy: String) -> Finding {
    Finding(severity: .warning, kind: kind, area: area, text: text, remedy: remedy)
  }

  static func serious(_ kind: FindingKind, _ area: String, _ text: String, _ remedy: String) -> Finding {
    Finding(severity: .serious, kind: kind, area: area, text: text, remedy: remedy)
  }

  var json: String {
    "{\"severity\":\"\(severity.rawValue)\",\"kind\":\(kind.map { JSONText.quoted($0.rawValue) } ?? "null")"
      + ",\"area\":\(JSONText.quoted(area)),\"text\":\(JSONText.quoted(text))"
      + ",\"remedy\":\(remedy.map(JSONText.quoted) ?? "null")}"
  }
}
