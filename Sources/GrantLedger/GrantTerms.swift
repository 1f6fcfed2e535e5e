/// What was shown of an answer before its addresses were opened, where the rule asked for more than every answer has to show:
/// whether it is signed, and where its chain leads. Kept in 32 bits for the next run, whose policy may ask for more still.
package struct GrantTerms: Hashable, Sendable {
  /// What its signatures showed; the later, the more.
  package enum Signatures: UInt32, Comparable, Sendable {
    /// They were not looked at.
    case unknown
    /// Its zone does not sign, and that is shown.
    case unsigned
    case secure

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  /// What is known of the names that it leads through.
  package enum Chain: Equatable, Sendable {
    /// Nothing: they may be any.
    case any
    /// There are none.
    case none
    /// All are on the list that has this mark.
    case listed(mark: UInt32)
    /// None is denied by the list that has this mark.
    case undenied(mark: UInt32)
  }

  /// As the journal has it; 0 where nothing was asked for.
  package let rawValue: UInt32

  /// Bits of a list's mark.
  package static let markBits: UInt32 = 28

  /// Of a rule that asks for nothing.
  package init() { rawValue = 0 }

  /// As a journal has it; what no version wrote says nothing.
  package init(rawValue: UInt32) { self.rawValue = rawValue }

  /// - Parameter chain: of a list's mark the lower `markBits` count.
  package init(_ signatures: Signatures, _ chain: Chain) {
    let bits: UInt32 =
      switch chain {
      case .any: 0
      case .none: 1 << 2
      case .listed(let mark): 2 << 2 | mark << 4
      case .undenied(let mark): 3 << 2 | mark << 4
      }
    rawValue = signatures.rawValue | bits
  }

  package var signatures: Signatures { Signatures(rawValue: rawValue & 3) ?? .unknown }

  package var chain: Chain {
    switch rawValue >> 2 & 3 {
    case 1: .none
    case 2: .listed(mark: rawValue >> 4)
    case 3: .undenied(mark: rawValue >> 4)
    default: .any
    }
  }
}
