import TestSupport
import Testing

@testable import AuditLog

/// Windows in memory that outlives the process, and may be a damaged file.
@Suite("Windows in memory")
struct CoalescerAreaTests {
  private let memory = HeapMemory(CoalescerArea.overhead + 65_536)

  private func key(_ name: String) -> CoalescingKey {
    var key = CoalescingKey()
    key.setName(of: record(name: wire(name)))
    return key
  }

  @Test("a window that says that the area ends before it, where the last one begins, is damage")
  func skipBehindTheLast() throws {
    var area = try #require(CoalescerArea(memory.region))
    _ = area.open(key("a.example.com"), deadline: 1, extra: 0)
    let second = area.open(key("b.example.com"), deadline: 2, extra: 0)
    guard case .entry(_, let length) = area.oldest() else {
      Issue.record("no window is open")
      return
    }
    area.retire(length)
    area.store(UInt32.max, second, CoalescerArea.Field.length)
    guard case .corrupt = area.oldest() else {
      Issue.record("what lies beyond the last window is taken for one")
      return
    }
  }

  @Test("a name of no octets is no sample")
  func emptySample() throws {
    var area = try #require(CoalescerArea(memory.region))
    let entry = area.open(key("a.example.com"), deadline: 1, extra: CoalescerArea.samplesRoom)
    let none: [UInt8] = []
    area.setSample(0, none.span, of: entry)
    #expect(area.load(entry, CoalescerArea.Field.sampleCount) == 0 as UInt8)
    area.setSample(0, wire("b.example.com").span, of: entry)
    area.setSample(1, none.span, of: entry)
    #expect(area.load(entry, CoalescerArea.Field.sampleCount) == 1 as UInt8)
  }
}
