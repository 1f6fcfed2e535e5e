import BridgeProcesses
import FirewallBridge
import FirewallModel
import Foundation
import Glibc
import GrantLedger
import IPNetwork
import LinuxIO
import NFTables
import TestSupport
import Testing

@testable import FirewallWorker

private let keepsTables = (try? NetlinkSocket()).map { TableOwner($0).isSupported } ?? false

/// An owner that ends on another thread than it began.
private final class FormerOwner: @unchecked Sendable {
  private var owner: TableOwner?

  init() throws { owner = TableOwner(try NetlinkSocket()) }

  func take(_ table: String) -> Bool { owner?.take(table) == true }

  func end() { owner = nil }
}

extension BridgeTests {
  @Suite(
    "A table that is Sluice's alone",
    .enabled(if: keepsTables, "needs Linux 6.9: tables that outlive their owner"), .serialized)
  struct TableOwnerTests {
    private static let harms = [
      "flush ruleset", "flush table inet sluice", "delete table inet sluice", "flush set inet sluice github-mcp-4",
      "flush chain inet sluice forward",
    ]

    private static func element(_ last: Int) -> GrantElement {
      GrantElement(server: 0, address: IPAddress("192.0.2.\(last)")!, transport: 6, port: 443)
    }

    private static var exclusive: FirewallPlan {
      var plan = FirewallPlan.sample()
      plan.isExclusive = true
      return plan
    }

    private static func list(_ table: String = "sluice") throws -> String {
      // What the table's own line of flags says changes with its owner.
      try Kernel.run("nft -s list table inet \(table)").split(separator: "\n").filter {
        !$0.hasPrefix("table") && !$0.hasPrefix("\tflags")
      }.joined(separator: "\n")
    }

    private static func harm() {
      for harm in harms { _ = try? Kernel.run("nft '\(harm)'") }
    }

    @Test("nothing that others do takes effect in it; it outlives its owner, and the next one takes it over")
    func ownership() throws {
      try Kernel.inNamespace {
        do {
          let owner = TableOwner(try NetlinkSocket())
          #expect(owner.take("sluice"), "one that is not there is made")
          #expect(owner.table == "sluice")
          #expect(try Kernel.run("nft list tables") == "table inet sluice\n", "and nothing is left of the trial")
          Self.harm()
          #expect(try KernelSets().kind(family: .inet, table: "sluice") == .persistent)
          let other = TableOwner(try NetlinkSocket())
          #expect(!other.take("sluice") && !other.replace("sluice") && other.table == nil)
          #expect(owner.take("sluice"), "its own is its own again")
        }
        try Session.poll("it is anyone's") { (try? Kernel.run("nft add chain inet sluice later")) != nil }
        let next = TableOwner(try NetlinkSocket())
        #expect(next.take("sluice"))
        #expect(try KernelSets().chains(family: .inet, table: "sluice") == ["later"])
        #expect((try? Kernel.run("nft delete table inet sluice")) == nil)
      }
    }

    @Test("one that a former owner has for an instant more is waited for")
    func former() throws {
      try Kernel.inNamespace {
        let former = try FormerOwner()
        #expect(former.take("sluice"))
        let owner = TableOwner(try NetlinkSocket())
        Thread.detachNewThread {
          usleep(50_000)
          former.end()
        }
        #expect(owner.take("sluice"))
      }
    }

    @Test("one that was made without the flag is not taken over, but replaced")
    func plain() throws {
      try Kernel.inNamespace {
        try Kernel.nft("add table inet sluice\nadd chain inet sluice former\n")
        #expect(try KernelSets().kind(family: .inet, table: "sluice") == .plain)
        #expect(try KernelSets().kind(family: .inet, table: "none") == nil)
        let owner = TableOwner(try NetlinkSocket())
        #expect(!owner.take("sluice") && owner.table == nil)
        #expect(try KernelSets().chains(family: .inet, table: "sluice") == ["former"])
        #expect(owner.replace("sluice"))
        #expect(try KernelSets().chains(family: .inet, table: "sluice").isEmpty)
        #expect(try KernelSets().kind(family: .inet, table: "sluice") == .persistent)
      }
    }

