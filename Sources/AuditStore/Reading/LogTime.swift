package import Foundation
import LinuxIO

/// The times that `sluice log` understands.
package enum LogTime {
  /// What is accepted, for a message: "expected …".
  package static let forms =
    "10m, 1h30m, 2d, today, yesterday 14:00, 14:00, 2026-11-20, 2026-11-20 14:00, RFC 3339, or @ and seconds since 1970"

  /// Reads `text`, or nil for anything else than:
  ///
  /// - `now`, `today`, `yesterday` (midnight), the two with a time of day: `yesterday 14:00`;
  /// - so long ago, in units w, d, h, m (or min) and s, each once and larger ones first: `10m`, `1h30m`, `2d ago`;
  /// - a time of day: `14:00`, `14:00:05`: of today, and of yesterday where today's is yet to come;
  /// - a date, or a date and a time, with `T`, a space or `_` between them, to the minute, second or its fractions, and
  ///   with or without an offset: `2026-11-20`, `2026-11-20 14:00`, `2026-11-20T09:14:22.481Z` (RFC 3339), `… +0100`;
  /// - seconds since 1970: `@1763629200`, `@1763629200.5`.
  ///
  /// Where no offset is given, times are of `calendar`'s zone.
  package static func parse(_ text: String, now: Date = Date(), calendar: Calendar = .current) -> Date? {
    let text = text.lowercased().trimmingCharacters(in: .whitespaces)
    if text == "now" { return now }
    if let ago = duration(text) { return now.addingTimeInterval(-ago) }
    if text.hasPrefix("@") { return epoch(text.dropFirst()) }
    var words = text.split(whereSeparator: { $0 == " " || $0 == "_" }).map(String.init)
    let today = calendar.dateComponents([.year, .month, .day], from: now)
    if words.first == "today" || words.first == "yesterday" {
      let days = words.removeFirst() == "today" ? 0 : -1
      guard let day = calendar.date(byAdding: .day, value: days, to: calendar.startOfDay(for: now)) else { return nil }
      guard let time = words.first else { return day }
      guard words.count == 1 else { return nil }
      return moment(calendar.dateComponents([.year, .month, .day], from: day), time, calendar, allowsOffset: false)
    }
    if words.count == 1, words[0].utf8.count > 10, words[0].dropFirst(10).hasPrefix("t") {
      words = [String(words[0].prefix(10)), String(words[0].dropFirst(11))]
    }
    // An offset may stand apart.
    if words.count == 3, words[2].first?.isNumber == false { words = [words[0], words[1] + words[2]] }
    if words.count == 1, !words[0].contains("-") { return last(words[0], today, now, calendar) }
    guard let date = words.first.flatMap(date), words.count <= 2 else { return nil }
    let components = DateComponents(year: date.year, month: date.month, day: date.day)
    guard words.count == 2 else { return calendar.date(from: components) }
    return moment(components, words[1], calendar, allowsOffset: true)
  }

  // MARK: - For people

  /// `2026-11-20 09:14:22+01:00`, and with `Z` where the offset is none: as `parse` reads it. Parts of a second are cut off.
  ///
  /// - Parameter milliseconds: since 1970.
  package static func text(_ milliseconds: Int64, in zone: TimeZone) -> String {
    let second = floored(Int(milliseconds), by: 1000)
    let east = zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(second)))
    let day = floored(second + east, by: CivilDate.secondsOfDay)
    let date = CivilDate(dayNumber: day)
    let time = second + east - day * CivilDate.secondsOfDay
    return "\(padded(date.year, 4))-\(padded(date.month))-\(padded(date.day)) "
      + "\(padded(time / 3600)):\(padded(time / 60 % 60)):\(padded(time % 60))\(east == 0 ? "Z" : offset(east))"
  }

  /// A zone's offset at a moment: `UTC`, `UTC+01:00`.
  static func offset(of zone: TimeZone, at moment: Date) -> String {
    let east = zone.secondsFromGMT(for: moment)
    return east == 0 ? "UTC" : "UTC" + offset(east)
  }

  /// `+01:00`, of seconds east of UTC.
  private static func offset(_ east: Int) -> String {
    let minutes = abs(east) / 60
    return "\(east < 0 ? "-" : "+")\(padded(minutes / 60)):\(padded(minutes % 60))"
  }

  private static func floored(_ value: Int, by divisor: Int) -> Int {
    let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
    return rest < 0 ? quotient - 1 : quotient
  }

  private static func padded(_ value: Int, _ digits: Int = 2) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(digits - text.count, 0)) + text
  }

  // MARK: - Pieces

  private static func duration(_ text: String) -> Double? {
    var rest = text.hasSuffix(" ago") ? text.dropLast(4) : text[...]
    let units: [(String, Double)] = [("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)]
    var seconds = 0.0
    var next = 0
    while let (value, afterNumber) = number(rest, digits: 1...9) {
      let letters = afterNumber.prefix { $0.isLetter }
      let unit = letters == "min" ? "m" : String(letters)
      guard let index = units[next...].firstIndex(where: { $0.0 == unit }) else { return nil }
      seconds += Double(value) * units[index].1
      next = index + 1
      rest = afterNumber.dropFirst(letters.count)
      if rest.isEmpty { return seconds }
    }
    return nil
  }

  private static func epoch(_ text: Substring) -> Date? {
    guard let (seconds, rest) = number(text, digits: 1...11), let (fraction, end) = fraction(rest), end.isEmpty else {
      return nil
    }
    return Date(timeIntervalSince1970: Double(seconds) + fraction)
  }

  /// The last time at which it was that time of day.
  private static func last(_ text: String, _ today: DateComponents, _ now: Date, _ calendar: Calendar) -> Date? {
    guard let time = moment(today, text, calendar, allowsOffset: false), time > now,
      let yesterday = calendar.date(byAdding: .day, value: -1, to: calendar.startOfDay(for: now))
    else { return moment(today, text, calendar, allowsOffset: false) }
    return moment(calendar.dateComponents([.year, .month, .day], from: yesterday), text, calendar, allowsOffset: false)
  }

  /// A day and a time of it.
  private static func moment(
    _ day: DateComponents, _ text: String, _ calendar: Calendar, allowsOffset: Bool
  ) -> Date? {
    guard let (hour, afterHour) = number(text[...], digits: 1...2), hour < 24, afterHour.hasPrefix(":"),
      let (minute, afterMinute) = number(afterHour.dropFirst(), digits: 2...2), minute < 60
    else { return nil }
    var rest = afterMinute
    var second = 0
    var part = 0.0
    if rest.hasPrefix(":") {
      guard let (value, afterSecond) = number(rest.dropFirst(), digits: 2...2), value <= 60,
        let (fraction, end) = fraction(afterSecond)
      else { return nil }
      (second, part, rest) = (value, fraction, end)
    }
    if rest.isEmpty {
      var components = day
      components.hour = hour
      components.minute = minute
      return calendar.date(from: components)?.addingTimeInterval(Double(second) + part)
    }
    guard allowsOffset, let east = offset(rest), let year = day.year, let month = day.month, let day = day.day,
      let date = CivilDate(year: year, month: month, day: day)
    else { return nil }
    let seconds = date.dayNumber * CivilDate.secondsOfDay + hour * 3600 + minute * 60 + second - east
    return Date(timeIntervalSince1970: Double(seconds) + part)
  }

  /// `2026-11-20`: a day that there is.
  private static func date(_ text: String) -> (year: Int, month: Int, day: Int)? {
    guard let (year, afterYear) = number(text[...], digits: 4...4), afterYear.hasPrefix("-"),
      let (month, afterMonth) = number(afterYear.dropFirst(), digits: 2...2), afterMonth.hasPrefix("-"),
      let (day, rest) = number(afterMonth.dropFirst(), digits: 2...2), rest.isEmpty,
      CivilDate(year: year, month: month, day: day) != nil
    else { return nil }
    return (year, month, day)
  }

  /// Seconds east of UTC: `z`, `utc`, `+01:00`, `+0100` or `+01`.
  private static func offset(_ text: Substring) -> Int? {
    if text == "z" || text == "utc" { return 0 }
    guard let sign = text.first, sign == "+" || sign == "-",
      let (hours, _) = number(text.dropFirst().prefix(2), digits: 2...2), hours < 24
    else { return nil }
    let rest = text.dropFirst(3)
    let digits = rest.hasPrefix(":") ? rest.dropFirst() : rest
    var minutes = 0
    if !rest.isEmpty {
      guard let (value, end) = number(digits, digits: 2...2), end.isEmpty, value < 60 else { return nil }
      minutes = value
    }
    return (sign == "+" ? 1 : -1) * (hours * 3600 + minutes * 60)
  }

  private static func fraction(_ text: Substring) -> (Double, Substring)? {
    guard text.hasPrefix(".") else { return (0, text) }
    let digits = text.dropFirst().prefix { $0.isASCII && $0.isNumber }
    guard !digits.isEmpty, let value = Double("0." + digits) else { return nil }
    return (value, text.dropFirst(1 + digits.count))
  }

  private static func number(_ text: Substring, digits: ClosedRange<Int>) -> (Int, Substring)? {
    let found = text.prefix { $0.isASCII && $0.isNumber }
    guard digits.contains(found.count), let value = Int(found) else { return nil }
    return (value, text.dropFirst(found.count))
  }

  // MARK: - In events

  /// Milliseconds since 1970 of an RFC 3339 time; nil for anything else.
  package static func milliseconds(_ text: String) -> Int64? { unsafe rfc3339(Array(text.utf8).span.bytes) }

  /// Milliseconds since 1970 of an RFC 3339 time; finer parts are cut off.
  static func rfc3339(_ octets: RawSpan) -> Int64? {
    func octet(_ at: Int) -> UInt8 {
      at < octets.byteCount ? unsafe octets.unsafeLoad(fromByteOffset: at, as: UInt8.self) : 0
    }
    func two(_ at: Int) -> Int? {
      let high = octet(at) &- 0x30
      let low = octet(at + 1) &- 0x30
      return high < 10 && low < 10 ? Int(high) * 10 + Int(low) : nil
    }
    guard octets.byteCount >= 20, let century = two(0), let year = two(2), octet(4) == UInt8(ascii: "-"),
      let month = two(5), octet(7) == UInt8(ascii: "-"), let day = two(8), octet(10) | 0x20 == UInt8(ascii: "t"),
      let hour = two(11), octet(13) == UInt8(ascii: ":"), let minute = two(14), octet(16) == UInt8(ascii: ":"),
      let second = two(17), hour < 24, minute < 60, second <= 60,
      let date = CivilDate(year: century * 100 + year, month: month, day: day)
    else { return nil }
    var at = 19
    var milliseconds = 0
    if octet(at) == UInt8(ascii: ".") {
      var scale = 100
      at += 1
      let start = at
      while octet(at) &- 0x30 < 10 {
        milliseconds += Int(octet(at) - 0x30) * scale
        scale /= 10
        at += 1
      }
      guard at > start else { return nil }
    }
    var east = 0
    if octet(at) | 0x20 == UInt8(ascii: "z") {
      at += 1
    } else {
      guard octet(at) == UInt8(ascii: "+") || octet(at) == UInt8(ascii: "-"), let hours = two(at + 1), hours < 24,
        octet(at + 3) == UInt8(ascii: ":"), let minutes = two(at + 4), minutes < 60
      else { return nil }
      east = (octet(at) == UInt8(ascii: "+") ? 1 : -1) * (hours * 3600 + minutes * 60)
      at += 6
    }
    guard at == octets.byteCount else { return nil }
    let seconds = date.dayNumber * CivilDate.secondsOfDay + hour * 3600 + minute * 60 + second - east
    return Int64(seconds) * 1000 + Int64(milliseconds)
  }
}
