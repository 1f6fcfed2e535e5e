/// Which release this is.
package enum Release {
  /// Semantic version.
  package static let version = "0.1.0"
}
