import TestSupport
import Testing

@testable import FirewallModel

@Suite("Rules for queries")
struct QueryRulesTests {
  @Test("where no address is listened at, or no server may ask, the table has nothing of queries")
  func none() throws {
    func text(_ change: (inout FirewallPlan) -> Void) throws -> String {
      var plan = FirewallPlan.sample()
      change(&plan)
      return try Ruleset.render(plan)
    }
    for part in [Ruleset.responses, "redirected/", "redirecting/", "dialling/"] {
      #expect(try text { _ in }.contains(part), "\(part)")
      #expect(try !text { $0.listeners = [] }.contains(part), "\(part)")
      #expect(try !text { $0.servers = [] }.contains(part), "\(part)")
    }
  }
}
