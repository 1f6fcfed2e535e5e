import LinuxIO

/// Wall clock times as `2026-11-20T09:14:22.481Z`; the seconds are worked out once for all events of a second.
package struct Timestamp: Sendable {
  private static let millisecond: UInt64 = 1_000_000
  private var second = UInt64.max
  private var text: [UInt8] = []

  package init() {}

  /// `nanoseconds` since 1970.
  package static func text(_ nanoseconds: UInt64) -> String {
    var (timestamp, octets) = (Timestamp(), [UInt8]())
    timestamp.append(nanoseconds, to: &octets)
    return String(decoding: octets, as: UTF8.self)
  }

  /// `milliseconds` since 1970, cut to 1970: also of years that are too many nanoseconds for 64 bits.
  package static func text(milliseconds: Int64) -> String {
    let (seconds, rest) = UInt64(clamping: milliseconds).quotientAndRemainder(dividingBy: 1000)
    var timestamp = Timestamp()
    timestamp.second = seconds
    timestamp.format()
    var octets = timestamp.text
    append(rest, digits: 3, to: &octets)
    return String(decoding: octets, as: UTF8.self) + "Z"
  }

  /// `seconds` since 1970: also of years that are too many nanoseconds for 64 bits.
  package static func text(seconds: UInt64) -> String {
    var timestamp = Timestamp()
    timestamp.second = seconds
    timestamp.format()
    return String(decoding: timestamp.text, as: UTF8.self) + "000Z"
  }

  /// Appends `nanoseconds` since 1970, cut to milliseconds.
  package mutating func append(_ nanoseconds: UInt64, to output: inout [UInt8]) {
    let milliseconds = nanoseconds / Self.millisecond
    if milliseconds / 1000 != second {
      second = milliseconds / 1000
      format()
    }
    output.append(contentsOf: text)
    Self.append(milliseconds % 1000, digits: 3, to: &output)
    output.append(UInt8(ascii: "Z"))
  }

  private mutating func format() {
    text.removeAll(keepingCapacity: true)
    let (days, time) = second.quotientAndRemainder(dividingBy: UInt64(CivilDate.secondsOfDay))
    let date = CivilDate(dayNumber: Int(days))
    Self.append(UInt64(date.year), digits: 4, to: &text)
    for (separator, value) in [
      ("-", UInt64(date.month)), ("-", UInt64(date.day)), ("T", time / 3600), (":", time / 60 % 60), (":", time % 60),
    ]
      as [(Unicode.Scalar, UInt64)]
    {
      text.append(UInt8(ascii: separator))
      Self.append(value, digits: 2, to: &text)
    }
    text.append(UInt8(ascii: "."))
  }

  /// What year, month, day, hour, minute, second and milliseconds may be: so many years are nanoseconds in 64 bits.
  private static let fields: [ClosedRange<Int>] = [1970...2553, 1...12, 1...31, 0...23, 0...59, 0...59, 0...999]

  /// Nanoseconds since 1970 of what `append` appended; nil for what it would not.
  static func nanoseconds(_ text: ArraySlice<UInt8>) -> UInt64? {
    let parts = text.split { !(48...57).contains($0) }.compactMap { Int(String(decoding: $0, as: UTF8.self)) }
    guard parts.count == fields.count, zip(fields, parts).allSatisfy({ $0.contains($1) }) else { return nil }
    guard let date = CivilDate(year: parts[0], month: parts[1], day: parts[2]) else { return nil }
    let seconds = date.dayNumber * CivilDate.secondsOfDay + parts[3] * 3600 + parts[4] * 60 + parts[5]
    let nanoseconds = (UInt64(seconds) * 1000 + UInt64(parts[6])) * millisecond
    // No other separators.
    return self.text(nanoseconds).utf8.elementsEqual(text) ? nanoseconds : nil
  }

  private static func append(_ value: UInt64, digits: Int, to output: inout [UInt8]) {
    var scale: UInt64 = 1
    for _ in 1..<digits { scale *= 10 }
    while scale > 0 {
      output.append(UInt8(ascii: "0") + UInt8(value / scale % 10))
      scale /= 10
    }
  }
}
