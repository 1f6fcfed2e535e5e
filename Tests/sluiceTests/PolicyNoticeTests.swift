import Testing

@testable import sluice

@Suite("What is said where files are not in force")
struct PolicyNoticeTests {
  @Test("a policy that the files do not hold is told, with the command that changes it")
  func notice() {
    #expect(PolicyNotice.text(running: "a", "a") == nil)
    #expect(PolicyNotice.text(running: "a", "b")?.contains("another policy in force, a: `sluice reload`") == true)
  }
}
