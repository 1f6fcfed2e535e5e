import AuditLog
package import Foundation

/// Events for people: aligned columns, a line with the date and the zone's offset whenever one of them changes, and below an
/// event what would let it pass, once for each destination of a server.
package struct LogTable {
  private var widths = [8, 12, 7, 20, 9, 32, 15]
  private var day = ""
  private let time: DateFormatter
  /// The minute of the last event, since 1970, with its texts: no zone's offset changes within one.
  private var minute = Int64.min
  private var minuteText = ""
  private var minuteDay = ""
  private let date: DateFormatter
  private let zone: TimeZone
  /// Remedies that were shown, each with whom and what it is for.
  private var shown: Set<[String]> = []
  /// Then they are shown again: a log may be followed for ever.
  private static let mostShown = 4_096
  /// Of other events none is looked for.
  private static let withRemedy: Set<AuditCode> = [
    .answerNotPublic, .networkHeld, .inboundRefused, .upstreamIntercepted,
  ]

  /// - Parameter timeZone: times are shown in it.
  package init(timeZone: TimeZone = .current) {
    func formatter(_ format: String) -> DateFormatter {
      let formatter = DateFormatter()
      formatter.locale = Locale(identifier: "en_US_POSIX")
      formatter.timeZone = timeZone
      formatter.dateFormat = format
      return formatter
    }
    time = formatter("HH:mm:")
    date = formatter("yyyy-MM-dd")
    zone = timeZone
  }

  /// The names of the columns.
  package static let names = ["TIME", "SERVER", "DECISION", "CODE", "TYPE/PORT", "DESTINATION", "CLIENT", "COUNT"]

  /// The names of the columns, aligned like the rows.
  package mutating func heading() -> String { row(Self.names) }

  /// What stands in the columns of an event.
  package mutating func columns(_ event: LogLine) -> [String] {
    let moment = event.time
    if let moment { read(minute: Int64((Double(moment) / 60_000).rounded(.down))) }
    return [
      moment.map(clock) ?? "-", event.text(.server), event.text(.decision), event.codeText,
      event.typeOrPort, event.text(.destination),
      event.text(.client) + (event.isByOperator ? " (operator)" : ""), "\(event.count)",
    ]
  }

  /// One line, with one before where a day begins, and one behind where there is a remedy that was not shown; without the last
  /// newline.
  package mutating func line(_ event: LogLine) -> String {
    let text = row(columns(event)) + (remedy(of: event).map { "\n    remedy: \($0)" } ?? "")
    let today = event.time == nil ? day : minuteDay
    guard today != day else { return text }
    day = today
    return "-- \(today)\n" + text
  }

  /// What would let an event pass; nil where nothing would, or it was shown for the same server and destination.
  private mutating func remedy(of event: LogLine) -> String? {
    guard let code = event.code, Self.withRemedy.contains(code), event[.remedy] != nil else { return nil }
    let remedy = event.text(.remedy)
    if shown.count >= Self.mostShown { shown = [] }
    return shown.insert([event.text(.server), event.text(.destination), remedy]).inserted ? remedy : nil
  }

  private mutating func read(minute: Int64) {
    guard minute != self.minute else { return }
    self.minute = minute
    let moment = Date(timeIntervalSince1970: Double(minute) * 60)
    minuteText = time.string(from: moment)
    minuteDay = "\(date.string(from: moment)) (\(LogTime.offset(of: zone, at: moment)))"
  }

  private func clock(_ moment: Int64) -> String {
    let second = Int((moment - minute * 60_000) / 1000)
    return minuteText + (second < 10 ? "0" : "") + String(second)
  }

  /// A column grows with its widest value and never shrinks: rows are printed as they come.
  private mutating func row(_ columns: [String]) -> String {
    var text = ""
    for (index, column) in columns.enumerated() {
      text += column
      guard index < widths.count else { break }
      widths[index] = max(widths[index], min(column.utf8.count, 64))
      text += String(repeating: " ", count: max(widths[index] - column.utf8.count, 0) + 2)
    }
    return text
  }
}
