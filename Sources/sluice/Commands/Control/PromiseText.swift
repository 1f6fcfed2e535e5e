import ControlAPI

/// What `status` says of the promises (P1 to P9 of the README): which did not hold, how often, and what was seen.
enum PromiseText {
  static func text(_ violations: PromiseViolations) -> String? {
    let seen = violations.kinds.filter { $0.count > 0 }
    guard !seen.isEmpty else { return nil }
    return seen.map { promise, kind, count in
      "\(promise) (\(title(promise))) \(kind): \(count), \(meaning(kind))"
    }.joined(separator: "; ")
  }

  /// As the README has it.
  static func title(_ promise: String) -> String {
    switch promise {
    case "P2": "commit before answer"
    case "P3": "no outliving"
    case "P4": "only proven addresses"
    case "P6": "no decision without a record"
    default: "see README"
    }
  }

  private static func meaning(_ kind: String) -> String {
    switch kind {
    case "missing": "what was granted was taken out of the kernel, and is put back"
    case "refused": "the kernel refused a connection to what was open"
    case "strangers": "addresses were open that no answer opened, and are closed"
    case "unrecorded": "stretches of the audit log's ring were damaged"
    default: "see Documentation/troubleshooting.md"
    }
  }
}
