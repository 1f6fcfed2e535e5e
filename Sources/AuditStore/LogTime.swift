package import Foundation

/// The times that `sluice log` understands.
package enum LogTime {
  /// Reads `2026-11-20T09:14:22Z` (RFC 3339, with or without fractions and offset), `2026-11-20`, `10m`, `2h`, `3d`,
  /// `30s`, `2w` (so long ago), `today`, `yesterday`; nil for anything else.
  package static func parse(_ text: String, now: Date = Date(), calendar: Calendar = .current) -> Date? {
    switch text.lowercased() {
    case "now": return now
    case "today": return calendar.startOfDay(for: now)
    case "yesterday": return calendar.date(byAdding: .day, value: -1, to: calendar.startOfDay(for: now))
    default: break
    }
    if let ago = duration(text) { return now.addingTimeInterval(-ago) }
    let octets = Array(text.utf8)
    if let milliseconds = rfc3339(octets[...]) { return Date(timeIntervalSince1970: Double(milliseconds) / 1000) }
    guard octets.count == 10, let (year, month, day) = date(octets[...]) else { return nil }
    return calendar.date(from: DateComponents(year: year, month: month, day: day))
  }

  private static func duration(_ text: String) -> Double? {
    let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
    guard let last = text.last, let unit = units[last], let number = Int(text.dropLast()), number >= 0,
      number < 1_000_000_000
    else { return nil }
    return Double(number * unit)
  }

  /// Milliseconds since 1970 of an RFC 3339 time.
  static func rfc3339(_ octets: ArraySlice<UInt8>) -> Int64? {
    let text = Array(octets)
    guard text.count >= 20, let (year, month, day) = date(text[..<10]), text[10] | 0x20 == UInt8(ascii: "t"),
      let hour = number(text, 11), text[13] == UInt8(ascii: ":"), let minute = number(text, 14),
      text[16] == UInt8(ascii: ":"), let second = number(text, 17), hour < 24, minute < 60, second <= 60
    else { return nil }
    var at = 19
    var milliseconds = 0
    if text[at] == UInt8(ascii: ".") {
      var scale = 100
      at += 1
      let start = at
      while at < text.count, let digit = digit(text[at]) {
        milliseconds += digit * scale
        scale /= 10
        at += 1
      }
      guard at > start else { return nil }
    }
    guard let offset = offset(text[at...]) else { return nil }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset
    return Int64(seconds) * 1000 + Int64(milliseconds)
  }

  /// Seconds east of UTC.
  private static func offset(_ octets: ArraySlice<UInt8>) -> Int? {
    let text = Array(octets)
    if text.count == 1, text[0] | 0x20 == UInt8(ascii: "z") { return 0 }
    guard text.count == 6, text[3] == UInt8(ascii: ":"), let hours = number(text, 1), let minutes = number(text, 4),
      hours < 24, minutes < 60
    else { return nil }
    switch text[0] {
    case UInt8(ascii: "+"): return hours * 3600 + minutes * 60
    case UInt8(ascii: "-"): return -(hours * 3600 + minutes * 60)
    default: return nil
    }
  }

  private static func date(_ octets: ArraySlice<UInt8>) -> (year: Int, month: Int, day: Int)? {
    let text = Array(octets)
    guard text.count == 10, let century = number(text, 0), let year = number(text, 2), text[4] == UInt8(ascii: "-"),
      let month = number(text, 5), text[7] == UInt8(ascii: "-"), let day = number(text, 8),
      (1...12).contains(month), (1...31).contains(day)
    else { return nil }
    return (century * 100 + year, month, day)
  }

  private static func digit(_ octet: UInt8) -> Int? {
    (48...57).contains(octet) ? Int(octet) - 48 : nil
  }

  private static func number(_ text: [UInt8], _ at: Int) -> Int? {
    guard at + 1 < text.count, let high = digit(text[at]), let low = digit(text[at + 1]) else { return nil }
    return high * 10 + low
  }

  /// Days since 1970 of a Gregorian date.
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let shifted = month <= 2 ? year - 1 : year
    let era = shifted / 400
    let yearOfEra = shifted - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }
}
