/// Events in the order of their time. The log has them in the order in which they were written, and an event that stands for
/// many is written when its window ends, with the time of the first of them.
///
/// Memory: twice `reach` lines. What comes more than `reach` lines after its time stands where it comes.
package struct LogOrder {
  private let reach: Int
  private var lines: [(time: Int64, number: Int, line: LogLine)] = []
  private var number = 0

  /// - Parameter reach: lines, at least 1.
  package init(reach: Int = 65_536) { self.reach = min(max(reach, 1), .max / 2) }

  /// Takes a line; gives `body` what is sure to come before all that follows.
  package mutating func add(_ line: LogLine, _ body: (LogLine) -> Void) {
    lines.append((line.time ?? .min, number, line.alone()))
    number += 1
    guard lines.count >= 2 * reach else { return }
    sort()
    for entry in lines.prefix(reach) { body(entry.line) }
    lines.removeFirst(reach)
  }

  /// What is left, the latest `limit` of it.
  package mutating func end(limit: Int? = nil, _ body: (LogLine) -> Void) {
    sort()
    for entry in lines.suffix(limit ?? lines.count) { body(entry.line) }
    lines.removeAll()
  }

  /// Of the same time, what was written first is first.
  private mutating func sort() { lines.sort { ($0.time, $0.number) < ($1.time, $1.number) } }
}
