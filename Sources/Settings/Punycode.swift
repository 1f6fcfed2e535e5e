/// The encoding of Unicode labels in ASCII (RFC 3492), encoder only.
enum Punycode {
  /// `scalars` without the `xn--` prefix; nil when an intermediate number does not fit (never for a label of 63).
  static func encode(_ scalars: [Unicode.Scalar]) -> String? {
    var output = scalars.filter(\.isASCII).map { Character($0) }
    let basicCount = output.count
    if basicCount > 0 { output.append("-") }
    var state = State(handled: basicCount)
    while state.handled < scalars.count {
      guard let next = scalars.lazy.map({ Int($0.value) }).filter({ $0 >= state.code }).min() else { return nil }
      let (step, overflow) = (next - state.code).multipliedReportingOverflow(by: state.handled + 1)
      if overflow { return nil }
      state.delta += step
      state.code = next
      for scalar in scalars { state.take(Int(scalar.value), basicCount, &output) }
      state.delta += 1
      state.code += 1
    }
    return String(output)
  }

  /// The loop variables n, delta, bias and h of RFC 3492 section 6.3.
  private struct State {
    var code = 128
    var delta = 0
    var bias = 72
    var handled: Int

    mutating func take(_ value: Int, _ basicCount: Int, _ output: inout [Character]) {
      if value < code { delta += 1 }
      guard value == code else { return }
      Punycode.append(delta, bias: bias, to: &output)
      bias = Punycode.adapt(delta, count: handled + 1, isFirst: handled == basicCount)
      delta = 0
      handled += 1
    }
  }

  private static func append(_ delta: Int, bias: Int, to output: inout [Character]) {
    var rest = delta
    var k = 36
    while true {
      let threshold = min(max(k - bias, 1), 26)
      if rest < threshold { break }
      output.append(digit(threshold + (rest - threshold) % (36 - threshold)))
      rest = (rest - threshold) / (36 - threshold)
      k += 36
    }
    output.append(digit(rest))
  }

  private static func digit(_ value: Int) -> Character {
    Character(Unicode.Scalar(UInt8(value < 26 ? 0x61 + value : 0x30 + value - 26)))
  }

  /// RFC 3492 section 6.1.
  private static func adapt(_ delta: Int, count: Int, isFirst: Bool) -> Int {
    var delta = isFirst ? delta / 700 : delta / 2
    delta += delta / count
    var k = 0
    while delta > 455 {
      delta /= 35
      k += 36
    }
    return k + 36 * delta / (delta + 38)
  }
}
