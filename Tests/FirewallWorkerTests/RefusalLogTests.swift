import FirewallModel
import NFTables
import TestSupport
import Testing

@testable import FirewallWorker

@Suite("The reader of the kernel's log (P6)")
struct RefusalLogTests {
  /// Far from what a host's own programs read.
  private static let groups: [UInt16] = [41_811, 41_812]

  @Test(
    "while another program reads the group that is told once, it is tried every second, and told when that one is gone")
  func taken() throws {
    try Kernel.inNamespace {
      let group = Self.groups[0]
      var other: RefusalReader? = try RefusalReader(group: group)
      var log = RefusalLog()
      let told = log.follow(group, now: 5)
      guard case .refusalsRead(false) = told.first, case .notice(let text) = told.last else {
        Issue.record("told \(told)")
        return
      }
      #expect(told.count == 2 && text.contains("\(group)") && log.reader == nil && log.isTaken)
      #expect(!log.isTryDue(1_000_000_004) && log.isTryDue(1_000_000_005))
      #expect(log.follow(group, now: 1_000_000_005).isEmpty && log.isTaken, "told already")
      withExtendedLifetime(other) {}
      other = nil
      guard case .refusalsRead(true)? = log.follow(group, now: 2_000_000_005).first else {
        Issue.record("that it is read again is told")
        return
      }
      #expect(!log.isTaken && log.reader != nil && !log.isTryDue(.max))
      #expect(log.follow(group, now: 3_000_000_005).isEmpty, "what is read is not asked for again")
      // Another plan names another group, and leaves this one to others.
      #expect(log.follow(Self.groups[1], now: 4_000_000_005).isEmpty)
      _ = try RefusalReader(group: group)
    }
  }
}
