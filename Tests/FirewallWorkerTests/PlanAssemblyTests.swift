import Testing

@testable import FirewallWorker

@Suite("A plan in parts (P7)")
struct PlanAssemblyTests {
  @Test("a plan is whole once each part came behind the one before, and then the next one begins")
  func whole() {
    var assembly = PlanAssembly()
    for _ in 0..<2 {
      #expect(assembly.take(0, of: 3, [1]) == .waiting)
      #expect(assembly.take(1, of: 3, [2, 3]) == .waiting)
      #expect(assembly.take(2, of: 3, []) == .whole([1, 2, 3]))
    }
    #expect(assembly.take(0, of: 1, [4]) == .whole([4]))
  }

  @Test("a plan of which a part is missing or comes twice is told with its last one, and nothing of it is in the next")
  func broken() {
    var assembly = PlanAssembly()
    #expect(assembly.take(0, of: 3, [1]) == .waiting && assembly.take(2, of: 3, [3]) == .broken)
    #expect(assembly.take(0, of: 3, [1]) == .waiting && assembly.take(0, of: 3, [1]) == .waiting)
    #expect(assembly.take(2, of: 3, [3]) == .broken)
    #expect(assembly.take(1, of: 1, [9]) == .waiting, "beyond its end: no part of anything")
    #expect(assembly.take(0, of: 0, [9]) == .waiting, "of none")
    #expect(assembly.take(0, of: 2, [5]) == .waiting && assembly.take(1, of: 2, [6]) == .whole([5, 6]))
  }

  @Test("more than a plan may have is refused before it is held")
  func tooMuch() {
    var assembly = PlanAssembly()
    let part = [UInt8](repeating: 7, count: PlanAssembly.maximumOctets / 2)
    #expect(assembly.take(0, of: 4, part) == .waiting && assembly.take(1, of: 4, part) == .waiting)
    #expect(assembly.take(2, of: 4, [1]) == .waiting && assembly.take(3, of: 4, [1]) == .broken)
  }
}
