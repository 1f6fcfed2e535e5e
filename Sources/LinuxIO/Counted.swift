/// A number with its noun, in what people read: `1 address`, `2 addresses`.
package func counted(_ number: some BinaryInteger, _ noun: String) -> String {
  guard number != 1 else { return "1 \(noun)" }
  let plural =
    noun.hasSuffix("s") ? noun + "es" : noun.hasSuffix("ry") ? noun.dropLast() + "ies" : noun + "s"
  return "\(number) \(plural)"
}
