import EgressPolicy

/// Numbers with units as the configuration writes them: `250ms`, `1h`, `64MiB`.
package enum Quantity {
  private static let durations = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]

  /// Decimal digits without sign; nil when there are none or too many.
  static func integer(_ text: some StringProtocol) -> Int? {
    guard text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return Int(text)
  }

  static func milliseconds(_ text: String) -> Int? { value(text, durations) }

  /// Whole seconds of a duration with one unit or several: `90s`, `1h30m`.
  package static func seconds(_ text: String) -> UInt64? {
    var total: UInt64 = 0
    var rest = Substring(text)
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let part = rest.prefix { $0.isASCII && $0.isNumber }
      let unit = rest.dropFirst(part.count).prefix { $0.isASCII && $0.isLetter }
      guard let value = milliseconds(String(part + unit)), value % 1000 == 0 else { return nil }
      let (sum, isOver) = total.addingReportingOverflow(UInt64(value / 1000))
      guard !isOver else { return nil }
      total = sum
      rest = rest.dropFirst(part.count + unit.count)
    }
    return total
  }

  static func octets(_ text: String) -> Int? { value(text, OctetCount.units) }

  /// A duration in milliseconds, in the largest unit that divides it.
  static func duration(_ milliseconds: Int) -> String { present(milliseconds, durations.reversed()) }

  /// A duration in seconds, as people write it: `1d`, `1h30m`.
  package static func duration(seconds: UInt64) -> String {
    guard seconds > 0 else { return "0s" }
    var (text, rest) = ("", seconds)
    for (unit, factor) in durations.reversed() where factor >= 1000 {
      let length = UInt64(factor / 1000)
      if rest >= length { text += "\(rest / length)\(unit)" }
      rest %= length
    }
    return text
  }

  /// Octets, in the largest unit that divides them.
  package static func size(_ octets: Int) -> String { present(octets, OctetCount.units) }

  private static func value(_ text: String, _ units: [(String, Int)]) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text.dropFirst(digits.count)
    guard let count = integer(digits), let factor = units.first(where: { $0.0 == unit })?.1 else { return nil }
    let (product, overflow) = count.multipliedReportingOverflow(by: factor)
    return overflow ? nil : product
  }

  private static func present(_ value: Int, _ units: some Sequence<(String, Int)>) -> String {
    for (unit, factor) in units where value != 0 && value % factor == 0 { return "\(value / factor)\(unit)" }
    return "0"
  }
}
