import Testing

@testable import Enforcement

@Suite("An incident of enforcement")
struct EnforcementIncidentTests {
  private static let second: UInt64 = 1_000_000_000

  @Test("only the first disturbance begins an incident, and only its end ends it")
  func onceEach() {
    var incident = EnforcementIncident()
    #expect(incident.settle(now: 0) == nil)
    let first = incident.disturbed(.elementsRemoved, breaksTable: false, now: Self.second)
    let second = incident.disturbed(.tableRemoved, breaksTable: false, now: 2 * Self.second)
    #expect(first && !second)
    #expect(incident.settle(now: 3 * Self.second) == nil, "nothing was committed again yet")
    incident.recommitted()
    let ended = incident.settle(now: 4 * Self.second)
    #expect(ended == .init(cause: .elementsRemoved, milliseconds: 3_000, disturbances: 2))
    #expect(incident.settle(now: 5 * Self.second) == nil)
    #expect(!incident.isOpen)
  }

  @Test("a broken table keeps the incident open until the table is whole")
  func brokenTable() {
    var incident = EnforcementIncident()
    _ = incident.disturbed(.tableRemoved, breaksTable: true, now: 0)
    incident.recommitted()
    #expect(incident.settle(now: 1) == nil)
    incident.madeWhole()
    #expect(incident.settle(now: 2) != nil)
  }

  @Test("a disturbance after the commit takes another commit")
  func disturbedAgain() {
    var incident = EnforcementIncident()
    _ = incident.disturbed(.elementsRemoved, breaksTable: false, now: 0)
    incident.recommitted()
    _ = incident.disturbed(.elementsRemoved, breaksTable: false, now: 1)
    #expect(incident.settle(now: 2) == nil)
    incident.recommitted()
    #expect(incident.settle(now: 3)?.disturbances == 2)
  }

  @Test("elements without a promise keep the incident open until they are gone")
  func strangers() {
    var incident = EnforcementIncident()
    _ = incident.disturbed(.elementsAdded, breaksTable: false, now: 0)
    incident.foundForeignElements()
    incident.recommitted()
    #expect(incident.settle(now: 1) == nil)
    incident.removedForeignElements()
    #expect(incident.settle(now: 2)?.cause == .elementsAdded)
  }
}
