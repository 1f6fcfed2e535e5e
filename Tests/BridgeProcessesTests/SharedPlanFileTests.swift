import BridgeProcesses
import FirewallModel
import Glibc
import LinuxIO
import TestSupport
import Testing

/// The file of plan and envelope that supervisor and workers share.
@Suite("The plan that the bridge's processes share")
struct SharedPlanFileTests {
  private func with(_ plan: FirewallPlan?, _ body: (SharedPlanFile) throws -> Void) throws {
    let planFile = try SharedPlanFile.make(plan)
    defer { close(planFile.descriptor) }
    try body(planFile)
  }

  @Test("what was stored last is read, by every process that has the file")
  func latest() throws {
    try with(nil) { planFile in
      #expect(planFile.load() == nil)
      for table in ["one", "two", "three"] {
        let plan = FirewallPlan.sample(table: table)
        try planFile.store(plan.encoded())
        #expect(SharedPlanFile(descriptor: planFile.descriptor).load() == plan)
      }
      try planFile.forget()
      #expect(planFile.load() == nil)
    }
  }

  @Test("a process that dies while it stores a plan leaves the one before")
  func half() throws {
    let plan = FirewallPlan.sample(table: "before")
    try with(plan) { planFile in
      // What `store` has written when the number of the active slot is all that is missing.
      try planFile.store(FirewallPlan.sample(table: "after").encoded())
      var first: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
      let written = unsafe pwrite(planFile.descriptor, &first, first.count, 8)
      #expect(written == first.count)
      #expect(planFile.load() == plan)
    }
  }

  @Test("a plan that is damaged or has no slot is none, and no other is taken for it")
  func damaged() throws {
    try with(.sample()) { planFile in
      for slot: UInt8 in [3, 9, 0xFF] {
        var octets: [UInt8] = [slot, 0, 0, 0, 0, 0, 0, 0]
        let written = unsafe pwrite(planFile.descriptor, &octets, octets.count, 8)
        #expect(written == octets.count)
        #expect(planFile.load() == nil)
      }
      try planFile.store([1, 2, 3])
      #expect(planFile.load() == nil)
    }
  }

  @Test("each incarnation has a number of its own, whatever is stored in between")
  func incarnations() throws {
    try with(nil) { planFile in
      #expect(try planFile.nextIncarnation() == 1)
      try planFile.store(FirewallPlan.sample().encoded())
      #expect(try planFile.nextIncarnation() == 2)
      #expect(planFile.load() == .sample())
    }
  }

  @Test("more than has room is refused, and what was there stays")
  func large() throws {
    try with(.sample()) { planFile in
      #expect(throws: SystemError.self) {
        try planFile.store([UInt8](repeating: 0, count: SharedPlanFile.maximumPlanOctets + 1))
      }
      #expect(planFile.load() == .sample())
    }
  }
}