    @Test("a table of the user's is not replaced, and what makes no table is given to nft as it is")
    func kept() throws {
      try Kernel.inNamespace {
        try Kernel.nft("add table inet mine\nadd table inet sluice\n")
        let kernel = try KernelSets()
        let owner = TableOwner(try NetlinkSocket())
        var installer = TableInstaller(kernel: kernel) { _ in }
        installer.owner = owner
        var users = FirewallPlan.sample(table: "mine", mode: .sets)
        users.isExclusive = true
        #expect(installer.mustReplace(Self.exclusive) && !installer.mustReplace(users))
        #expect(owner.replace("sluice"))
        let text = "add chain inet sluice later\n"
        #expect(TableInstaller.text(text, table: "sluice", in: kernel) == text)
        #expect(TableInstaller.text("add table inet sluice\n" + text, table: "sluice", in: kernel) == text)
        #expect(TableInstaller.text("add table inet mine\n", table: "mine", in: kernel) == "add table inet mine\n")
      }
    }

    @Test("the bridge writes, fills and changes it as any other, and sees no change of others")
    func bridge() throws {
      try Kernel.inNamespace {
        let plain = try Session()
        try plain.waitUp()
        let wanted = try Self.list()
        try plain.end()
        try Kernel.nft("delete table inet sluice\n")

        var plan = Self.exclusive
        let session = try Session(plan)
        try session.waitUp()
        #expect(try Self.list() == wanted)
        #expect(try session.commit([Self.element(1)]) == .committed)
        Self.harm()
        #expect(try session.commit([Self.element(2)]) == .committed)
        #expect(try session.holds(Self.element(1)) && session.holds(Self.element(2)))
        #expect(session.changes.isEmpty)
        // Another plan and back: sets keep their elements.
        plan.servers[1].prefixes.append(FirewallPlan.prefix("10.78.0.0/16"))
        #expect(try session.request { session.link.install(plan, $0) } == nil)
        #expect(try Self.list().contains("10.78.0.0"))
        #expect(try session.request { session.link.install(Self.exclusive, $0) } == nil)
        #expect(try session.holds(Self.element(1)))
        // A worker that dies leaves it as it is, and the next one has it for its own.
        kill(try session.worker(), SIGKILL)
        try session.turn("another worker") { session.greetings.last?.incarnation == 2 }
        Self.harm()
        #expect(try session.commit([Self.element(3)]) == .committed)
        #expect(try session.holds(Self.element(1)) && session.holds(Self.element(3)))
        #expect(session.changes.isEmpty)
        try session.end()

        // Without a bridge the rules stay, and are what any program makes of them.
        #expect(try KernelSets().chains(family: .inet, table: "sluice").contains("forward"))
        // The next one is not told to have it alone: to it, it is a table like others.
        let later = try Session()
        try later.waitUp()
        #expect(try later.holds(Self.element(1)))
        try Kernel.run("nft delete table inet sluice")
        try later.turn("it is put back") { later.changes.contains(.reinstalled) }
        #expect(try Self.list() == wanted)
        try later.end()
      }
    }

    @Test(
      "what takes its place begins closed: a bridge that ends before the rules are in leaves it so",
      arguments: [false, true])
    func killed(isInstalledByCommand: Bool) throws {
      try Kernel.inNamespace {
        let former = try Session()
        try former.waitUp()
        let wanted = try Self.list()
        try former.end()
        let closing = ["closing/arriving", "closing/arriving/hook", "closing/passing", "closing/passing/hook"]
        do {
          let owner = TableOwner(try NetlinkSocket())
          #expect(owner.replace("sluice", closedBy: ClosingRules(Self.exclusive, Ruleset.Surroundings())))
        }
        // Its owner ended, as a process that is killed does.
        try Session.poll("it is anyone's") { (try? Kernel.run("nft add counter inet sluice free")) != nil }
        try Kernel.run("nft delete counter inet sluice free")
        #expect(try KernelSets().chains(family: .inet, table: "sluice") == Set(closing))
        #expect(TableInstaller.isOurs(try KernelSets().sets(family: .inet, table: "sluice")))
        let text = try Self.list()
        #expect(
          text.contains("ip saddr @closing/networks-4 drop") && text.contains("ip daddr @closing/networks-4 drop"))
        #expect(text.contains("hook prerouting priority -499") && text.contains("hook forward priority -19"))
        if isInstalledByCommand {
          try EarlierRuleset.apply(Ruleset.render(.sample()), table: "sluice")
          #expect(try Self.list() == wanted)
        }
        let session = try Session(Self.exclusive)
        try session.waitUp()
        #expect(try Self.list() == wanted, "the rules are in, and what closed is away")
        try session.end()
      }
    }

