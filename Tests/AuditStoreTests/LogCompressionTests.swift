import CLinux
import Foundation
import Glibc
import TestSupport
import Testing

@testable import AuditStore

@Suite(.serialized) struct LogCompressionTests {
  private func open(_ path: String, maxSize: Int = 65_536, keep: Int = 500) throws -> AuditStore {
    let store = try AuditStore(
      settings: AuditStoreSettings(path: path, maxSize: maxSize, keep: keep, compress: true, rings: 1))
    try store.start()
    return store
  }

  private func fill(_ store: AuditStore, _ numbers: Range<Int>) {
    for number in numbers {
      while !push(store, number) { usleep(100) }
    }
  }

  private func names(_ path: String) throws -> [String] {
    var reader = AuditReader(path: path, filter: LogFilter())
    var names: [String] = []
    try reader.read { names.append($0.text(.destination)) }
    #expect(reader.badLines == 0 && reader.damagedFiles.isEmpty)
    return names
  }

  private func files(_ scratch: Scratch) throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: scratch.path))
  }

  /// No plain rotated file is left, and nothing half-way.
  private func isSettled(_ scratch: Scratch) throws -> Bool {
    try files(scratch).allSatisfy { $0 == "audit.jsonl" || $0 == "audit.jsonl.ring" || $0.hasSuffix(".zst") }
  }

  private func expected(_ numbers: Range<Int>) -> [String] { numbers.map { "n\($0).example.com" } }

  @Test("rotated files are compressed, with mode and owner kept; every event is read once and in order, at any moment")
  func compressed() throws {
    let scratch = Scratch()
    let store = try open(scratch.log)
    var read = 0
    for start in stride(from: 0, to: 4000, by: 500) {
      fill(store, start..<(start + 500))
      // While files move and change their form.
      for _ in 0..<20 {
        let names = try names(scratch.log)
        #expect(names == expected(0..<names.count) && names.count >= read)
        read = names.count
      }
    }
    #expect(eventually { store.counters.records == 4000 })
    #expect(try eventually { try isSettled(scratch) })
    #expect(try names(scratch.log) == expected(0..<4000))
    #expect(store.counters.compressions >= 10 && store.counters.compressionFailures == 0)
    store.stop()
    let rotated = try files(scratch).filter { $0.hasSuffix(".zst") }
    #expect(rotated.count == Int(store.counters.rotations))
    for name in rotated {
      let attributes = try FileManager.default.attributesOfItem(atPath: scratch.path + "/" + name)
      #expect(attributes[.posixPermissions] as? Int == 0o600)
      #expect(attributes[.ownerAccountID] as? Int == Int(getuid()))
      #expect(attributes[.size] as? Int ?? .max < 20_000)
    }
  }

  @Test("what is compressed counts as kept: no more rotated files than asked for, whatever their form")
  func keeps() throws {
    let scratch = Scratch()
    let store = try open(scratch.log, keep: 3)
    fill(store, 0..<4000)
    #expect(eventually { store.counters.records == 4000 })
    #expect(try eventually { try isSettled(scratch) })
    #expect(
      try files(scratch) == [
        "audit.jsonl", "audit.jsonl.ring", "audit.jsonl.1.zst", "audit.jsonl.2.zst", "audit.jsonl.3.zst",
      ])
    let names = try names(scratch.log)
    #expect(names == expected((4000 - names.count)..<4000) && names.count > 500)
    store.stop()
  }

  @Test("following sees everything once while files are rotated and compressed")
  func follow() throws {
    let scratch = Scratch()
    let store = try open(scratch.log)
    fill(store, 0..<10)
    #expect(eventually { store.counters.records == 10 })
    let follower = Follower(scratch.log)
    follower.start()
    for start in stride(from: 10, to: 6010, by: 1000) {
      fill(store, start..<(start + 1000))
      usleep(250_000)
    }
    #expect(eventually { follower.seen.count >= 6010 })
    follower.end()
    #expect(eventually { follower.hasEnded })
    #expect(follower.seen == expected(0..<6010))
    #expect(store.counters.compressions > 0)
    store.stop()
  }

  @Test("files that zstd itself made or that hold several frames are read; a damaged one as far as it goes, and named")
  func foreign() throws {
    let scratch = Scratch()
    let lines = (0..<3000).map {
      "{\"ts\":\"2026-11-20T09:14:22.481Z\",\"decision\":\"block\",\"destination\":\"n\($0).example.com\"}\n"
    }
    func frame(_ text: String) throws -> [UInt8] {
      var encoder = try ZstdEncoder(size: text.utf8.count)
      var output: [UInt8] = []
      try encoder.append(Array(text.utf8), count: text.utf8.count, isLast: true, to: &output)
      return output
    }
    // A line may begin in one frame and end in the next.
    let whole = lines[..<1000].joined()
    let middle = whole.index(whole.startIndex, offsetBy: 5000)
    let two = try frame(String(whole[..<middle])) + frame(String(whole[middle...]))
    try Data(two).write(to: URL(filePath: scratch.log + ".2.zst"))
    try lines[1000..<2000].joined().write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    try lines[2000...].joined().write(toFile: scratch.log, atomically: false, encoding: .utf8)
    #expect(try names(scratch.log) == expected(0..<3000))
    // Kept beside what was compressed, it is read once.
    try Data(frame(lines[1000..<2000].joined())).write(to: URL(filePath: scratch.log + ".1.zst"))
    #expect(try names(scratch.log) == expected(0..<3000))
    try Data(two.dropLast(100)).write(to: URL(filePath: scratch.log + ".2.zst"))
    var reader = AuditReader(path: scratch.log, filter: LogFilter())
    var found: [String] = []
    try reader.read { found.append($0.text(.destination)) }
    #expect(found.count < 3000 && found.suffix(2000) == expected(1000..<3000)[...])
    #expect(found.dropLast(2000) == expected(0..<(found.count - 2000))[...])
    #expect(reader.damagedFiles == [scratch.log + ".2.zst"])
  }

  @Test("a full disk leaves the plain file, whole, and room for the log")
  func fullDisk() throws {
    let scratch = Scratch()
    let mount = scratch.path + "/small"
    guard Files.mountSmall(mount, octets: 5 << 19) else { return }
    defer { Files.unmount(mount) }
    let path = mount + "/audit.jsonl"
    let plain = (0..<8000).map {
      #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block","destination":"n\#($0).example.com"}"# + "\n"
    }
    .joined()
    try plain.write(toFile: path + ".1", atomically: false, encoding: .utf8)
    // Less than `maxSize` is left.
    let store = try AuditStore(
      settings: AuditStoreSettings(
        path: path, maxSize: 2 << 20, keep: 3, compress: true, rings: 1, ringOctets: 65_536, windowOctets: 65_536))
    try store.start()
    #expect(eventually { store.counters.compressionFailures > 0 })
    push(store, 8000)
    #expect(eventually { store.counters.records == 1 && !store.isBlocked })
    #expect(text(path + ".1") == plain)
    #expect(try !FileManager.default.contentsOfDirectory(atPath: mount).contains { $0.contains("zst") })
    store.stop()
    #expect(try names(path) == expected(0..<8001))
  }

  @Test("a file whose owner cannot be kept stays as it is", .enabled(if: getuid() == 0, "needs root"))
  func owner() throws {
    let scratch = Scratch()
    let plain = (0..<2000).map { "{\"destination\":\"n\($0).example.com\"}\n" }.joined()
    let file = scratch.log + ".1"
    try plain.write(toFile: file, atomically: false, encoding: .utf8)
    try #require(unsafe chown(file, 65_534, 65_534) == 0)
    let compressor = try LogCompressor(path: scratch.log, maxSize: 65_536, keep: 1)
    // Capabilities are a thread's own.
    Thread {
      guard sluice_privileges_drop_all() == 0 else { return }
      compressor.run { compressor.settle(current: nil) }
    }
    .start()
    #expect(eventually { compressor.counts.failures + compressor.counts.compressed > 0 })
    compressor.stop()
    #expect(compressor.counts.compressed == 0 && text(file) == plain)
    #expect(try files(scratch) == ["audit.jsonl.1"])
  }

  @Test("what was left half-way is taken up at start: nothing is lost and nothing counted twice", arguments: [0, 1, 2])
  func leftovers(stage: Int) throws {
    let scratch = Scratch()
    let lines = (0..<2000).map {
      #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block","destination":"n\#($0).example.com"}"# + "\n"
    }
    let older = lines[..<1000].joined()
    try older.write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    try lines[1000...].joined().write(toFile: scratch.log, atomically: false, encoding: .utf8)
    var encoder = try ZstdEncoder(size: older.utf8.count)
    var octets: [UInt8] = []
    try encoder.append(Array(older.utf8), count: older.utf8.count, isLast: true, to: &octets)
    switch stage {
    case 0: try Data(octets.dropLast(50)).write(to: URL(filePath: scratch.log + ".zst.part"))  // half written
    case 1: try Data(octets).write(to: URL(filePath: scratch.log + ".zst.part"))  // whole, in no file's place
    default: try Data(octets).write(to: URL(filePath: scratch.log + ".1"))  // in its place, not yet named
    }
    #expect(try names(scratch.log) == expected(0..<2000))
    let store = try open(scratch.log, maxSize: 1 << 20)
    #expect(try eventually { try isSettled(scratch) })
    store.stop()
    #expect(try files(scratch) == ["audit.jsonl", "audit.jsonl.1.zst", "audit.jsonl.ring"])
    #expect(try names(scratch.log) == expected(0..<2000))
  }

  @Test("SIGKILL at any moment of a compression loses no event and counts none twice", arguments: [0, 300, 1500, 4000])
  func kill(after microseconds: Int) async throws {
    let scratch = Scratch()
    let path: String = scratch.log
    for round in 0..<3 {
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [path = path as String, microseconds = microseconds as Int, round = round as Int] in
        let store = try AuditStore(
          settings: AuditStoreSettings(path: path, maxSize: 65_536, keep: 1000, compress: true, rings: 1))
        try store.start()
        for number in (round * 2000)..<(round * 2000 + 2000) {
          while !push(store, number) { usleep(100) }
        }
        while store.counters.compressions < 2 { usleep(50) }
        usleep(UInt32(microseconds))
        Glibc.kill(getpid(), SIGKILL)
      }
    }
    let store = try open(path, keep: 1000)
    #expect(try eventually { try isSettled(scratch) })
    store.stop()
    // Records of a batch under way may be written again by the next run: those are further events of the same names.
    let all = try names(path)
    #expect(Set(all) == Set(expected(0..<6000)))
    var ids: [String] = []
    var reader = AuditReader(path: path, filter: LogFilter())
    try reader.read {
      ids.append(String(decoding: $0.octets, as: UTF8.self).firstMatch(of: /"id":"([^"]+)"/).map { String($0.1) } ?? "")
    }
    #expect(Set(ids).count == ids.count)
  }

  @Test("the file that is being written is never replaced, even when another program gave it a rotated file's name")
  func current() throws {
    let scratch = Scratch()
    let store = try open(scratch.log, maxSize: 1 << 20)
    fill(store, 0..<100)
    #expect(eventually { store.counters.records == 100 })
    Files.move(scratch.log, scratch.log + ".1")
    let compressor = try LogCompressor(path: scratch.log, maxSize: 65_536, keep: 5)
    let identity = FileIdentity(path: scratch.log + ".1")
    let isReady = DispatchSemaphore(value: 0)
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      compressor.run { isReady.signal() }
      ended.signal()
    }
    isReady.wait()
    compressor.settle(current: identity)
    #expect(eventually { compressor.counts.failures == 1 })
    // Written on meanwhile: what was compressed is no longer all of it.
    compressor.look()
    isReady.wait()
    let last = try #require(String(contentsOfFile: scratch.log + ".1", encoding: .utf8).split(separator: "\n").last)
    let file = try #require(FileHandle(forWritingAtPath: scratch.log + ".1"))
    try file.seekToEnd()
    try file.write(contentsOf: Data("\(last)\n".utf8))
    compressor.settle(current: nil)
    #expect(eventually { compressor.counts.failures == 2 })
    compressor.stop()
    ended.wait()
    store.stop()
    #expect(try names(scratch.log) == expected(0..<100) + expected(99..<100))
    #expect(try files(scratch) == ["audit.jsonl.1", "audit.jsonl.ring"])
  }

  @Test("a file that was rotated while it was compressed is found by what it is, not by its number")
  func renumbered() throws {
    let scratch = Scratch()
    try Self.lines(0..<1000).write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    try Self.lines(1000..<1010).write(toFile: scratch.log, atomically: false, encoding: .utf8)
    try compressing(scratch, keep: 5) { compressor, isReady in
      isReady.wait()
      var file = try LogFile(path: scratch.log, maxSize: 65_536, keep: 5)
      try file.rotate()
      compressor.settle(current: file.identity)
      #expect(eventually { compressor.counts.compressed == 1 })
      #expect(FileManager.default.fileExists(atPath: scratch.log + ".2.zst"))
      #expect(try names(scratch.log) == expected(0..<1010))
      // The next one is ready when its file is dropped.
      isReady.wait()
      for _ in 0..<6 {
        try file.rotate()
      }
      compressor.settle(current: file.identity)
      #expect(eventually { compressor.counts.failures >= 1 })
    }
    #expect(try names(scratch.log).isEmpty)
  }

  // MARK: - What stays as it is

  private static func lines(_ numbers: Range<Int>) -> String {
    numbers.map {
      #"{"ts":"2026-11-20T09:14:22.481Z","decision":"block","destination":"n\#($0).example.com"}"# + "\n"
    }.joined()
  }

  /// Runs a compressor while `body` does the writer's part: whenever a file is ready its argument is signalled.
  private func compressing(
    _ scratch: Scratch, keep: Int = 2, _ body: (LogCompressor, DispatchSemaphore) throws -> Void
  ) throws {
    let compressor = try LogCompressor(path: scratch.log, maxSize: 65_536, keep: keep)
    let isReady = DispatchSemaphore(value: 0)
    let ended = DispatchSemaphore(value: 0)
    Thread.detachNewThread {
      compressor.run { isReady.signal() }
      ended.signal()
    }
    defer {
      compressor.stop()
      ended.wait()
    }
    try body(compressor, isReady)
  }

  @Test("a file that would be no smaller stays as it is")
  func incompressible() throws {
    let scratch = Scratch()
    var random = SeededRandom(seed: 1)
    let octets = Data((0..<100_000).map { _ in UInt8.random(in: 0...255, using: &random) })
    try octets.write(to: URL(filePath: scratch.log + ".1"))
    try compressing(scratch) { compressor, _ in
      #expect(eventually { compressor.counts.failures == 1 })
      #expect(compressor.counts.compressed == 0)
    }
    #expect(try files(scratch) == ["audit.jsonl.1"])
    #expect(try Data(contentsOf: URL(filePath: scratch.log + ".1")) == octets)
  }

  @Test("what was compressed and is gone when it is to be put in its place leaves the plain file there")
  func takenAway() throws {
    let scratch = Scratch()
    try Self.lines(0..<1000).write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    try compressing(scratch) { compressor, isReady in
      isReady.wait()
      Files.remove(scratch.log + ".zst.part")
      compressor.settle(current: nil)
      #expect(eventually { compressor.counts.failures == 1 })
      #expect(compressor.counts.compressed == 0)
    }
    #expect(try files(scratch) == ["audit.jsonl.1"] && text(scratch.log + ".1") == Self.lines(0..<1000))
  }

  @Test("a file that another program compressed under a plain name is left alone, and the others are compressed")
  func compressedAlready() throws {
    let scratch = Scratch()
    let older = Array(Self.lines(0..<1000).utf8)
    var encoder = try ZstdEncoder(size: older.count)
    var octets: [UInt8] = []
    try encoder.append(older, count: older.count, isLast: true, to: &octets)
    try compressing(scratch) { compressor, isReady in
      try Data(octets).write(to: URL(filePath: scratch.log + ".2"))
      try Self.lines(1000..<2000).write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
      compressor.look()
      isReady.wait()
      compressor.settle(current: nil)
      #expect(eventually { compressor.counts.compressed == 1 })
      #expect(compressor.counts.failures == 0)
    }
    #expect(try files(scratch) == ["audit.jsonl.1.zst", "audit.jsonl.2"])
    #expect(try names(scratch.log) == expected(0..<2000))
  }
}
