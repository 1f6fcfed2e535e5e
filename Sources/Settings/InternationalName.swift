import Foundation

/// Turns names with letters outside ASCII into A-labels (RFC 5890), or refuses them when their meaning is in doubt.
package enum InternationalName {
  /// Why a name has no certain A-labels.
  package struct LabelError: Error {
    /// What follows the name.
    package let reason: String
  }

  /// The name with every U-label as an A-label; ASCII labels and wildcards stay as they are.
  package static func toASCII(_ name: String) throws(LabelError) -> String {
    if name.utf8.allSatisfy({ $0 < 0x80 }) { return name }
    var labels: [String] = []
    for label in name.split(separator: ".", omittingEmptySubsequences: false) {
      labels.append(try aLabel(String(label)))
    }
    return labels.joined(separator: ".")
  }

  private static func aLabel(_ label: String) throws(LabelError) -> String {
    if label.utf8.allSatisfy({ $0 < 0x80 }) { return label }
    let folded = label.lowercased().precomposedStringWithCanonicalMapping
    try check(folded, from: label)
    guard let encoded = Punycode.encode(Array(folded.unicodeScalars)), encoded.utf8.count + 4 <= 63 else {
      throw LabelError(reason: "has a label longer than 63 octets")
    }
    return "xn--" + encoded
  }

  private static func check(_ folded: String, from label: String) throws(LabelError) {
    for scalar in label.unicodeScalars where !scalar.isASCII {
      // Case mapping or composition must not make ASCII letters out of others: Kelvin sign, dotted capital I.
      let alone = String(scalar).lowercased().precomposedStringWithCanonicalMapping
      if alone.unicodeScalars.contains(where: \.isASCII) {
        throw LabelError(reason: "holds a letter that only looks like an ASCII one; write the A-label (xn--…)")
      }
    }
    guard folded.precomposedStringWithCompatibilityMapping == folded else {
      throw LabelError(reason: "holds a compatibility form such as a full-width letter; write the A-label (xn--…)")
    }
    if folded.hasPrefix("-") || folded.hasSuffix("-") || folded.dropFirst(2).hasPrefix("--") {
      throw LabelError(reason: "has hyphens where an internationalised label must not have them")
    }
    for (index, scalar) in folded.unicodeScalars.enumerated() where !isClear(scalar, isFirst: index == 0) {
      throw LabelError(
        reason: "holds \(Quoted.text(String(scalar))), which has no certain A-label; write the A-label (xn--…)")
    }
  }

  /// Letters and digits; marks behind a letter. Not those that IDNA 2003 and 2008 encode differently (RFC 5894 section 7.2).
  private static func isClear(_ scalar: Unicode.Scalar, isFirst: Bool) -> Bool {
    if scalar.isASCII { return isHostOctet(scalar.value) }
    if scalar == "ß" || scalar == "ς" || scalar.value == 0x200C || scalar.value == 0x200D { return false }
    switch scalar.properties.generalCategory {
    case .lowercaseLetter, .otherLetter, .modifierLetter, .decimalNumber: return true
    case .nonspacingMark, .spacingMark: return !isFirst
    default: return false
    }
  }

  private static func isHostOctet(_ value: UInt32) -> Bool {
    (0x61...0x7A).contains(value) || (0x30...0x39).contains(value) || value == 0x2D || value == 0x5F
  }
}
