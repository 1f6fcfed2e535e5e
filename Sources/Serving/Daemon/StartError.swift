/// Why `serve` does not start (P7), or cannot go on: what, and what to do about it.
package struct StartError: Error {
  /// A sentence, without `sluice:` before it.
  package let reason: String

  package init(_ reason: String) {
    self.reason = reason
  }
}
