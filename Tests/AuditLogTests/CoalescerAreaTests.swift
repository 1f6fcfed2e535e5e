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

  @Test("lengths that lead beyond the area's end, or leave no room for what every window has, are damage")
  func damagedLengths() throws {
    for (distance, length) in [(128, 256), (8, 0), (128, 64)] as [(UInt64, UInt32)] {
      var area = try #require(CoalescerArea(memory.region))
      _ = area.open(key("a.example.com"), deadline: 1, extra: 0)
      area.retire(65_536 - distance)
      area.store(length, area.retired, CoalescerArea.Field.length)
      guard case .corrupt = area.oldest() else {
        Issue.record("\(length) octets are taken for a window, \(distance) before the end")
        continue
      }
      area.forget()
    }
  }

  @Test("behind a mark that the area ends there may be nothing")
  func nothingBehindTheMark() throws {
    var area = try #require(CoalescerArea(memory.region))
    let name = key("a.example.com")
    let extra = 8_192 - CoalescerArea.Field.key - name.octets.count
    var last: UInt64 = 0
    for _ in 0..<8 { last = area.open(name, deadline: 1, extra: extra) }
    #expect(area.head == 65_536)
    area.retire(last)
    area.store(UInt32.max, last, CoalescerArea.Field.length)
    guard case .none = area.oldest() else {
      Issue.record("what is not written yet is taken for a window")
      return
    }
  }

  @Test("members that are longer than a window's room are not kept, and a sample is kept once")
  func room() throws {
    var area = try #require(CoalescerArea(memory.region))
    let small = area.open(key("a.example.com"), deadline: 1, extra: 8)
    let next = area.open(key("b.example.com"), deadline: 1, extra: CoalescerArea.samplesRoom)
    area.setMembers([UInt8](repeating: 7, count: 200).span, of: small)
    #expect(area.load(small, CoalescerArea.Field.extraOctets) == 0 as UInt16)
    #expect(area.find(key("b.example.com")) == next)
    area.setSample(0, [UInt8](repeating: 7, count: CoalescerArea.sampleRoom + 1).span, of: next)
    #expect(area.load(next, CoalescerArea.Field.sampleCount) == 0 as UInt8)
    for index in 0..<2 { area.setSample(index, wire("c.example.com").span, of: next) }
    #expect(area.load(next, CoalescerArea.Field.sampleCount) == 1 as UInt8)
  }

  @Test("what is longer than where it is looked for is not found there")
  func find() {
    let (octets, wanted): ([UInt8], [UInt8]) = ([1, 2, 3], [2, 3])
    #expect(Coalescer.find(wanted.span, in: octets.span, 0..<3) == 1)
    #expect(Coalescer.find(wanted.span, in: octets.span, 2..<3) == nil)
  }

  @Test("memory that does not begin at a multiple of 64 octets is not taken")
  func alignment() {
    let owner = HeapMemory(64)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 192, alignment: 64)
    defer { unsafe buffer.deallocate() }
    for offset in [0, 8, 64, 65] {
      // Within the buffer, which outlives it.
      let region = unsafe SharedRegion(
        UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<(offset + 64)]), keeping: owner)
      #expect((region != nil) == (offset % 64 == 0))
    }
  }
}
