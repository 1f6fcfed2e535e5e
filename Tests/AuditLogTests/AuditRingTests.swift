import DNSWire
import Foundation
import IPNetwork
import TestSupport
import Testing

@testable import AuditLog

@Suite struct AuditRingTests {
  @Test("what was pushed is read, in order and whole, over thousands of turns of the ring")
  func order() {
    let (ring, _) = makeRing()
    let reader = AuditRingReader(ring)
    var random = SeededRandom(seed: 1)
    var waiting: [AuditRecord] = []
    var got = AuditRecord()
    for number in 0..<20_000 {
      let name = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: Int.random(in: 0...255, using: &random))
      let next = record(
        header(client: UInt32(number), wall: UInt64(number)),
        server: [UInt8](repeating: 1, count: Int.random(in: 0...63, using: &random)), name: name,
        members: [UInt8](repeating: 2, count: Int.random(in: 0...300, using: &random)))
      while ring.push(next) == .full {
        #expect(!waiting.isEmpty)
        take(reader, &waiting, &got)
      }
      waiting.append(next)
      if Bool.random(using: &random) { take(reader, &waiting, &got) }
    }
    while !waiting.isEmpty { take(reader, &waiting, &got) }
    #expect(reader.next(into: &got) == .empty)
  }

  private func take(_ reader: AuditRingReader, _ waiting: inout [AuditRecord], _ got: inout AuditRecord) {
    #expect(reader.next(into: &got) == .record)
    let expected = waiting.removeFirst()
    #expect(got.header == expected.header && got.octets == expected.octets)
    #expect(got.serverEnd == expected.serverEnd && got.nameEnd == expected.nameEnd)
    reader.commit()
  }

  @Test("IPv6 clients and TCP come through")
  func fields() {
    let (ring, _) = makeRing()
    var fields = header(.setFull)
    fields.client = IPAddress(high: 0xFD00_0077_0001_0000, low: 2)
    fields.transport = .tcp
    _ = ring.push(record(fields))
    var got = AuditRecord()
    #expect(AuditRingReader(ring).next(into: &got) == .record)
    #expect(got.header == fields)
  }

  @Test("a full ring refuses, and keeps what it has")
  func full() {
    let (ring, _) = makeRing()
    var stored = 0
    while ring.push(record()) != .full { stored += 1 }
    #expect(stored > 30)
    let reader = AuditRingReader(ring)
    var got = AuditRecord()
    var read = 0
    while reader.next(into: &got) == .record { read += 1 }
    #expect(read == stored)
    #expect(ring.push(record()) == .full)  // read is not yet freed
    reader.commit()
    #expect(ring.push(record()) == .stored)
  }

  @Test("records that were read but not freed are read again by the next run")
  func survives() {
    let (ring, memory) = makeRing()
    for _ in 0..<5 { _ = ring.push(record()) }
    let reader = AuditRingReader(ring)
    var got = AuditRecord()
    _ = reader.next(into: &got)
    reader.commit()
    _ = reader.next(into: &got)
    guard let again = AuditRing(memory.region) else { return #expect(Bool(false)) }
    let second = AuditRingReader(again)
    var count = 0
    while second.next(into: &got) == .record { count += 1 }
    #expect(count == 4)
  }

  @Test("only the first push after the consumer went to sleep asks for a wake-up")
  func wakeUp() {
    let (ring, _) = makeRing()
    let reader = AuditRingReader(ring)
    #expect(ring.push(record()) == .stored)
    #expect(!reader.declareAsleep())
    var got = AuditRecord()
    _ = reader.next(into: &got)
    #expect(reader.declareAsleep())
    #expect(ring.push(record()) == .storedWakeConsumer)
    #expect(ring.push(record()) == .stored)
  }

  @Test("members too long for the ring are left out, and the record says so")
  func longMembers() throws {
    let (ring, _) = makeRing(65_536)
    _ = ring.push(record(members: [UInt8](repeating: 65, count: 20_000)))
    var got = AuditRecord()
    #expect(AuditRingReader(ring).next(into: &got) == .record)
    #expect(Array(got.octets[got.members]) == EventEncoder.membersOmitted)
  }

  @Test("damaged memory is never read beyond, and ends")
  func damage() {
    var random = SeededRandom(seed: 4)
    for _ in 0..<3000 {
      let (ring, memory) = makeRing()
      for _ in 0..<Int.random(in: 0...20, using: &random) { _ = ring.push(record()) }
      for _ in 0..<Int.random(in: 1...40, using: &random) {
        let offsets = Bool.random(using: &random) ? 0..<AuditRing.overhead : 0..<memory.region.count
        memory.set(.random(in: 0...255, using: &random), at: .random(in: offsets, using: &random))
      }
      guard let again = AuditRing(memory.region) else { continue }
      let reader = AuditRingReader(again)
      var got = AuditRecord()
      var steps = 0
      while reader.next(into: &got) == .record, steps < 1000 { steps += 1 }
      #expect(steps < 1000)
    }
  }

  @Test("a record that would begin in the last octets is damage, not a read beyond the end")
  func damagedEnd() {
    let (_, memory) = makeRing()
    memory.set(0xF8, at: 64)  // tail 4088
    memory.set(0x0F, at: 65)
    memory.set(0x10, at: 1)  // head 4096
    guard let ring = AuditRing(memory.region) else { return #expect(Bool(false)) }
    var got = AuditRecord()
    #expect(AuditRingReader(ring).next(into: &got) == .corrupt)
  }

  @Test("a ring has room for records that is a power of two, and not too small a one")
  func sizes() {
    for capacity in [AuditRing.minCapacity, 2 * AuditRing.minCapacity] {
      #expect(AuditRing(HeapMemory(AuditRing.overhead + capacity).region) != nil)
    }
    for capacity in [0, 64, AuditRing.minCapacity / 2, 3 * AuditRing.minCapacity] {
      #expect(AuditRing(HeapMemory(AuditRing.overhead + capacity).region) == nil, "\(capacity)")
    }
  }

  @Test("a record that reaches beyond what was written, and more written than there is room for, are damage")
  func damagedHead() {
    let (ring, memory) = makeRing()
    _ = ring.push(record())
    let length = UInt8(ring.pending)
    var got = AuditRecord()
    for (octet, value) in [(0, length - 8), (0, length + 4), (1, 0x10)] as [(Int, UInt8)] {
      memory.set(length, at: 0)
      memory.set(0, at: 1)
      memory.set(value, at: octet)
      guard let again = AuditRing(memory.region) else { return #expect(Bool(false)) }
      #expect(AuditRingReader(again).next(into: &got) == .corrupt, "octet \(octet) is \(value)")
    }
  }

  @Test("a mark to go on at the start that leads beyond what was written is damage")
  func damagedMark() {
    let (ring, memory) = makeRing()
    _ = ring.push(record())
    let second = ring.pending
    let reader = AuditRingReader(ring)
    var got = AuditRecord()
    #expect(reader.next(into: &got) == .record)
    _ = ring.push(record())
    for octet in 0..<4 { memory.set(0xFF, at: AuditRing.overhead + second + octet) }
    #expect(reader.next(into: &got) == .corrupt)
    #expect(reader.next(into: &got) == .empty)
  }

  @Test("a producer and a consumer on two threads lose and repeat nothing")
  func threads() async {
    let (ring, _) = makeRing(8192)
    let total = 200_000
    let producer = Task.detached {
      for number in 0..<total {
        while ring.push(record(header(wall: UInt64(number)))) == .full { await Task.yield() }
      }
    }
    let reader = AuditRingReader(ring)
    var got = AuditRecord()
    var expected: UInt64 = 0
    var isInOrder = true
    while expected < total {
      if reader.next(into: &got) == .record {
        isInOrder = isInOrder && got.header.wallClock == expected
        expected += 1
        if expected % 7 == 0 { reader.commit() }
      } else {
        reader.commit()
        await Task.yield()
      }
    }
    await producer.value
    #expect(isInOrder)
  }
}
