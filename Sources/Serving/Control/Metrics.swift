import Foundation

/// Durations by how long they took; reached by the resolver's thread only.
struct DurationHistogram {
  /// Upper bounds in seconds.
  static let bounds: [Double] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
  ]

  /// One more than there are bounds: the last is for what took longer.
  private(set) var counts = [UInt64](repeating: 0, count: DurationHistogram.bounds.count + 1)
  /// Seconds.
  private(set) var sum = 0.0

  mutating func observe(nanoseconds: UInt64) {
    let seconds = Double(nanoseconds) / 1e9
    counts[Self.bounds.firstIndex { seconds <= $0 } ?? Self.bounds.count] += 1
    sum += seconds
  }
}

/// Prometheus' text format, version 0.0.4: families with their help and type, each sample on a line.
struct MetricsText {
  enum Kind: String {
    case counter
    case gauge
    case histogram
  }

  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private(set) var octets: [UInt8] = []

  mutating func family(_ name: String, _ kind: Kind, _ help: String) {
    append("# HELP \(name) \(help)\n# TYPE \(name) \(kind.rawValue)\n")
  }

  mutating func sample(_ name: String, _ labels: KeyValuePairs<String, String>, _ value: some Numeric) {
    append("\(name)\(Self.text(labels)) \(value)\n")
  }

  mutating func sample(_ name: String, _ value: some Numeric) { sample(name, [:], value) }

  mutating func histogram(_ name: String, _ help: String, _ histogram: DurationHistogram) {
    family(name, .histogram, help)
    var total: UInt64 = 0
    for (index, count) in histogram.counts.enumerated() {
      total += count
      let bound = index < DurationHistogram.bounds.count ? "\(DurationHistogram.bounds[index])" : "+Inf"
      sample(name + "_bucket", ["le": bound], total)
    }
    sample(name + "_sum", histogram.sum)
    sample(name + "_count", total)
  }

  private mutating func append(_ text: String) { octets += text.utf8 }

  private static func text(_ labels: KeyValuePairs<String, String>) -> String {
    guard !labels.isEmpty else { return "" }
    let pairs = labels.map { label, value in
      let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
      return "\(label)=\"\(escaped)\""
    }
    return "{\(pairs.joined(separator: ","))}"
  }
}
