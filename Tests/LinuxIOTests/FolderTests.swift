import Foundation
import Glibc
import LinuxIO
import Testing

@Suite("Files in a folder whose owner need not be trusted")
struct FolderTests {
  private static let isRoot = geteuid() == 0

  /// A folder with a file, a link to it, a folder and a pipe; it is gone with this.
  private final class Place {
    let path: String

    init() throws {
      path = FileManager.default.temporaryDirectory.appendingPathComponent("folder-\(UUID().uuidString)").path
      try FileManager.default.createDirectory(atPath: path + "/folder", withIntermediateDirectories: true)
      try Data("text".utf8).write(to: URL(fileURLWithPath: path + "/file"))
      try FileManager.default.createSymbolicLink(atPath: path + "/link", withDestinationPath: "file")
      try #require(unsafe mkfifo(path + "/pipe", 0o600) == 0)  // texts end with a zero, here and below
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
  }

  /// The error of opening a name, 0 where it was opened.
  private func opening(_ name: String, in place: Place, owner: UInt32? = nil) throws -> Int32 {
    let folder = try Folder(place.path)
    do throws(SystemError) {
      _ = try folder.open(name, O_RDONLY, owner: owner)
      return 0
    } catch {
      return error.errno
    }
  }

  @Test("a file is opened; no link, folder or pipe, and none that is not there")
  func kinds() throws {
    let place = try Place()
    #expect(try opening("file", in: place) == 0)
    for (name, error) in [("link", ELOOP), ("folder", EINVAL), ("pipe", EINVAL), ("none", ENOENT)] {
      #expect(try opening(name, in: place) == error, "\(name)")
    }
  }

  @Test(
    "root opens no file with a second name, and of other users only the service's", .enabled(if: isRoot, "needs root"))
  func owners() throws {
    let place = try Place()
    try #require(unsafe chown(place.path + "/file", 4242, 4242) == 0)
    #expect(try opening("file", in: place) == EPERM && opening("file", in: place, owner: 4243) == EPERM)
    #expect(try opening("file", in: place, owner: 4242) == 0)
    try #require(unsafe chown(place.path + "/file", 0, 0) == 0)
    #expect(try opening("file", in: place, owner: 4242) == 0)
    try #require(unsafe Glibc.link(place.path + "/file", place.path + "/second") == 0)
    #expect(try opening("file", in: place) == EPERM && opening("second", in: place) == EPERM)
  }

  @Test("what is made was not there, and what is given another name was")
  func making() throws {
    let place = try Place()
    let folder = try Folder(place.path)
    for name in ["file", "link", "folder"] {
      #expect(throws: SystemError.self, "\(name)") { _ = try folder.make(name, O_WRONLY) }
    }
    _ = try folder.make("new", O_WRONLY, mode: 0o640)
    #expect(throws: SystemError.self) { try folder.rename("none", to: "other") }
    try folder.rename("new", to: "other")
    #expect(try opening("other", in: place) == 0 && opening("new", in: place) == ENOENT)
    #expect(throws: SystemError.self) { _ = try Folder(place.path + "/none") }
    #expect(throws: SystemError.self) { _ = try Folder(place.path + "/file") }
  }

  @Test("a counter is a page that processes share: nothing shorter, and no descriptor that is none")
  func counters() throws {
    let place = try Place()
    let short = try Folder(place.path).open("file", O_RDWR)
    #expect(throws: SystemError.self) { _ = try SharedCounter(short.raw) }
    #expect(throws: SystemError.self) { _ = try SharedCounter(-1) }
    let page = try SharedCounter.makeFile(named: "counter")
    let (one, other) = (try SharedCounter(page.raw), try SharedCounter(page.raw))
    one.add()
    #expect(other.value == 1)
  }

  @Test("sockets that were handed to another process, or none, are none; more than there can be are an error")
  func passed() throws {
    let own = "\(getpid())"
    func take(_ pid: String, _ count: String) throws -> Int {
      unsafe setenv("LISTEN_PID", pid, 1)
      unsafe setenv("LISTEN_FDS", count, 1)
      return try PassedSocket.take().count
    }
    #expect(try take("1", "5000") == 0 && take(own, "0") == 0 && take(own, "-1") == 0 && take(own, "x") == 0)
    #expect(throws: SystemError(call: "LISTEN_FDS", errno: E2BIG)) { try take(own, "5000") }
    let isSet = unsafe getenv("LISTEN_PID") != nil
    #expect(!isSet)
  }
}
