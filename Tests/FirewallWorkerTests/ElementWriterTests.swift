import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import TestSupport
import Testing

import BridgeProcesses
import FirewallBridge
import FirewallModel
import NFTables

@testable import FirewallWorker

@Suite(.enabled(if: Kernel.isRoot, Comment(rawValue: Kernel.reason)), .serialized)
struct ElementWriterTests {
  /// A writer over the real kernel, in the namespace of this thread.
  private struct Bench {
    let plan: FirewallPlan
    let kernel: KernelSets
    let transaction: ElementTransaction
    let writer: ElementWriter

    /// - Parameter refresh: nil is what this kernel can do, as for the bridge.
    init(
      _ plan: FirewallPlan = .sample(), refresh: RefreshMethod? = nil, counters: CounterReader? = nil
    ) throws {
      let socket = try NetlinkSocket()
      self.plan = plan
      kernel = KernelSets(socket)
      transaction = ElementTransaction(socket)
      let sets = try TableInstaller(kernel: kernel) { _ in }.install(plan)
      writer = ElementWriter(
        plan: plan, serverSets: sets, refresh: refresh ?? RefreshProbe.run(transaction, kernel),
        transaction: transaction,
        kernel: kernel, counters: counters)
    }

    func remaining(_ element: GrantElement) throws -> UInt64? {
      try kernel.element(element, plan: plan)?.remainingMilliseconds
    }
  }

  private static func element(_ text: String, server: UInt16 = 0, any: Bool = false) -> GrantElement {
    GrantElement(server: server, address: IPAddress(text)!, transport: any ? 0 : 6, port: any ? 0 : 443)
  }

  private static func grant(_ unit: UInt32, _ element: GrantElement, seconds: UInt32 = 60) -> UnitGrant {
    UnitGrant(unit: unit, commit: GrantCommit(element: element, lifetimeMilliseconds: seconds * 1_000))
  }

  @Test("what is committed is what nft lists, of both families and of rules for any port")
  func readable() throws {
    try Kernel.inNamespace {
      let bench = try Bench()
      let v4 = Self.element("192.0.2.7")
      let v6 = Self.element("2001:db8::7")
      let any = Self.element("192.0.2.8", server: 1, any: true)
      let any6 = Self.element("2001:db8::8", server: 1, any: true)
      #expect(bench.writer.open([v4, v6, any, any6].map { Self.grant(1, $0) }).isEmpty)
      let text4 = try Kernel.run("nft -j list set inet sluice github-mcp-4")
      #expect(text4.contains(#"{"concat": ["192.0.2.7", "tcp", 443]}"#))
      #expect(try Kernel.run("nft -j list set inet sluice github-mcp-6").contains(#"["2001:db8::7", "tcp", 443]"#))
      #expect(try Kernel.run("nft -j list set inet sluice db_tools-4-any").contains("192.0.2.8"))
      #expect(try Kernel.run("nft -j list set inet sluice db_tools-6-any").contains("2001:db8::8"))
      for element in [v4, v6, any, any6] {
        let remaining = try #require(try bench.remaining(element))
        #expect((50_001...60_000).contains(remaining))
      }
      #expect(try bench.remaining(Self.element("192.0.2.9")) == nil)
      #expect(Set(try bench.writer.list(server: 1).map(\.element)) == [any, any6])
    }
  }

  @Test("a new grant of a live element extends it, by either method", arguments: [RefreshMethod.inPlace, .replace])
  func refresh(_ method: RefreshMethod) throws {
    try Kernel.inNamespace {
      let bench = try Bench(refresh: method)
      // An older kernel ignores the short form; the probe has to notice, and then only `replace` is used.
      let probed = RefreshProbe.run(bench.transaction, bench.kernel)
      #expect(probed == (Kernel.version >= (6, 12) ? .inPlace : .replace))
      guard method == .replace || probed == .inPlace else { return }
      let element = Self.element("192.0.2.7")
      for seconds: UInt32 in [20, 60, 60, 600] {
        #expect(bench.writer.open([Self.grant(1, element, seconds: seconds)]).isEmpty)
        let remaining = try #require(try bench.remaining(element))
        #expect(remaining > UInt64(seconds) * 1_000 - 5_000 && remaining <= UInt64(seconds) * 1_000)
      }
    }
  }

