import AuditLog
import Foundation
import Glibc
import Testing

@testable import AuditStore

@Suite(.serialized) struct CrashTests {
  @Test(
    "SIGKILL at any moment loses no record; every line but the last is whole (threats L4)",
    arguments: [0, 3, 40, 400, 3000])
  func kill(after microseconds: Int) async throws {
    let scratch = Scratch()
    let path: String = scratch.log
    var repeated = 0
    for _ in 0..<4 {
      await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, microseconds = microseconds as Int] in
        // The count is kept as the length of a file: it survives the process, and is never ahead of the ring.
        let tally = Files.openToAppend(path + ".tally")
        let store = try openStore(path, maxSize: 1 << 20, keep: 100)
        Thread.detachNewThread {
          while store.counters.records < 100 { usleep(50) }
          usleep(UInt32(microseconds))
          Glibc.kill(getpid(), SIGKILL)
        }
        var number = 0
        while true {
          if push(
            store, number % 5000, code: number % 3 == 0 ? .granted : .notListed,
            members: number % 3 == 0 ? ",\"ttl\":1" : "")
          {
            Files.tick(tally)
          }
          number += 1
        }
      }
      repeated += AuditWriter.batchRecords * 2
    }
    let store = try openStore(path, maxSize: 1 << 20, keep: 100)
    store.stop()
    let pushed = try FileManager.default.attributesOfItem(atPath: path + ".tally")[.size] as? Int ?? 0
    let written = try sum(readEvents(path))
    #expect(pushed > 400)
    #expect(written >= pushed)
    #expect(written <= pushed + repeated)
  }

  @Test("a full disk blocks, keeps every record, and goes on when there is room (threats L3)")
  func fullDisk() throws {
    let scratch = Scratch()
    let mount = scratch.path + "/small"
    guard Files.mountSmall(mount, octets: 2 << 20) else { return }
    defer { Files.unmount(mount) }
    let path = mount + "/audit.jsonl"
    let store = try AuditStore(
      settings: AuditStoreSettings(path: path, rings: 1, ringOctets: 262_144, windowOctets: 65_536))
    try store.start()
    let ballast = mount + "/ballast"
    Files.fill(ballast)
    var pushed = 0
    #expect(
      eventually {
        if push(store, pushed) { pushed += 1 }
        return store.isBlocked
      })
    #expect(store.counters.blockedSince != nil && store.counters.blockedFault == ENOSPC)
    // What the ring holds is kept; then it says so.
    while push(store, pushed) { pushed += 1 }
    #expect(store.isBlocked)
    Files.remove(ballast)
    #expect(eventually { !store.isBlocked })
    #expect(eventually { push(store, pushed) })
    pushed += 1
    store.stop()
    #expect(store.counters.blockedSince == nil && store.counters.blockedFault == nil)
    #expect(try sum(readEvents(path)) == pushed)
  }

  @Test("stopped while the disk is full: no start until there is room, then everything kept is written")
  func stoppedWhileFull() throws {
    let scratch = Scratch()
    let mount = scratch.path + "/small"
    guard Files.mountSmall(mount, octets: 1 << 20) else { return }
    defer { Files.unmount(mount) }
    let settings = AuditStoreSettings(path: mount + "/audit.jsonl", rings: 1, ringOctets: 65_536, windowOctets: 65_536)
    var pushed = 0
    do {
      let store = try AuditStore(settings: settings)
      try store.start()
      Files.fill(mount + "/ballast")
      #expect(
        eventually {
          if push(store, pushed) { pushed += 1 }
          return store.isBlocked
        })
      store.stop()
    }
    #expect(throws: AuditStoreError.self) { try AuditStore(settings: settings) }
    Files.remove(mount + "/ballast")
    let next = try AuditStore(settings: settings)
    next.stop()
    let written = try sum(readEvents(settings.path))
    #expect(written >= pushed && written <= pushed + AuditWriter.batchRecords)
  }

  @Test("a repeat held for its window is written when the store stops")
  func pendingAtStop() throws {
    let scratch = Scratch()
    let store = try openStore(scratch.log)
    for _ in 0..<10 { push(store, 1, code: .notListed, members: "") }
    #expect(eventually { store.counters.records == 10 })
    store.stop()
    let events = try readEvents(scratch.log)
    #expect(events.map { $0["count"] as? Int } == [1, 9])
    #expect(events.last?["first_ts"] is String)
  }
}
