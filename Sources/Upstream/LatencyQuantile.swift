/// How long an answer takes of which nineteen of twenty are faster, kept in one number: each sample moves it a little, up by
/// nineteen times as much as down (Ma, Muthukrishnan and Sandler, "Frugal streaming for estimating quantiles").
struct LatencyQuantile {
  /// Samples before it says anything.
  static let fewest = 20
  /// A twentieth of it is what a faster sample takes off.
  private static let step = 0.1

  private var milliseconds = 0.0
  private var samples = 0

  /// Milliseconds; nil before there are enough samples.
  var value: Double? { samples < Self.fewest ? nil : milliseconds }

  mutating func add(_ sample: Double) {
    samples = min(samples + 1, Self.fewest)
    guard milliseconds > 0 else {
      milliseconds = max(sample, 0.01)
      return
    }
    milliseconds *= sample > milliseconds ? 1 + 0.95 * Self.step : 1 - 0.05 * Self.step
  }
}