  @Test("the same lifetime again restarts the clock", arguments: [RefreshMethod.inPlace, .replace])
  func restart(_ method: RefreshMethod) throws {
    try Kernel.inNamespace {
      let bench = try Bench(refresh: method)
      let probed = RefreshProbe.run(bench.transaction, bench.kernel)
      guard method == .replace || probed == .inPlace else { return }
      let element = Self.element("192.0.2.7")
      _ = bench.writer.open([Self.grant(1, element)])
      let limit = MonotonicTime.now().adding(milliseconds: 5_000)
      while try bench.remaining(element)! > 59_900, MonotonicTime.now() < limit {}
      _ = bench.writer.open([Self.grant(1, element)])
      #expect(try bench.remaining(element)! > 59_900)
    }
  }

  @Test("the probe leaves no table behind")
  func probe() throws {
    try Kernel.inNamespace {
      let socket = try NetlinkSocket()
      _ = RefreshProbe.run(ElementTransaction(socket), KernelSets(socket))
      #expect(try Kernel.run("nft list tables").isEmpty)
    }
  }

  @Test("repeats of an element in one batch are one element with the longest lifetime")
  func repeats() throws {
    try Kernel.inNamespace {
      for method in [RefreshMethod.inPlace, .replace] {
        let bench = try Bench(refresh: method)
        let element = Self.element("192.0.2.7")
        let grants = [(1, 30), (2, 500), (3, 40)].map {
          Self.grant(UInt32($0.0), element, seconds: UInt32($0.1))
        }
        #expect(bench.writer.open(grants).isEmpty)
        #expect(try bench.remaining(element)! > 400_000)
      }
    }
  }

  @Test("a full set refuses its unit as setFull and its neighbours in the batch are committed")
  func full() throws {
    try Kernel.inNamespace {
      let plan = FirewallPlan.sample(table: "mine", mode: .sets)
      try Kernel.nft(
        """
        add table inet mine
        add set inet mine github-mcp-4 { type ipv4_addr . inet_proto . inet_service; flags timeout; size 2; }
        add set inet mine db_tools-4 { type ipv4_addr . inet_proto . inet_service; flags timeout; }
        add set inet mine db_tools-4-any { type ipv4_addr; flags timeout; }
        """)
      for method in [RefreshMethod.inPlace, .replace] {
        let bench = try Bench(plan, refresh: method)
        for server in 0...1 as ClosedRange<UInt16> {
          #expect(try bench.writer.close(bench.writer.list(server: server).map(\.element)) == nil)
        }
        let first = Self.grant(1, Self.element("192.0.2.1"))
        let tooMany = (2...4).map { Self.grant(2, Self.element("192.0.2.\($0)")) }
        let other = Self.grant(3, Self.element("192.0.2.9", server: 1))
        let refused = bench.writer.open([first] + tooMany + [other])
        #expect(refused == [RefusedUnit(unit: 2, refusal: BridgeRefusal(.setFull, errno: ENFILE))])
        #expect(try bench.remaining(first.commit.element) != nil)
        #expect(try bench.remaining(other.commit.element) != nil)
        for grant in tooMany {
          #expect(try bench.remaining(grant.commit.element) == nil)
        }
      }
    }
  }

  @Test("a missing set, an unknown server and a family without a set are refused, neighbours are not")
  func missing() throws {
    try Kernel.inNamespace {
      let bench = try Bench()
      try Kernel.run("nft delete chain inet sluice forward")
      try Kernel.run(
        "nft flush chain inet sluice github-mcp; nft flush chain inet sluice github-mcp/new; nft delete set inet sluice github-mcp-4"
      )
      let good = Self.grant(4, Self.element("2001:db8::1"))
      let refused = bench.writer.open([
        Self.grant(1, Self.element("192.0.2.1")), Self.grant(2, Self.element("192.0.2.1", server: 2)),
        Self.grant(3, Self.element("192.0.2.1", any: true)), good,
      ])
      let reasons = Dictionary(uniqueKeysWithValues: refused.map { ($0.unit, $0.refusal.reason) })
      #expect(reasons == [1: .missingSet, 2: .noSuchServer, 3: .missingSet])
      #expect(try bench.remaining(good.commit.element) != nil)
    }
  }

