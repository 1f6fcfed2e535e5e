import AuditLog
import FirewallModel
package import DNSWire
package import GrantLedger
package import IPNetwork
package import LinuxIO
import CLinux
import Glibc
package import Settings

/// Why an address is open: one line of the journal.
package struct JournalEntry: Hashable, Sendable {
  package var server: String
  package var name: Name
  package var type: RRType
  package var address: IPAddress
  package var transport: UInt8
  package var port: UInt16
  /// Seconds since 1970 of the first opening.
  package var opened: UInt64
  /// Until when the name holds it: milliseconds of the monotonic clock, which ends with the kernel's sets. Nil in journals of
  /// versions that did not know.
  package var until: UInt64?
  /// What was shown of the answer, where the rule asked for that.
  package var terms: GrantTerms

  package init(
    server: String, name: Name, type: RRType, address: IPAddress, transport: UInt8, port: UInt16, opened: UInt64,
    until: UInt64? = nil, terms: GrantTerms = GrantTerms()
  ) {
    self.server = server
    self.name = name
    self.type = type
    self.address = address
    self.transport = transport
    self.port = port
    self.opened = opened
    self.until = until
    self.terms = terms
  }

  /// Appends `server name type address transport port opened`, single blanks between, and the line's end.
  func appendLine(to octets: inout [UInt8]) {
    let blank = UInt8(ascii: " ")
    octets.append(contentsOf: server.utf8)
    octets.append(blank)
    NameWire.appendPresentation(name.wire.span, to: &octets)
    octets.append(blank)
    octets.append(contentsOf: type.description.utf8)
    octets.append(blank)
    address.appendText(to: &octets)
    for number in [UInt64(transport), UInt64(port), opened] {
      octets.append(blank)
      octets.append(decimal: number)
    }
    octets.append(UInt8(ascii: "\n"))
  }

  /// Reads a line without its end; nil for anything that no journal has.
  init?(_ line: some StringProtocol) {
    let words = line.split(separator: " ", omittingEmptySubsequences: false)
    guard words.count == 7, FirewallPlan.isName(String(words[0])), let name = Name(written: words[1]),
      let type = RRType(mnemonic: String(words[2])), let address = IPAddress(words[3]),
      let transport = UInt8(words[4]), let port = UInt16(words[5]),
      let opened = UInt64(words[6])
    else { return nil }
    self.init(
      server: String(words[0]), name: name, type: type, address: address, transport: transport, port: port,
      opened: opened)
  }

  /// Whether both say the same of the same opening.
  fileprivate var identity: JournalEntry {
    var entry = self
    entry.opened = 0
    (entry.until, entry.terms) = (nil, GrantTerms())
    return entry
  }
}

