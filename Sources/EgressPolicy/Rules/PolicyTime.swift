import LinuxIO

/// Times in a policy: RFC 3339, or a date for its first second in UTC.
package enum PolicyTime {
  private static let secondsOfDay = UInt64(CivilDate.secondsOfDay)

  /// Reads `2026-12-31T18:00:00Z`, `2026-12-31T18:00:00.5+01:00` or `2026-12-31`, from 1970 on; nil for anything else.
  ///
  /// Fractions are cut off and leap seconds refused. The result is in seconds since 1970.
  package static func parse(_ text: some StringProtocol) -> UInt64? {
    var reader = Digits(text)
    guard let year = reader.number(4), year >= 1970, reader.take("-"), let month = reader.number(2),
      reader.take("-"), let day = reader.number(2),
      let date = CivilDate(year: Int(year), month: Int(month), day: Int(day))
    else { return nil }
    let midnight = UInt64(date.dayNumber) * secondsOfDay
    if reader.isAtEnd { return midnight }
    guard reader.take("T", or: "t"), let time = reader.timeOfDay(), let offset = reader.offset(), reader.isAtEnd
    else { return nil }
    let local = midnight + time
    if offset.isEast { return local >= offset.seconds ? local - offset.seconds : nil }
    return local + offset.seconds
  }

  /// `2026-12-31T18:00:00Z`.
  package static func text(_ seconds: UInt64) -> String {
    let date = CivilDate(dayNumber: Int(seconds / secondsOfDay))
    let time = seconds % secondsOfDay
    return "\(padded(UInt64(date.year), 4))-\(padded(UInt64(date.month), 2))-\(padded(UInt64(date.day), 2))"
      + "T\(padded(time / 3600, 2)):\(padded(time / 60 % 60, 2)):\(padded(time % 60, 2))Z"
  }

  private static func padded(_ value: UInt64, _ digits: Int) -> String {
    let text = String(value)
    return String(repeating: "0", count: max(digits - text.count, 0)) + text
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
