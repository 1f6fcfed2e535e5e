import AuditLog
import Foundation
import Glibc
import LinuxIO
import Testing

@testable import AuditStore

@Suite("The log's files (P6)")
struct LogFileTests {
  private static func write(_ text: String, to file: inout LogFile) throws {
    let count = try file.write(Array(text.utf8), from: 0)
    #expect(count == text.utf8.count)
  }

  @Test("a file that another program moved is that program's rotation: no other one moves up, and a new one is begun")
  func moved() throws {
    let scratch = Scratch()
    try "older\n".write(toFile: scratch.log + ".1", atomically: false, encoding: .utf8)
    var file = try LogFile(path: scratch.log, maxSize: 10, keep: 2)
    try Self.write("new\n", to: &file)
    Files.move(scratch.log, scratch.log + ".kept")
    try file.rotate()
    let isCurrent = file.isCurrent
    #expect(isCurrent && text(scratch.log) == "")
    #expect(text(scratch.log + ".1") == "older\n" && text(scratch.log + ".kept") == "new\n")
    #expect(!FileManager.default.fileExists(atPath: scratch.log + ".2"))
  }

  @Test("while the oldest file cannot be taken away nothing moves, and writing goes on in the old one")
  func stuck() throws {
    let scratch = Scratch()
    Files.makeDirectory(scratch.log + ".2")
    var file = try LogFile(path: scratch.log, maxSize: 10, keep: 2)
    try Self.write("one\n", to: &file)
    var errno: Int32?
    do throws(SystemError) { try file.rotate() } catch { errno = error.errno }
    #expect(errno == EISDIR)
    try Self.write("two\n", to: &file)
    #expect(text(scratch.log) == "one\ntwo\n" && !FileManager.default.fileExists(atPath: scratch.log + ".1"))
  }

  @Test("a compressed file that cannot be read is told with the kernel's reason, and is not at its end")
  func unreadable() throws {
    let scratch = Scratch()
    let folder = FileDescriptor(unsafe open(scratch.path, O_RDONLY | O_CLOEXEC))  // a text that ends with a zero
    var decoder = try ZstdDecoder()
    var octets = [UInt8](repeating: 0, count: 64)
    var errno: Int32?
    do throws(SystemError) { _ = try decoder.read(folder, into: &octets, at: 0, atMost: 64) } catch {
      errno = error.errno
    }
    #expect(errno == EISDIR)
  }

  @Test("the first line of what cannot be read is a failure; of what is damaged it is what stands before the damage")
  func firstLines() throws {
    let scratch = Scratch()
    let folder = try #require(try LogSourceFile(path: scratch.path))
    var errno: Int32?
    do throws(SystemError) { _ = try folder.firstLine() } catch { errno = error.errno }
    #expect(errno == EISDIR)
    var octets: [UInt8] = []
    for text in ["first\n", String(repeating: "second\n", count: 100)] {
      var encoder = try ZstdEncoder(size: text.utf8.count)
      try encoder.append(Array(text.utf8), count: text.utf8.count, isLast: true, to: &octets)
    }
    try Data(octets.dropLast(4)).write(to: URL(filePath: scratch.log + ".1.zst"))
    let damaged = try #require(try LogSourceFile(path: scratch.log + ".1.zst"))
    #expect(try damaged.firstLine() == Array("first".utf8))
  }

  @Test(
    "a ring file without room for a ring, or of a size that cannot be masked, is not made",
    arguments: [(0, 4096, 65_536), (1, 4097, 65_536), (1, 4096, 65_537), (1025, 4096, 65_536)])
  func geometry(rings: Int, ring: Int, windows: Int) throws {
    let scratch = Scratch()
    let file = FileDescriptor(Files.openToAppend(scratch.log))
    Files.tick(file.raw)
    let geometry = RingFile.Geometry(rings: rings, ringOctets: ring, windowOctets: windows)
    var errno: Int32?
    do throws(SystemError) {
      _ = try RingFile.empty(file, geometry, run: 1, former: .unknown)
    } catch {
      errno = error.errno
    }
    #expect(errno == EINVAL)
    #expect(text(scratch.log) == "x", "what was there stays")
  }
}