  @Test("a new writer shortens what an earlier one opened where that is what a commit is for, and again later")
  func shortened() throws {
    try Kernel.inNamespace {
      let element = Self.element("192.0.2.7")
      _ = try Bench().writer.open([Self.grant(1, element, seconds: 600)])
      let bench = try Bench()
      var grant = Self.grant(1, element, seconds: 60)
      grant.commit.shortens = true
      #expect(bench.writer.open([grant]).isEmpty)
      #expect(try bench.remaining(element)! <= 60_000)
      #expect(bench.writer.open([Self.grant(2, element, seconds: 30)]).isEmpty)
      #expect(try bench.remaining(element)! <= 30_000)
    }
  }

  @Test("a new writer never shortens what an earlier one opened, and may extend it")
  func inherited() throws {
    try Kernel.inNamespace {
      let element = Self.element("192.0.2.7")
      _ = try Bench().writer.open([Self.grant(1, element, seconds: 600)])
      let bench = try Bench()
      #expect(bench.writer.open([Self.grant(1, element, seconds: 60)]).isEmpty)
      #expect(try bench.remaining(element)! > 500_000)
      #expect(bench.writer.open([Self.grant(1, element, seconds: 900)]).isEmpty)
      #expect(try bench.remaining(element)! > 800_000)
    }
  }

  @Test("an element of the user's own outlives a moment in which its set could not be read")
  func permanent() throws {
    try Kernel.inNamespace {
      let declaration = "{ type ipv4_addr . inet_proto . inet_service; flags timeout; }"
      try Kernel.nft(
        """
        add table inet mine
        add set inet mine github-mcp-4 \(declaration)
        add set inet mine db_tools-4 \(declaration)
        add set inet mine db_tools-4-any { type ipv4_addr; flags timeout; }
        add element inet mine github-mcp-4 { 192.0.2.7 . tcp . 443 }
        """)
      let bench = try Bench(.sample(table: "mine", mode: .sets))
      bench.writer.learnPermanent()
      try Kernel.run("nft delete set inet mine github-mcp-4")
      bench.writer.learnPermanent()
      try Kernel.nft(
        """
        add set inet mine github-mcp-4 \(declaration)
        add element inet mine github-mcp-4 { 192.0.2.7 . tcp . 443 }
        """)
      #expect(bench.writer.close([Self.element("192.0.2.7")]) == nil)
      #expect(try Kernel.run("nft list set inet mine github-mcp-4").contains("192.0.2.7"))
    }
  }

  @Test("an element without an end is nobody's own in a managed table, and closed like any other (P3)")
  func endless() throws {
    try Kernel.inNamespace {
      _ = try Bench()
      try Kernel.nft("add element inet sluice github-mcp-4 { 192.0.2.7 . tcp . 443 }\n")
      let bench = try Bench()
      #expect(try bench.kernel.element(Self.element("192.0.2.7"), plan: bench.plan) != nil)
      #expect(bench.writer.close([Self.element("192.0.2.7")]) == nil)
      #expect(try bench.kernel.element(Self.element("192.0.2.7"), plan: bench.plan) == nil)
    }
  }

  @Test("what no set can hold is refused or closed without asking the kernel for anything")
  func nothing() throws {
    try Kernel.inNamespace {
      let bench = try Bench()
      let generation = try bench.kernel.generation()
      let nowhere = Self.element("192.0.2.7", server: 99)
      #expect(bench.writer.close([nowhere]) == nil && bench.writer.close([]) == nil)
      #expect(bench.writer.refuseUnreachable([nowhere]) == nil)
      #expect(try bench.kernel.generation() == generation)
    }
  }

