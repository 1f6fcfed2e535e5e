import FirewallModel
import LinuxIO
import NFTables

/// The kernel's log of refused packets: one program alone reads a group of it. While that is another one, it is tried again every
/// second.
struct RefusalLog {
  /// Nanoseconds.
  private static let pause: UInt64 = 1_000_000_000

  private(set) var reader: RefusalReader?
  private var group: UInt16?
  /// Another program reads the group.
  private(set) var isTaken = false
  private var nextTry: UInt64 = 0

  /// - Parameter now: nanoseconds of the monotonic clock.
  func isTryDue(_ now: UInt64) -> Bool { isTaken && now >= nextTry }

  /// Becomes the reader of a group, and no other's.
  ///
  /// - Returns: what serve is to be told.
  mutating func follow(_ group: UInt16, now: UInt64) -> [BridgeMessage] {
    guard group != self.group else { return [] }
    let wasRead = !isTaken
    do {
      reader = try RefusalReader(group: group)
      (self.group, isTaken) = (group, false)
      return wasRead ? [] : [.refusalsRead(true)]
    } catch {
      (reader, self.group, isTaken, nextTry) = (nil, nil, true, now + Self.pause)
      guard wasRead else { return [] }
      return [
        .refusalsRead(false),
        .notice("refused connections leave no events: group \(group) of the kernel's log cannot be read: \(error)"),
      ]
    }
  }
}
