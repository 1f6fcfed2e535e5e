import DNSWire
import Foundation
import GrantLedger
import IPNetwork
import LinuxIO
import Testing

@testable import Serving

@Suite("The journal of grants")
struct GrantJournalTests {
  private static func entry(
    _ number: UInt32, name: String = "api.example.com", opened: UInt64 = 7, until: UInt64? = nil,
    terms: GrantTerms = GrantTerms()
  ) throws -> JournalEntry {
    JournalEntry(
      server: "github-mcp", name: try Name(hostname: name), type: .A, address: IPAddress(v4: number), transport: 6,
      port: 443, opened: opened, until: until, terms: terms)
  }

  private static func text(of entry: JournalEntry) -> String {
    var octets: [UInt8] = []
    entry.appendLine(to: &octets)
    return String(decoding: octets, as: UTF8.self)
  }

  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-journal-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder + "/audit.jsonl.grants")
  }

  @Test("what was appended is read back with the first opening of each, what was renewed last at the end")
  func roundTrip() throws {
    try inFolder { path in
      let journal = try GrantJournal(path: path, entries: [try Self.entry(1)], owner: nil)
      journal.append([try Self.entry(2), try Self.entry(3, name: "_dmarc.xn--bcher-kva.example")])
      #expect(journal.flush())
      journal.append([try Self.entry(2, opened: 99)])
      #expect(journal.flush())
      let expected = [try Self.entry(1), try Self.entry(3, name: "_dmarc.xn--bcher-kva.example"), try Self.entry(2)]
      #expect(GrantJournal.read(path) == expected)
      var state = stat()
      #expect(unsafe stat(path, &state) == 0 && state.st_mode & 0o777 == 0o600)
    }
  }

  @Test("until when each is held is what was written of it last, also where it is less")
  func ends() throws {
    try inFolder { path in
      let journal = try GrantJournal(path: path, entries: [try Self.entry(1, until: 5), try Self.entry(2)], owner: nil)
      journal.append([try Self.entry(3, until: .max), try Self.entry(4, until: .max), try Self.entry(1, until: 90)])
      #expect(journal.flush())
      journal.append([try Self.entry(1, opened: 9, until: 80), try Self.entry(5, until: 80)])
      #expect(journal.flush())
      let expected = [
        try Self.entry(2), try Self.entry(3, until: .max), try Self.entry(4, until: .max), try Self.entry(1, until: 80),
        try Self.entry(5, until: 80),
      ]
      #expect(GrantJournal.read(path) == expected)
      // A rewriting keeps them.
      journal.beginRewriting()
      journal.rewrite([try Self.entry(1, until: 80)])
      journal.append([try Self.entry(2, until: 7)])
      #expect(journal.flush())
      journal.endRewriting()
      #expect(GrantJournal.read(path) == [try Self.entry(1, until: 80), try Self.entry(2, until: 7)])
    }
  }

  @Test("what was shown of an answer is what was written of it last, and of no other line")
  func terms() throws {
    try inFolder { path in
      let (none, secure) = (GrantTerms(.unknown, .none), GrantTerms(.secure, .listed(mark: 0xFFF_FFFF)))
      let journal = try GrantJournal(
        path: path, entries: [try Self.entry(1, until: 5, terms: none), try Self.entry(2, until: 5)], owner: nil)
      journal.append([try Self.entry(3, until: 5, terms: secure), try Self.entry(1, until: 5, terms: secure)])
      #expect(journal.flush())
      journal.append([try Self.entry(4, until: 5)])
      #expect(journal.flush())
      let expected = [
        try Self.entry(2, until: 5), try Self.entry(3, until: 5, terms: secure),
        try Self.entry(1, until: 5, terms: secure), try Self.entry(4, until: 5),
      ]
      #expect(GrantJournal.read(path) == expected)
      journal.beginRewriting()
      journal.rewrite([try Self.entry(1, until: 5, terms: secure), try Self.entry(2, until: 5)])
      journal.endRewriting()
      #expect(GrantJournal.read(path) == [try Self.entry(1, until: 5, terms: secure), try Self.entry(2, until: 5)])
      let text = "sluice-grants 1\nterms many\n\(Self.text(of: try Self.entry(4)))"
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      #expect(GrantJournal.read(path) == [try Self.entry(4)])
    }
  }

  @Test("a version that knows no ends reads every line of an opening, and passes over the others; its own have no end")
  func versions() throws {
    try inFolder { path in
      let journal = try GrantJournal(path: path, entries: [try Self.entry(1, until: 5)], owner: nil)
      journal.append([try Self.entry(2, until: 6), try Self.entry(3)])
      #expect(journal.flush())
      let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
      #expect(lines.first == "sluice-grants 1")
      #expect(lines.dropFirst().filter { $0.split(separator: " ").count == 7 }.count == 3)
      #expect(lines.dropFirst().filter { JournalEntry($0) == nil } == ["until 5", "until 6", "until -"])
      try "sluice-grants 1\n\(Self.text(of: try Self.entry(4)))".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(GrantJournal.read(path) == [try Self.entry(4)])
    }
  }

  @Test("a server may be called as the lines of ends begin")
  func serverOfThatName() throws {
    try inFolder { path in
      var entries = [try Self.entry(1, until: 5), try Self.entry(2, until: 5)]
      entries[0].server = "until"
      _ = try GrantJournal(path: path, entries: entries, owner: nil)
      #expect(GrantJournal.read(path) == entries)
    }
  }

  @Test("an end that is torn is of no line that comes behind it")
  func tornEnd() throws {
    try inFolder { path in
      let journal = try GrantJournal(path: path, entries: [], owner: nil)
      journal.append([try Self.entry(1, until: 123_456)])
      #expect(journal.flush())
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.seekToEnd()
      handle.write(Data("until 999\n".utf8))
      try handle.close()
      journal.append([try Self.entry(2, until: 123_456)])
      #expect(journal.flush())
      #expect(GrantJournal.read(path).map(\.until) == [123_456, 123_456])
    }
  }

  @Test("torn and foreign lines are passed over, and a foreign file says nothing")
  func damaged() throws {
    try inFolder { path in
      let journal = try GrantJournal(path: path, entries: [], owner: nil)
      journal.append([try Self.entry(1)])
      #expect(journal.flush())
      let handle = try #require(FileHandle(forWritingAtPath: path))
      try handle.seekToEnd()
      handle.write(Data("x y z\n\u{0}\u{1}\ngithub-mcp a.b A 1.2.3.4 6 99999 1\ngithub-mcp api.example.com A 1.2".utf8))
      try handle.close()
      #expect(GrantJournal.read(path) == [try Self.entry(1)])
      try "github-mcp api.example.com A 1.2.3.4 6 443 1\n".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(GrantJournal.read(path).isEmpty)
      #expect(GrantJournal.read(path + ".none").isEmpty)
    }
  }

  /// A journal of 20,000 lines.
  private func overlong(_ path: String) throws -> GrantJournal {
    let journal = try GrantJournal(path: path, entries: [], owner: nil)
    for number in 0..<20_000 as Range<UInt32> { journal.append([try Self.entry(number)]) }
    #expect(journal.flush())
    #expect(journal.isOverlong(live: 10))
    return journal
  }

  @Test("a rewriting leaves the live entries and goes on where appending goes on")
  func rewriting() throws {
    try inFolder { path in
      let journal = try overlong(path)
      journal.beginRewriting()
      journal.rewrite([try Self.entry(5)])
      journal.endRewriting()
      #expect(!journal.isOverlong(live: 1))
      journal.append([try Self.entry(6)])
      #expect(journal.flush())
      #expect(GrantJournal.read(path) == [try Self.entry(5), try Self.entry(6)])
    }
  }

  @Test("what is appended while it is rewritten in parts is in it, behind what was there before")
  func parts() throws {
    try inFolder { path in
      let journal = try overlong(path)
      journal.beginRewriting()
      #expect(!journal.isOverlong(live: 1), "it is being rewritten")
      journal.rewrite([try Self.entry(5), try Self.entry(6)])
      journal.append([try Self.entry(5), try Self.entry(30_000)])
      #expect(journal.flush())
      #expect(GrantJournal.read(path).count == 20_001, "the old one goes on until the new one is whole")
      journal.rewrite([try Self.entry(7)])
      journal.append([try Self.entry(30_001)])
      journal.endRewriting()
      #expect(journal.flush())
      let numbers: [UInt32] = [6, 7, 5, 30_000, 30_001]
      #expect(GrantJournal.read(path) == (try numbers.map { try Self.entry($0) }))
      #expect(!FileManager.default.fileExists(atPath: path + ".new"))
    }
  }

  @Test("a rewriting that was not finished loses nothing")
  func unfinished() throws {
    try inFolder { path in
      var journal: GrantJournal? = try overlong(path)
      journal?.beginRewriting()
      journal?.rewrite([try Self.entry(5)])
      journal = nil
      let read = GrantJournal.read(path)
      #expect(read.count == 20_000)
      _ = try GrantJournal(path: path, entries: read, owner: nil)
      #expect(GrantJournal.read(path).count == 20_000)
    }
  }

  @Test("where no other file can be made the old one is written anew")
  func inPlace() throws {
    try inFolder { path in
      let journal = try overlong(path)
      // Not to be removed by unlink, nor to be made anew.
      try FileManager.default.createDirectory(atPath: path + ".new/x", withIntermediateDirectories: true)
      journal.beginRewriting()
      journal.rewrite([try Self.entry(5)])
      journal.append([try Self.entry(6)])
      #expect(journal.flush())
      journal.endRewriting()
      journal.append([try Self.entry(7)])
      #expect(journal.flush())
      #expect(GrantJournal.read(path) == (try [5, 6, 7].map { try Self.entry($0) }))
    }
  }

  @Test("what lies in the place of the journal, or of a half-written one, is replaced and not followed")
  func link() throws {
    try inFolder { path in
      let target = path + ".target"
      try "keep".write(toFile: target, atomically: true, encoding: .utf8)
      try FileManager.default.createSymbolicLink(atPath: path + ".new", withDestinationPath: target)
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
      #expect(GrantJournal.read(path) == [])
      _ = try GrantJournal(path: path, entries: [try Self.entry(1)], owner: nil)
      #expect(GrantJournal.read(path) == [try Self.entry(1)])
      #expect(try String(contentsOfFile: target, encoding: .utf8) == "keep")
    }
  }

  @Test("a line is seven words of which the first is a server's name, and a journal begins with its format")
  func lines() throws {
    let line = "github-mcp api.example.com A 0.0.0.1 6 443 7"
    #expect(JournalEntry(line) == (try Self.entry(1)))
    for other in ["\(line) ", "\(line) 8", "git/hub api.example.com A 0.0.0.1 6 443 7", " \(line)"] {
      #expect(JournalEntry(other) == nil, "\(other)")
    }
    try inFolder { path in
      try "sluice-grants 2\n\(line)\n".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(GrantJournal.read(path) == [])
    }
  }

  @Test("what cannot be written is said, and what was written stays")
  func noRoom() throws {
    try inFolder { path in
      let journal = try overlong(path)
      // The kernel tells a process by a signal, too, that it may write no longer file.
      let handler = signal(SIGXFSZ, SIG_IGN)
      defer { signal(SIGXFSZ, handler) }
      let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
      var before = rlimit()
      _ = unsafe getrlimit(resource, &before)
      var none = rlimit(rlim_cur: 0, rlim_max: before.rlim_max)
      _ = unsafe setrlimit(resource, &none)
      journal.beginRewriting()
      journal.rewrite([try Self.entry(5)])
      journal.endRewriting()
      journal.append([try Self.entry(30_000)])
      let isWritten = journal.flush()
      let isNew = (try? GrantJournal(path: path + ".other", entries: [], owner: nil)) != nil
      _ = unsafe setrlimit(resource, &before)
      #expect(!isWritten && !isNew)
      #expect(GrantJournal.read(path).count == 20_000)
      journal.append([try Self.entry(30_001)])
      #expect(journal.flush())
      #expect(GrantJournal.read(path).last == (try Self.entry(30_001)))
    }
  }
}