    @Test("one that others may flush gives way while nothing passes, and what closed is away when it is whole")
    func replaced() throws {
      try Kernel.inNamespace {
        let former = try Session()
        try former.waitUp()
        let wanted = try Self.list()
        try former.end()
        #expect(try KernelSets().kind(family: .inet, table: "sluice") == .plain)

        // The kernel tells what became of the table, and of what closes, in the order in which it did.
        let file = NSTemporaryDirectory() + "sluice-monitor-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: file) }
        let started = try Kernel.run("nft monitor >\(file) & echo $!").trimmingCharacters(in: .whitespacesAndNewlines)
        let monitor = try #require(Int32(started))
        defer { kill(monitor, SIGKILL) }
        try Session.poll("nft listens") {
          try String(contentsOfFile: "/proc/thread-self/net/netlink", encoding: .utf8).split(separator: "\n").contains {
            $0.split(separator: " ").prefix(3).dropFirst().elementsEqual(["12", Substring(started)])
          }
        }
        let session = try Session(Self.exclusive)
        try session.waitUp()
        #expect(try Self.list() == wanted)
        #expect(try KernelSets().kind(family: .inet, table: "sluice") == .persistent)
        try Session.poll("nothing is closed") {
          try KernelSets().chains(family: .inet, table: "sluice/closing").allSatisfy { !$0.hasSuffix("/hook") }
        }
        Self.harm()
        #expect(try session.commit([Self.element(1)]) == .committed)
        #expect(session.changes.isEmpty)
        try session.end()
        func lines() throws -> [String] {
          try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
        }
        let last = "delete chain inet sluice/closing passing/hook"
        try Session.poll("all is told") { try lines().contains { $0.contains(last) } }
        let told = try lines()
        func place(_ part: String) throws -> Int {
          // Whole, or with a space behind: other tables have longer names.
          try #require(told.firstIndex { "\($0) ".contains("\(part) ") }, "\(part) in \(told)")
        }
        let awake = try place("add chain inet sluice/closing passing/hook")
        let gone = try place("delete table inet sluice")
        let back = try place("add rule inet sluice forward")
        let born = try place("add chain inet sluice closing/passing/hook")
        let opened = try place("delete chain inet sluice closing/passing/hook")
        let asleep = try place(last)
        let shown = told.filter { !$0.contains("add rule") }
        #expect(awake < gone && gone < back && back < asleep, "\(shown)")
        #expect(gone < born && born < back && back < opened, "\(shown)")
      }
    }

    @Test(
      "at the start alone: a bridge that opens addresses in a plain table goes on in it, whichever worker it has (P2)")
    func replacedAtStartAlone() throws {
      try Kernel.inNamespace {
        let session = try Session()
        try session.waitUp()
        #expect(try session.commit([Self.element(1)]) == .committed)
        #expect(try session.request { session.link.install(Self.exclusive, $0) } == nil)
        func isAsItWas() throws -> Bool {
          try session.holds(Self.element(1)) && KernelSets().kind(family: .inet, table: "sluice") == .plain
        }
        #expect(try isAsItWas())
        // The next worker has not written the table yet, and serve still answers from what is open in it.
        kill(try session.worker(), SIGKILL)
        try session.turn("another worker") { session.greetings.last?.incarnation == 2 }
        #expect(try isAsItWas())
        #expect(try session.commit([Self.element(2)]) == .committed)
        #expect(try session.holds(Self.element(1)))
        try session.end()
      }
    }

    @Test("where nft would not take what comes in its place the former table stands, and nothing is closed for it (P7)")
    func refusedReplacement() throws {
      try Kernel.inNamespace {
        // A word of nft's language: it can be a table's name by JSON and by netlink, and not in a ruleset's text.
        var plan = Self.exclusive
        plan.table = "flush"
        let name = #""family":"inet","table":"flush","name":"former""#
        try Kernel.run(
          #"nft -j '{"nftables":[{"add":{"table":{"family":"inet","name":"flush"}}},{"add":{"chain":{\#(name)}}}]}'"#)
        let session = try Session(plan)
        try session.turn("why it cannot be installed is told") {
          session.events.contains {
            if case .broken(let text) = $0 { text.contains("nft refused the ruleset") } else { false }
          }
        }
        let kernel = try KernelSets()
        #expect(try kernel.kind(family: .inet, table: "flush") == .plain)
        #expect(try kernel.chains(family: .inet, table: "flush") == ["former"])
        #expect(try kernel.chains(family: .inet, table: "flush/closing").allSatisfy { !$0.hasSuffix("/hook") })
        try session.end()
      }
    }
  }
}
