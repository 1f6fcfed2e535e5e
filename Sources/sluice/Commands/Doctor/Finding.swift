import AuditLog

/// One thing that `doctor` looked at.
struct Finding: Equatable {
  enum Severity: String, Comparable {
    /// Something gets past policy, or nothing works.
    case serious
    /// Something is not as it should be.
    case warning
    case ok

    static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }

    private var rank: Int {
      switch self {
      case .serious: 0
      case .warning: 1
      case .ok: 2
      }
    }
  }

  var severity: Severity
  /// What it is about: `docker`, `table`, …
  var area: String
  var text: String
  /// What mends it.
  var remedy: String?

  static func ok(_ area: String, _ text: String) -> Finding { Finding(severity: .ok, area: area, text: text) }

  static func warning(_ area: String, _ text: String, _ remedy: String) -> Finding {
    Finding(severity: .warning, area: area, text: text, remedy: remedy)
  }

  static func serious(_ area: String, _ text: String, _ remedy: String) -> Finding {
    Finding(severity: .serious, area: area, text: text, remedy: remedy)
  }

  var json: String {
    "{\"severity\":\"\(severity.rawValue)\",\"area\":\(JSONText.quoted(area)),\"text\":\(JSONText.quoted(text))"
      + ",\"remedy\":\(remedy.map(JSONText.quoted) ?? "null")}"
  }
}
