import FirewallModel
import Foundation
import Glibc
import LinuxIO
import Testing

@testable import BridgeProcesses

@Suite("What the bridge keeps")
struct StateFolderTests {
  /// A state folder that is gone with this.
  private final class State {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("state-\(UUID().uuidString)").path
    var list: String { path + "/bridge/networks.sluice" }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func put(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: list)) }

    func networks() throws -> String { try StateFolder.networks(of: "sluice", at: path).text }
  }

  @Test("no folder and no file are no networks; what was written is read")
  func reading() throws {
    let state = State()
    #expect(try state.networks() == "")
    _ = try StateFolder.open(state.path)
    #expect(try state.networks() == "")
    try StateFolder.change("sluice", at: state.path) { $0 = HeldNetworks(text: "10.77.1.0/24 a\n") }
    #expect(try state.networks() == "10.77.1.0/24 a\n")
    #expect(try StateFolder.networks(of: "other", at: state.path).text == "")
  }

  @Test("a folder that belongs to another user is refused, who could put other networks there (P7); root takes any")
  func foreign() throws {
    let state = State()
    _ = try StateFolder.open(state.path)
    var said = ""
    do throws(StateFolder.FolderError) {
      _ = try StateFolder.open(state.path, as: geteuid() + 1)
    } catch {
      said = error.description
    }
    #expect(said.contains("belongs to uid \(geteuid()), expected it to belong to uid \(geteuid() + 1)"), "\(said)")
    _ = try StateFolder.open(state.path, as: 0)
  }

  @Test("a list that cannot be read as a whole is an error, never no network")
  func unreadable() throws {
    let state = State()
    _ = try StateFolder.open(state.path)
    try FileManager.default.createDirectory(atPath: state.list, withIntermediateDirectories: true)
    #expect(throws: SystemError.self) { try state.networks() }
    try FileManager.default.removeItem(atPath: state.list)
    try #require(unsafe mkfifo(state.list, 0o600) == 0)  // a text that ends with a zero, here and below
    #expect(throws: SystemError.self) { try state.networks() }
    try FileManager.default.removeItem(atPath: state.list)
    try state.put("10.77.1.0/24 a\n")
    try FileManager.default.createSymbolicLink(
      atPath: state.path + "/bridge/networks.link", withDestinationPath: "networks.sluice")
    #expect(throws: SystemError.self) { try StateFolder.networks(of: "link", at: state.path) }
    try state.put(String(repeating: "10.77.1.0/24 a\n", count: (4 << 20) / 15 + 1))
    #expect(throws: SystemError.self) { try state.networks() }
    try FileManager.default.removeItem(atPath: state.path)
    try Data().write(to: URL(fileURLWithPath: state.path))
    #expect(throws: SystemError.self) { try state.networks() }
    #expect(throws: StateFolder.FolderError.self) { _ = try StateFolder.open(state.path) }
  }

  @Test("a part that others may write, or that is no folder, is refused")
  func refused() throws {
    let state = State()
    _ = try StateFolder.open(state.path)
    for mode: UInt32 in [0o775, 0o757] {
      try #require(unsafe chmod(state.path + "/bridge", mode) == 0)
      #expect(throws: StateFolder.FolderError.self) { _ = try StateFolder.open(state.path) }
    }
    try #require(unsafe chmod(state.path + "/bridge", 0o755) == 0)
    _ = try StateFolder.open(state.path)
    try FileManager.default.removeItem(atPath: state.path + "/bridge")
    try Data().write(to: URL(fileURLWithPath: state.path + "/bridge"))
    #expect(throws: StateFolder.FolderError.self) { _ = try StateFolder.open(state.path) }
    #expect(!StateFolder.isFolder(-1))
  }

  @Test("who waits for the lock is told at the end of its patience that it has none, and has it where nothing has")
  func lock() throws {
    let state = State()
    let folder = try StateFolder.open(state.path)
    let (one, other) = (
      StateFolder(descriptor: folder.raw, table: "sluice"), StateFolder(descriptor: folder.raw, table: "sluice")
    )
    let found = one.locked(patience: 0) { isAlone in [isAlone, other.locked(patience: 20) { $0 }] }
    #expect(found == [true, false])
    #expect(other.locked(patience: 0) { $0 })
  }
}
