import Testing

/// What happens to serve from outside, and what must hold then: whole, but with upstreams, a bridge, a kernel, a log and
/// clocks that do as they are told. Beside what each scenario expects, at every moment an address that a client got is open
/// for as long as the answer says (P2), and at the end nothing is open that no client was promised (P3).
@Suite("Scenarios")
struct ScenarioTests {
  @Test("resolving", arguments: Scenario.resolving)
  func resolving(_ scenario: Scenario) throws { try scenario.play() }

  @Test("committing", arguments: Scenario.committing)
  func committing(_ scenario: Scenario) throws { try scenario.play() }

  @Test("closing early", arguments: Scenario.closing)
  func closing(_ scenario: Scenario) throws { try scenario.play() }

  @Test("changing the policy", arguments: Scenario.reloading)
  func reloading(_ scenario: Scenario) throws { try scenario.play() }

  @Test("permits", arguments: Scenario.permitting)
  func permitting(_ scenario: Scenario) throws { try scenario.play() }

  @Test("the bridge dies", arguments: Scenario.dying)
  func dying(_ scenario: Scenario) throws { try scenario.play() }

  @Test("others change the table", arguments: Scenario.disturbing)
  func disturbing(_ scenario: Scenario) throws { try scenario.play() }

  @Test("ends over a restart", arguments: Scenario.inheriting)
  func inheriting(_ scenario: Scenario) throws { try scenario.play() }

  @Test("the order of what the bridge does", arguments: Scenario.ordering)
  func ordering(_ scenario: Scenario) throws { try scenario.play() }

  @Test("one family and the other", arguments: Scenario.families)
  func families(_ scenario: Scenario) throws { try scenario.play() }

  @Test("long answers", arguments: Scenario.long)
  func long(_ scenario: Scenario) throws { try scenario.play() }

  @Test("addresses that no entry admits", arguments: Scenario.unlisted)
  func unlisted(_ scenario: Scenario) throws { try scenario.play() }

  @Test("names beside the listed one", arguments: Scenario.beside)
  func beside(_ scenario: Scenario) throws { try scenario.play() }

  @Test("chains that a rule allows", arguments: Scenario.chained)
  func chained(_ scenario: Scenario) throws { try scenario.play() }

  @Test("slow and refusing upstreams", arguments: Scenario.slow)
  func slow(_ scenario: Scenario) throws { try scenario.play() }

  @Test("upstreams that lie, and those who forge their answers", arguments: Scenario.hostile)
  func hostile(_ scenario: Scenario) throws { try scenario.play() }

  @Test("upstreams that fail, answers that end, clocks that jump", arguments: Scenario.resilient)
  func resilient(_ scenario: Scenario) throws { try scenario.play() }

  @Test("the gate", arguments: Scenario.gated)
  func gated(_ scenario: Scenario) throws { try scenario.play() }

  @Test("forwarded zones", arguments: Scenario.forwarding)
  func forwarding(_ scenario: Scenario) throws { try scenario.play() }

  @Test("upstreams", arguments: Scenario.failingOver)
  func failingOver(_ scenario: Scenario) throws { try scenario.play() }
}
