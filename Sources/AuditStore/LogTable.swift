package import Foundation

/// Events for people: aligned columns, a line with the date whenever the day changes.
package struct LogTable {
  private var widths = [8, 12, 7, 20, 9, 32, 15]
  private var day = ""
  private let time: DateFormatter
  private let date: DateFormatter

  /// - Parameter timeZone: times are shown in it.
  package init(timeZone: TimeZone = .current) {
    func formatter(_ format: String) -> DateFormatter {
      let formatter = DateFormatter()
      formatter.locale = Locale(identifier: "en_US_POSIX")
      formatter.timeZone = timeZone
      formatter.dateFormat = format
      return formatter
    }
    time = formatter("HH:mm:ss")
    date = formatter("yyyy-MM-dd")
  }

  /// The names of the columns, aligned like the rows.
  package mutating func heading() -> String {
    row(["TIME", "SERVER", "DECISION", "CODE", "TYPE/PORT", "DESTINATION", "CLIENT", "COUNT"])
  }

  /// One line, or two when a day begins; without the last newline.
  package mutating func line(_ event: LogLine) -> String {
    let moment = event.time.map { Date(timeIntervalSince1970: Double($0) / 1000) }
    let today = moment.map(date.string) ?? day
    let columns = [
      moment.map(time.string) ?? "-", event.text(.server), event.text(.decision), event.text(.code),
      event.typeOrPort, event.text(.destination), event.text(.client), "\(event.count)",
    ]
    let text = row(columns)
    guard today != day else { return text }
    day = today
    return "-- \(today)\n" + text
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
