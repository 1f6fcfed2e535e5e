/// What policy says about one question of one server.
package enum Verdict: Equatable, Sendable {
  case allowed(rule: Int)
  /// The name is listed, this type of it is not: NODATA, so that the types that are listed stay usable.
  case typeNotAllowed(rule: Int)
  case notListed
  /// Whatever lists it.
  case denied(rule: Int)
}
