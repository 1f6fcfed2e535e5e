/// Which chains of CNAMEs an answer may have, from the most that is allowed to the least. The raw value is the word of the
/// files.
package enum ChainPolicy: String, Sendable, CaseIterable, Comparable {
  /// Any: a name behind it is answered inside the chain, listed or not.
  case follow
  /// Each name of it is on the server's list.
  case listed
  /// None: the asked name answers itself.
  case strict

  package static func < (left: Self, right: Self) -> Bool { left.place < right.place }

  private var place: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}
