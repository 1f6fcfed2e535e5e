import BridgeProcesses
import FirewallModel
import Glibc
import LinuxIO
import TestSupport
import Testing

/// The file of plan and envelope that keeper and feeders share.
@Suite("The plan that the bridge's processes share")
struct PlanNotebookTests {
  private func with(_ plan: FirewallPlan?, _ body: (PlanNotebook) throws -> Void) throws {
    let notebook = try PlanNotebook.make(plan)
    defer { close(notebook.descriptor) }
    try body(notebook)
  }

  @Test("what was stored last is read, by every process that has the file")
  func latest() throws {
    try with(nil) { notebook in
      #expect(notebook.load() == nil)
      for table in ["one", "two", "three"] {
        let plan = FirewallPlan.sample(table: table)
        try notebook.store(plan.encoded())
        #expect(PlanNotebook(descriptor: notebook.descriptor).load() == plan)
      }
      try notebook.forget()
      #expect(notebook.load() == nil)
    }
  }

  @Test("a process that dies while it stores a plan leaves the one before")
  func half() throws {
    let plan = FirewallPlan.sample(table: "before")
    try with(plan) { notebook in
      // What `store` has written when the number of the active place is all that is missing.
      try notebook.store(FirewallPlan.sample(table: "after").encoded())
      var first: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
      let written = unsafe pwrite(notebook.descriptor, &first, first.count, 8)
      #expect(written == first.count)
      #expect(notebook.load() == plan)
    }
  }

  @Test("a plan that is damaged or has no place is none, and no other is taken for it")
  func damaged() throws {
    try with(.sample()) { notebook in
      for place: UInt8 in [3, 9, 0xFF] {
        var octets: [UInt8] = [place, 0, 0, 0, 0, 0, 0, 0]
        let written = unsafe pwrite(notebook.descriptor, &octets, octets.count, 8)
        #expect(written == octets.count)
        #expect(notebook.load() == nil)
      }
      try notebook.store([1, 2, 3])
      #expect(notebook.load() == nil)
    }
  }

  @Test("each incarnation has a number of its own, whatever is stored in between")
  func incarnations() throws {
    try with(nil) { notebook in
      #expect(try notebook.nextIncarnation() == 1)
      try notebook.store(FirewallPlan.sample().encoded())
      #expect(try notebook.nextIncarnation() == 2)
      #expect(notebook.load() == .sample())
    }
  }

  @Test("more than has room is refused, and what was there stays")
  func large() throws {
    try with(.sample()) { notebook in
      #expect(throws: SystemError.self) {
        try notebook.store([UInt8](repeating: 0, count: PlanNotebook.maximumPlanOctets + 1))
      }
      #expect(notebook.load() == .sample())
    }
  }
}