  @Test("revoking closes what is open, of its server only, and does not mind what is not")
  func closing() throws {
    try Kernel.inNamespace {
      let bench = try Bench()
      let mine = (1...250).map { Self.element("192.0.2.\($0)") }
      let other = Self.element("192.0.2.1", server: 1, any: true)
      #expect(bench.writer.open((mine + [other]).map { Self.grant(1, $0) }).isEmpty)
      #expect(bench.writer.close(Array(mine[..<3]) + [Self.element("203.0.113.1")]) == nil)
      #expect(try bench.writer.list(server: 0).count == 247)
      #expect(try bench.writer.close(bench.writer.list(server: 0).map(\.element)) == nil)
      #expect(try bench.writer.list(server: 0).isEmpty)
      #expect(try bench.remaining(other) != nil)
    }
  }

  @Test("sets of plain addresses take the addresses of any port")
  func plain() throws {
    try Kernel.inNamespace {
      try Kernel.nft(
        """
        add table ip mine
        add set ip mine github-mcp-4 { type ipv4_addr; flags timeout; }
        add set ip mine db_tools-4 { type ipv4_addr; flags timeout; }
        """)
      var plan = FirewallPlan.sample(table: "mine", mode: .sets)
      plan.family = .ip
      let bench = try Bench(plan)
      let grants = [Self.element("192.0.2.1"), Self.element("192.0.2.2", server: 1, any: true)]
      #expect(bench.writer.open(grants.map { Self.grant(1, $0) }).isEmpty)
      #expect(try Kernel.run("nft list set ip mine github-mcp-4").contains("192.0.2.1"))
      #expect(try Kernel.run("nft list set ip mine db_tools-4").contains("192.0.2.2"))
      let refused = bench.writer.open([Self.grant(2, Self.element("2001:db8::1"))])
      #expect(refused.map(\.refusal.reason) == [.missingSet])
    }
  }

