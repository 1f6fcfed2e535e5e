import AuditLog
import Foundation
import Glibc
import LinuxIO
import Testing

@testable import AuditStore

@Suite struct AuditStoreTests {
  @Test("what was pushed is in the log when the store has stopped, each record once")
  func everything() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log, rings: 2)
    // It writes already.
    try store.start()
    for number in 0..<3000 {
      while !push(store, number, ring: number % 2, code: .notListed, members: "") { usleep(100) }
    }
    store.stop()
    #expect(try sum(readEvents(scratch.log)) == 3000)
    #expect(store.counters.records == 3000)
    #expect(store.counters.written + store.counters.suppressed >= 3000)
  }

  @Test("an event is in the file soon after it was pushed, without another push")
  func soon() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    for number in 0..<20 {
      push(store, number)
      #expect(eventually { text(scratch.log).contains("n\(number).example.com") })
    }
    store.stop()
  }

  @Test("log and ring file are readable by their owner only, whatever the umask")
  func modes() throws {
    let scratch = Scratch()
    do {
      let store = try openStore(scratch.log)
      for path in [scratch.log, scratch.log + ".ring"] {
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
      }
      #expect(store.warnings.isEmpty)
    }
    Files.setMode(scratch.log, 0o644)
    let second = try openStore(scratch.log)
    #expect(second.warnings.count == 1)
    second.stop()
  }

  @Test("handing over gives log and ring file to the user, before the start only")
  func handing() throws {
    guard getuid() == 0 else { return print("skipped: only root may give files away") }
    let scratch = Scratch()
    let store = try AuditStore(settings: AuditStoreSettings(path: scratch.log, rings: 1))
    try store.hand(to: 65_534, 65_534)
    for path in [scratch.log, scratch.log + ".ring"] {
      #expect(try FileManager.default.attributesOfItem(atPath: path)[.ownerAccountID] as? Int == 65_534)
    }
    try store.start()
    #expect(throws: AuditStoreError.self) { try store.hand(to: 0, 0) }
    store.stop()
  }

  @Test("a missing directory is made for its owner only and handed over; two missing ones are an error that says so")
  func directory() throws {
    let scratch = Scratch()
    let made = scratch.path + "/sluice"
    do {
      let store = try AuditStore(settings: AuditStoreSettings(path: made + "/audit.jsonl", rings: 1))
      let attributes = try FileManager.default.attributesOfItem(atPath: made)
      #expect(attributes[.posixPermissions] as? Int == 0o700)
      if getuid() == 0 {
        try store.hand(to: 65_534, 65_534)
        #expect(try FileManager.default.attributesOfItem(atPath: made)[.ownerAccountID] as? Int == 65_534)
      } else {
        print("skipped: only root may give directories away")
      }
    }
    let deep = scratch.path + "/none/none"
    #expect {
      try openStore(deep + "/audit.jsonl")
    } throws: {
      "\($0)".contains(deep) && "\($0)".contains("missing")
    }
    #expect(!FileManager.default.fileExists(atPath: scratch.path + "/none"))
  }

  @Test("a directory that was there is never handed over")
  func othersDirectory() throws {
    guard getuid() == 0 else { return print("skipped: only root may give files away") }
    let scratch = Scratch()
    let store = try AuditStore(settings: AuditStoreSettings(path: scratch.log, rings: 1))
    try store.hand(to: 65_534, 65_534)
    #expect(try FileManager.default.attributesOfItem(atPath: scratch.path)[.ownerAccountID] as? Int == 0)
  }

  @Test("a second store on the same log is refused, by name")
  func lock() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    #expect {
      try openStore(scratch.log)
    } throws: {
      "\($0)".contains("another `sluice serve`") && "\($0)".contains(scratch.log)
    }
    store.stop()
  }

  @Test("links, directories and other people's files are refused and left alone")
  func strangers() throws {
    let scratch = Scratch()
    let victim = scratch.path + "/victim"
    try "precious\n".write(toFile: victim, atomically: false, encoding: .utf8)
    Files.symlink(victim, scratch.log)
    #expect(throws: AuditStoreError.self) { try openStore(scratch.log) }
    Files.remove(scratch.log)
    Files.remove(scratch.log + ".ring")
    Files.symlink(victim, scratch.log + ".ring")
    #expect(throws: AuditStoreError.self) { try openStore(scratch.log) }
    Files.remove(scratch.log + ".ring")
    Files.link(victim, scratch.log + ".ring")
    #expect(throws: AuditStoreError.self) { try openStore(scratch.log) }
    Files.remove(scratch.log + ".ring")
    Files.makeDirectory(scratch.log)
    #expect(throws: AuditStoreError.self) { try openStore(scratch.log) }
    #expect(text(victim) == "precious\n")
  }

  @Test("a log that was taken away is begun anew at its path, with its folder or without, and that is counted")
  func takenAway() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    push(store, 0)
    #expect(eventually { store.counters.records == 1 })
    #expect(store.counters.replacements == 0 && store.counters.rotationFault == nil)
    Files.remove(scratch.log)
    var number = 1
    func pushes(until condition: () -> Bool) -> Bool {
      eventually {
        push(store, number)
        number += 1
        return condition()
      }
    }
    #expect(pushes { store.counters.replacements == 1 })
    #expect(eventually { text(scratch.log).contains("\"id\"") })
    try FileManager.default.removeItem(atPath: scratch.path)
    #expect(pushes { store.counters.rotationFault == ENOENT })
    try FileManager.default.createDirectory(atPath: scratch.path, withIntermediateDirectories: true)
    #expect(pushes { store.counters.replacements == 2 && store.counters.rotationFault == nil })
    store.stop()
    #expect(text(scratch.log).contains("n\(number - 1).example.com"))
  }

  @Test("how a run ended is known to the next one")
  func formerRun() throws {
    let scratch = Scratch()
    let before = WallClock.nanoseconds()
    do {
      let first = try openStore(scratch.log)
      #expect(first.former == .unknown)
      first.begin()
      first.stop()
    }
    let second = try openStore(scratch.log)
    #expect(second.former == .stopped)
    second.begin()
    push(second, 1)
    // What a killed run leaves.
    let killed = Scratch()
    try FileManager.default.copyItem(atPath: scratch.log + ".ring", toPath: killed.log + ".ring")
    // Versions with another format take it for one that was being made, and do not refuse to start.
    #expect(try Data(contentsOf: URL(filePath: killed.log + ".ring")).prefix(8) == Data(repeating: 0, count: 8))
    second.stop()
    let third = try openStore(killed.log)
    guard case .broken(let began) = third.former else { throw Impossible() }
    #expect(began >= before && began <= WallClock.nanoseconds())
    third.stop()
  }

  @Test("a start that fails is no run: what is known of the run before it stays")
  func failedStart() throws {
    let (scratch, killed) = (Scratch(), Scratch())
    func former(_ log: String) throws -> FormerRun {
      let failed = try openStore(log)
      failed.stop()
      return failed.former
    }
    #expect(try former(scratch.log) == .unknown)
    let before = WallClock.nanoseconds()
    do {
      let run = try openStore(scratch.log)
      #expect(run.former == .unknown)
      run.begin()
      // What a killed run leaves.
      try FileManager.default.copyItem(atPath: scratch.log + ".ring", toPath: killed.log + ".ring")
      run.stop()
    }
    let after = WallClock.nanoseconds()
    for _ in 0..<3 { #expect(try former(scratch.log) == .stopped) }
    for _ in 0..<3 {
      guard case .broken(let began) = try former(killed.log) else { throw Impossible() }
      #expect(began >= before && began <= after)
    }
  }

  @Test("a file that is no ring is set aside, whole, and told")
  func notRing() throws {
    let scratch = Scratch()
    try "somebody's notes\n".write(toFile: scratch.log + ".ring", atomically: false, encoding: .utf8)
    let store = try openStore(scratch.log)
    #expect(store.warnings.contains { $0.contains("audit.jsonl.ring.damaged") })
    push(store, 1)
    store.stop()
    #expect(text(scratch.log + ".ring.damaged") == "somebody's notes\n")
    #expect(try readEvents(scratch.log).count == 1)
  }

  @Test(
    "a torn last line is cut off at start, and nothing else", arguments: ["", "{\"a\":1}\n", "{\"a\":1}\n{\"b\":2}\n"])
  func tornLine(whole: String) throws {
    let scratch = Scratch()
    let torn = "{\"ts\":\"" + String(repeating: "x", count: 10_000)
    try (whole + torn).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    let store = try openStore(scratch.log)
    store.stop()
    #expect(text(scratch.log) == whole)
  }

  @Test("the file is rotated by size under load, keeps so many files, and no line is torn or lost")
  func rotation() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log, maxSize: 65_536, keep: 200, rings: 2)
    for number in 0..<8000 {
      while !push(store, number, ring: number % 2) { usleep(100) }
    }
    store.stop()
    let events = try readEvents(scratch.log)
    #expect(sum(events) == 8000)
    #expect(Set(events.compactMap { $0["id"] as? String }).count == events.count)
    let ids = events.compactMap { $0["id"] as? String }
    #expect(ids == ids.sorted())
    #expect(store.counters.rotations > 20)
    for number in 1...10 {
      let size = try FileManager.default.attributesOfItem(atPath: "\(scratch.log).\(number)")[.size] as? Int
      #expect((size ?? 0) <= 65_536)
    }
  }

  @Test("no more rotated files than asked for")
  func keeps() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log, maxSize: 65_536, keep: 3)
    for number in 0..<4000 {
      while !push(store, number) { usleep(100) }
    }
    store.stop()
    let files = try FileManager.default.contentsOfDirectory(atPath: scratch.path).sorted()
    #expect(files == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2", "audit.jsonl.3", "audit.jsonl.ring"])
  }

  @Test("after another program moved the file, reopening begins a new one and loses nothing (SIGHUP)")
  func reopening() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    for number in 0..<100 { push(store, number) }
    #expect(eventually { store.counters.records == 100 })
    Files.move(scratch.log, scratch.log + ".1")
    store.reopen()
    #expect(eventually { FileManager.default.fileExists(atPath: scratch.log) })
    for number in 100..<200 { push(store, number) }
    store.stop()
    #expect(try sum(readEvents(scratch.log)) == 200)
    #expect(text(scratch.log).contains("n199.example.com"))
  }

  @Test("records pushed but never written are written by the next run, before anything else")
  func leftovers() throws {
    let scratch = Scratch()
    let idle = try AuditStore(settings: AuditStoreSettings(path: scratch.log, rings: 2))
    for number in 0..<50 { push(idle, number, ring: number % 2) }
    idle.stop()
    // Another number of rings and another size: the file says what it holds.
    try? FileManager.default.copyItem(atPath: scratch.log + ".ring", toPath: scratch.path + "/copy")
    let other = Scratch()
    try FileManager.default.copyItem(atPath: scratch.path + "/copy", toPath: other.log + ".ring")
    let next = try openStore(other.log, rings: 3, ringOctets: 65_536)
    #expect(try sum(readEvents(other.log)) == 50)
    #expect(next.counters.recovered == 50)
    push(next, 50)
    next.stop()
    let events = try readEvents(other.log)
    #expect(sum(events) == 51)
    #expect(Set(events.compactMap { $0["id"] as? String }).count == 51)
  }

  @Test("a damaged ring file costs what it held, not the start")
  func damage() throws {
    let scratch = Scratch()
    let idle = try AuditStore(settings: AuditStoreSettings(path: scratch.log, rings: 1, ringOctets: 65_536))
    for number in 0..<50 { push(idle, number) }
    let whole = try Data(contentsOf: URL(fileURLWithPath: scratch.log + ".ring"))
    idle.stop()
    var random = SystemRandomNumberGenerator()
    for _ in 0..<30 {
      var octets = whole
      let other = Scratch()
      for _ in 0..<2000 { octets[Int.random(in: 8..<octets.count, using: &random)] = .random(in: 0...255) }
      try octets.write(to: URL(fileURLWithPath: other.log + ".ring"))
      let store = try openStore(other.log)
      push(store, 1)
      store.stop()
      #expect(try sum(readEvents(other.log)) >= 1)
    }
  }
}