/// Remembers over restarts for which name each address was opened; which of them are open only the kernel knows.
///
/// Lines are written before the answer that they belong to leaves, so a killed process loses none of them: what was
/// written lies with the kernel. Many lines are one write: `append` keeps them until `flush`. After a crash of the host
/// the sets are gone and the journal means nothing.
///
/// A line `until MILLISECONDS` before the lines of openings says until when those are held, and `terms NUMBER` behind it what was
/// shown of their answers (`GrantTerms`), where that is anything; of an opening the last line counts. Versions that know neither
/// pass over them.
package final class GrantJournal {
  /// Fewer lines are never worth a rewriting.
  private static let fewestLines = 16_384
  private static let header = "sluice-grants 1\n"

  /// Where the journal lies: beside the log.
  package static func path(_ audit: AuditSettings) -> String { audit.path + ".grants" }

  private let path: String
  private var file: FileDescriptor
  private var lines: Int
  private var isFailing = false
  /// Lines that are not written yet.
  private var pending = Lines()
  private var rewriting: Rewriting?
  /// What cannot be rewritten is not tried again at every line.
  private var leastLines = GrantJournal.fewestLines
  /// There was no room for another file.
  private var writesInPlace = false

  /// A journal in the making. It is made in parts, so that no query waits for the whole; a process that is killed
  /// meanwhile leaves the old one, which goes on.
  private final class Rewriting {
    /// Nil where no other file can be made beside the old one: that one is written anew at the end.
    var file: FileDescriptor?
    /// What was written to the file, where there is none.
    var whole: [UInt8] = []
    /// Lines since the beginning, which go behind all others: the last line of an address tells its last name.
    var late: [UInt8] = []
    var lines = 0
    var hasFailed = false

    func add(_ octets: [UInt8]) {
      switch file {
      case .some(let file): if !hasFailed { hasFailed = !GrantJournal.write(octets, to: file) }
      case .none: whole += octets
      }
    }
  }

  /// Lines in the making. Each of them begins with an end of its own: what was written before it may be torn.
  private struct Lines {
    private(set) var octets: [UInt8] = []
    private(set) var count = 0
    /// What the last line of an opening was written under.
    private var head: (until: UInt64?, terms: GrantTerms)?

    mutating func add(_ entries: [JournalEntry]) {
      for entry in entries {
        if head.map({ $0 != (entry.until, entry.terms) }) ?? true {
          head = (entry.until, entry.terms)
          count += GrantJournal.append(entry.until, entry.terms, to: &octets)
        }
        entry.appendLine(to: &octets)
        count += 1
      }
    }

    mutating func removeAll() {
      octets.removeAll(keepingCapacity: true)
      (count, head) = (0, nil)
    }
  }

  /// Returns how many lines it took.
  private static func append(_ until: UInt64?, _ terms: GrantTerms, to octets: inout [UInt8]) -> Int {
    octets.append(contentsOf: endWord.utf8)
    if let until { octets.append(decimal: until) } else { octets.append(UInt8(ascii: "-")) }
    octets.append(UInt8(ascii: "\n"))
    guard terms != GrantTerms() else { return 1 }
    octets.append(contentsOf: termsWord.utf8)
    octets.append(decimal: UInt64(terms.rawValue))
    octets.append(UInt8(ascii: "\n"))
    return 2
  }

  private static let endWord = "until "
  private static let termsWord = "terms "

  /// What a journal says, what was opened or renewed last at the end; empty when there is none. A torn or foreign line is passed over.
  ///
  /// - Parameter owner: whose file is taken beside root's, where root reads it.
  package static func read(_ path: String, owner: UInt32? = nil) -> [JournalEntry] {
    guard let text = contents(of: path, owner), text.hasPrefix(header) else { return [] }
    // A renewal is written like an opening: the first line tells when it was opened, the last one which name came last, and
    // until when it holds.
    var seen: [JournalEntry: (opened: UInt64, last: JournalEntry, position: Int)] = [:]
    var (until, terms): (UInt64?, GrantTerms) = (nil, GrantTerms())
    for (position, line) in text.dropFirst(header.count).split(separator: "\n").enumerated() {
      // A server may be called like an end.
      if var entry = JournalEntry(line) {
        (entry.until, entry.terms) = (until, terms)
        seen[entry.identity] = (seen[entry.identity]?.opened ?? entry.opened, entry, position)
      } else if line.hasPrefix(endWord) {
        (until, terms) = (UInt64(line.dropFirst(endWord.count)), GrantTerms())
      } else if line.hasPrefix(termsWord) {
        terms = GrantTerms(rawValue: UInt32(line.dropFirst(termsWord.count)) ?? 0)
      }
    }
    return seen.values.sorted { $0.position < $1.position }.map { found in
      var entry = found.last
      entry.opened = found.opened
      return entry
    }
  }

  /// Begins anew with `entries`; 0600, handed to `owner` if there is one.
  package init(path: String, entries: [JournalEntry], owner: (user: UInt32, group: UInt32)?) throws(SystemError) {
    self.path = path
    var made = Lines()
    made.add(entries)
    file = try Self.create(path, made.octets)
    lines = made.count
    if let owner, fchown(file.raw, owner.user, owner.group) != 0 {
      throw SystemError(call: "fchown", errno: errno)
    }
  }

  /// Whether the file holds much more than `live` entries take.
  package func isOverlong(live: Int) -> Bool { rewriting == nil && lines > max(leastLines, 4 * live) }

  /// Adds lines for the next `flush`.
  package func append(_ entries: [JournalEntry]) {
    let before = pending.count
    pending.add(entries)
    lines += pending.count - before
  }

  /// Writes what was appended; false when that failed, told once until it works again.
  package func flush() -> Bool {
    guard !pending.octets.isEmpty else { return true }
    rewriting?.late += pending.octets
    // Half a line may stand at the end of what failed before.
    let isWritten = Self.write((isFailing ? [UInt8(ascii: "\n")] : []) + pending.octets, to: file)
    pending.removeAll()
    defer { isFailing = !isWritten }
    return isWritten || isFailing
  }

  /// Begins another journal, which takes this one's place with `endRewriting`. What is appended from now on is in both.
  package func beginRewriting() {
    let begun = Rewriting()
    do throws(SystemError) {
      if !writesInPlace { begun.file = try Self.make(in: Folder(of: path), Folder.name(of: path)) }
    } catch {
      // There is no room for another file: the old one is written anew at the end.
    }
    begun.add(Array(Self.header.utf8))
    rewriting = begun
  }

  /// Adds lines to the journal in the making, before all that were appended since its beginning.
  package func rewrite(_ part: [JournalEntry]) {
    var made = Lines()
    made.add(part)
    rewriting?.lines += made.count
    rewriting?.add(made.octets)
  }

  /// Puts the new journal in the place of the old one. Where that fails the old one stays.
  package func endRewriting() {
    guard let done = rewriting else { return }
    rewriting = nil
    done.lines += done.late.count { $0 == UInt8(ascii: "\n") }
    done.add(done.late)
    leastLines = max(Self.fewestLines, 2 * lines)
    writesInPlace = done.hasFailed
    guard !done.hasFailed else { return }
    if let new = done.file.take() {
      do {
        try Folder(of: path).rename(Folder.name(of: path) + ".new", to: Folder.name(of: path))
      } catch {
        return
      }
      file = new
      isFailing = false
    } else {
      guard ftruncate(file.raw, 0) == 0 else { return }
      isFailing = !Self.write(done.whole, to: file)
    }
    (lines, leastLines) = (done.lines, Self.fewestLines)
  }

  private static func create(_ path: String, _ lines: [UInt8]) throws(SystemError) -> FileDescriptor {
    let folder = try Folder(of: path)
    let name = Folder.name(of: path)
    let file = try make(in: folder, name)
    guard write(Array(header.utf8) + lines, to: file) else {
      throw SystemError(call: "write", errno: errno)
    }
    try folder.rename(name + ".new", to: name)
    return file
  }

  private static func make(in folder: borrowing Folder, _ name: String) throws(SystemError) -> FileDescriptor {
    // What a killed process left; whatever it is, nothing is written to it.
    folder.remove(name + ".new")
    return try folder.make(name + ".new", O_WRONLY | O_APPEND)
  }

  private static func write(_ octets: [UInt8], to file: borrowing FileDescriptor) -> Bool {
    var rest = octets[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(file.raw, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      rest = rest.dropFirst(count)
    }
    return true
  }

  private static func contents(of path: String, _ owner: UInt32?) -> String? {
    do throws(SystemError) {
      return text(of: try Folder(of: path).open(Folder.name(of: path), O_RDONLY, owner: owner))
    } catch {
      if error.errno != ENOENT {
        StandardError.write("sluice: warning: the names of what is open are not known: \(path): \(error)")
      }
      return nil
    }
  }

  private static func text(of file: borrowing FileDescriptor) -> String {
    var octets: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe chunk.withUnsafeMutableBytes { unsafe Glibc.read(file.raw, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      octets += chunk.prefix(count)
    }
    return String(decoding: octets, as: UTF8.self)
  }
}
