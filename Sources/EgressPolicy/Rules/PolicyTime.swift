/// Times in a policy: RFC 3339, or a date for its first second in UTC.
package enum PolicyTime {
  private static let secondsOfDay: UInt64 = 86_400

  /// Reads `2026-12-31T18:00:00Z`, `2026-12-31T18:00:00.5+01:00` or `2026-12-31`, from 1970 on; nil for anything else.
  ///
  /// Fractions are cut off and leap seconds refused. The result is in seconds since 1970.
  package static func parse(_ text: some StringProtocol) -> UInt64? {
    var reader = Digits(text)
    guard let year = reader.number(4), year >= 1970, reader.take("-"), let month = reader.number(2),
      reader.take("-"), let day = reader.number(2), (1...12).contains(month), day >= 1,
      day <= daysOfMonth(month, of: year)
    else { return nil }
    let midnight = self.day(year, month, day) * secondsOfDay
    if reader.isAtEnd { return midnight }
    guard reader.take("T", or: "t"), let time = reader.timeOfDay(), let offset = reader.offset(), reader.isAtEnd
    else { return nil }
    let local = midnight + time
    if offset.isEast { return local >= offset.seconds ? local - offset.seconds : nil }
    return local + offset.seconds
  }

  /// `2026-12-31T18:00:00Z`.
  package static func text(_ seconds: UInt64) -> String {
    let (year, month, day) = date(ofDay: seconds / secondsOfDay)
    let time = seconds % secondsOfDay
    return "\(padded(year, 4))-\(padded(month, 2))-\(padded(day, 2))"
      + "T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))Z"
  }

  private static func padded(_ value: UInt64, _ digits: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(digits - text.count, 0)) + text
  }

  private static func daysOfMonth(_ month: UInt64, of year: UInt64) -> UInt64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  // 400-year eras of 146,097 days that begin on 1 March; day 0 is 1970-01-01.

  private static func day(_ year: UInt64, _ month: UInt64, _ day: UInt64) -> UInt64 {
    let shifted = month <= 2 ? year - 1 : year
    let yearOfEra = shifted % 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return shifted / 400 * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func date(ofDay day: UInt64) -> (year: UInt64, month: UInt64, day: UInt64) {
    let shifted = day + 719_468
    let dayOfEra = shifted % 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = yearOfEra + shifted / 146_097 * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
  }
}

/// Reads numbers of a fixed width and the marks between them.
private struct Digits {
  private let octets: [UInt8]
  private var at = 0

  init(_ text: some StringProtocol) { octets = Array(text.utf8) }

  var isAtEnd: Bool { at == octets.count }

  mutating func take(_ mark: Unicode.Scalar, or other: Unicode.Scalar? = nil) -> Bool {
    guard at < octets.count else { return false }
    let scalar = Unicode.Scalar(octets[at])
    guard scalar == mark || scalar == other else { return false }
    at += 1
    return true
  }

  mutating func number(_ width: Int) -> UInt64? {
    guard octets.count - at >= width else { return nil }
    var value: UInt64 = 0
    for octet in octets[at..<(at + width)] {
      guard (48...57).contains(octet) else { return nil }
      value = value * 10 + UInt64(octet - 48)
    }
    at += width
    return value
  }

  /// `HH:MM:SS` with or without a fraction.
  mutating func timeOfDay() -> UInt64? {
    guard let hour = number(2), take(":"), let minute = number(2), take(":"), let second = number(2), hour < 24,
      minute < 60, second < 60
    else { return nil }
    if take(".") {
      guard number(1) != nil else { return nil }
      while number(1) != nil {}
    }
    return hour * 3600 + minute * 60 + second
  }

  /// `Z`, or `+HH:MM` or `-HH:MM`.
  mutating func offset() -> (isEast: Bool, seconds: UInt64)? {
    if take("Z", or: "z") { return (true, 0) }
    let isEast = take("+")
    guard isEast || take("-"), let hours = number(2), take(":"), let minutes = number(2), hours < 24, minutes < 60
    else { return nil }
    return (isEast, hours * 3600 + minutes * 60)
  }
}