  private static func isReadable(_ descriptor: Int32, milliseconds: Int32 = 0) -> Bool {
    var wait = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&wait, 1, milliseconds) == 1
  }

  /// What the reader tells until the set was read, settling when it was dumped.
  private static func finish(
    _ reader: CounterReader, _ writer: ElementWriter, into told: inout [ElementKey: ElementCounts]
  ) throws {
    while true {
      guard isReadable(reader.outcomes.readiness, milliseconds: 60_000) else {
        throw Kernel.Failure(description: "the set is never read")
      }
      for outcome in reader.outcomes.drain() {
        switch outcome {
        case .dumped: reader.submit([.settle])
        case .news(_, let news):
          #expect(news.count <= CounterReader.newsAtOnce)
          for (key, counts) in news {
            told[key, default: ElementCounts(octets: 0, packets: 0)].octets += counts.octets
            told[key, default: ElementCounts(octets: 0, packets: 0)].packets += counts.packets
          }
        case .read(let set, let ends):
          #expect(ends != nil)
          return writer.wasRead(set, ends)
        }
      }
    }
  }

  @Test("commits and closings go on while a full set is read, and each counter is told once")
  func readingFullSet() throws {
    try Kernel.inNamespace {
      let reader = try CounterReader()
      defer { reader.stop() }
      let bench = try Bench(counters: reader)
      let set = SetShape(family: .v4, kind: .ports)
      func element(_ number: Int, server: UInt16 = 0) -> GrantElement {
        GrantElement(
          server: server, address: IPAddress(v4: 0x2D14_0000 + UInt32(number)), transport: 6, port: 443)
      }
      // As its first grant does: the set holds something, and is due some time.
      #expect(bench.writer.open([Self.grant(1, element(0), seconds: 300)]).isEmpty)
      try fill("github-mcp-4", 1..<FirewallPlan.setSize)
      var told: [ElementKey: ElementCounts] = [:]
      #expect(bench.writer.startReading(now: try #require(bench.writer.nextReading)))
      var commits = 0
      while !Self.isReadable(reader.outcomes.readiness) {
        #expect(bench.writer.open([Self.grant(2, element(commits % 1_000, server: 1))]).isEmpty)
        commits += 1
        if commits % 2 == 0 { #expect(bench.writer.close([element(commits % 1_000, server: 1)]) == nil) }
      }
      try Self.finish(reader, bench.writer, into: &told)
      // The dump takes far longer than a commit.
      #expect(commits >= 10, "\(commits) commits while the set was read")
      while let next = bench.writer.nextReading, told.count < FirewallPlan.setSize - 1 {
        #expect(bench.writer.startReading(now: next))
        try Self.finish(reader, bench.writer, into: &told)
      }
      #expect(told.count == FirewallPlan.setSize - 1)
      for number in 1..<FirewallPlan.setSize {
        let address = element(number).address
        let counts = told[set.key(address: address, transport: 6, port: 443)]
        let packets = UInt64(number % 5 + 1)
        guard counts != ElementCounts(octets: packets * 100, packets: packets) else { continue }
        Issue.record("\(address) counted \(packets) packets, told was \(String(describing: counts))")
        break
      }
      // By the numbers that servers have now.
      let volumes = bench.writer.volumes(of: "github-mcp-4", told.prefix(10).map { ($0.key, $0.value) })
      #expect(volumes.count == 10)
      #expect(volumes.allSatisfy { $0.element.server == 0 })
      #expect(bench.writer.volumes(of: "gone-4", told.prefix(10).map { ($0.key, $0.value) }).isEmpty)
    }
  }

  @Test("what an element had counted when it was closed is told")
  func closedCounters() throws {
    try Kernel.inNamespace {
      let reader = try CounterReader()
      defer { reader.stop() }
      let bench = try Bench(counters: reader)
      let set = SetShape(family: .v4, kind: .ports)
      func element(_ number: Int) -> GrantElement {
        GrantElement(server: 0, address: IPAddress(v4: 0x2D14_0000 + UInt32(number)), transport: 6, port: 443)
      }
      try fill("github-mcp-4", 1..<10)
      #expect(bench.writer.close([element(3), element(7), element(8)]) == nil)
      var told: [ElementKey: ElementCounts] = [:]
      while told.count < 3 {
        try #require(Self.isReadable(reader.outcomes.readiness, milliseconds: 30_000), "only \(told.count) are told")
        for case .news(_, let news) in reader.outcomes.drain() { told.merge(news.map { ($0.0, $0.1) }) { $1 } }
      }
      for number in [3, 7, 8] {
        let packets = UInt64(number % 5 + 1)
        let counts = told[set.key(address: element(number).address, transport: 6, port: 443)]
        #expect(counts == ElementCounts(octets: packets * 100, packets: packets), "\(number)")
      }
    }
  }

  @Test("where no reading of counters is configured no set is read")
  func unasked() throws {
    try Kernel.inNamespace {
      let reader = try CounterReader()
      defer { reader.stop() }
      var plan = FirewallPlan.sample()
      plan.harvestSeconds = 0
      let bench = try Bench(plan, counters: reader)
      #expect(bench.writer.open([Self.grant(1, Self.element("192.0.2.7"))]).isEmpty)
      #expect(bench.writer.nextReading == nil)
      #expect(!bench.writer.startReading(now: .max))
    }
  }
}

/// Puts elements 45.20.0.0 + number, TCP port 443, into a set of the sample's table; they end in different seconds, and each
/// has counted number % 5 + 1 packets of 100 octets.
func fill(_ set: String, _ numbers: Range<Int>) throws {
  for start in stride(from: numbers.lowerBound, to: numbers.upperBound, by: 8_192) {
    let elements = (start..<min(start + 8_192, numbers.upperBound)).map { number in
      let packets = number % 5 + 1
      return "\(IPAddress(v4: 0x2D14_0000 + UInt32(number))) . tcp . 443 counter packets \(packets) "
        + "bytes \(packets * 100) timeout \(120 + number % 300)s"
    }
    try Kernel.nft("add element inet sluice \(set) { \(elements.joined(separator: ",\n")) }")
  }
}
