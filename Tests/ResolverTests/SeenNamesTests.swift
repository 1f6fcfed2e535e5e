import DNSWire
import EgressPolicy
import TestSupport
import Testing

@testable import Resolver

@Suite("The names that were asked for under a pattern lately")
struct SeenNamesTests {
  /// A reference, because expectations change nothing.
  private final class Seen {
    var names = SeenNames()

    func isNew(_ number: Int, _ pattern: NamePattern, _ now: UInt64, server: UInt8 = 1) -> Bool {
      names.isNew(Array("n\(number)".utf8), server: [server], pattern: pattern, now: now)
    }
  }

  @Test("a name is new once in 24 hours, under each pattern of each server")
  func once() throws {
    let seen = Seen()
    let (one, other) = (try NamePattern("*.a.net"), try NamePattern("**.a.net"))
    for (server, pattern) in [(1, one), (2, one), (1, other)] as [(UInt8, NamePattern)] {
      #expect(seen.isNew(1, pattern, second, server: server))
      #expect(!seen.isNew(1, pattern, second + SeenNames.memory - 1, server: server))
    }
    #expect(seen.isNew(1, one, second + SeenNames.memory))
    #expect(!seen.isNew(1, one, 2 * SeenNames.memory))
    #expect(seen.names.count == 3)
  }

  @Test("a name whose event was not recorded is new again, and the others are not")
  func unrecorded() throws {
    let seen = Seen()
    let pattern = try NamePattern("*.a.net")
    #expect(seen.isNew(1, pattern, 1) && seen.isNew(2, pattern, 1))
    for server: UInt8 in [1, 2] { seen.names.forget(Array("n1".utf8), server: [server], pattern: pattern) }
    #expect(seen.names.count == 1 && !seen.isNew(2, pattern, 2))
    #expect(seen.isNew(1, pattern, 2) && seen.names.count == 2)
    #expect(!seen.isNew(1, pattern, 3))
  }

  @Test("knows no name that it was not told of, and forgets none of the newest 4,096", arguments: 0..<8)
  func oracle(_ seed: Int) throws {
    var random = SeededRandom(seed: UInt64(seed))
    let seen = Seen()
    let pattern = try NamePattern("*.a.net")
    var times: [Int: UInt64] = [:]
    // How many names came into being, and when each did last.
    var (births, born) = (0, [Int: Int]())
    var now: UInt64 = 0
    for _ in 0..<40_000 {
      now += UInt64.random(in: 0...(20 * second), using: &random)
      let number = Int.random(in: 0..<Int.random(in: 1...9_000, using: &random), using: &random)
      let isRecent = times[number].map { now < $0 + SeenNames.memory } ?? false
      let isNew = seen.isNew(number, pattern, now)
      #expect(isNew || isRecent, "a name too many is known")
      if isRecent, isNew, let birth = born[number] {
        #expect(births - birth >= SeenNames.namesPerPattern, "\(number) was forgotten")
      }
      guard isNew else { continue }
      times[number] = now
      // One that is new again by time alone keeps its place in the order.
      if isRecent || born[number] == nil || births - (born[number] ?? 0) >= SeenNames.namesPerPattern {
        births += 1
        born[number] = births
      }
    }
    #expect(seen.names.count <= SeenNames.namesPerPattern)
  }

  @Test("patterns without end take bounded memory: those that were used last are known")
  func bounded() throws {
    let seen = Seen()
    for pattern in 0..<100 {
      let text = try NamePattern("*.p\(pattern).net")
      for number in 0..<4_000 { #expect(seen.isNew(number, text, UInt64(pattern))) }
      #expect(seen.names.count <= SeenNames.namesInAll)
    }
    // An eighth is forgotten at a time, and no more: 57 patterns of 4,000 names are left.
    for pattern in 45..<100 { #expect(!seen.isNew(0, try NamePattern("*.p\(pattern).net"), 100), "\(pattern)") }
  }
}
