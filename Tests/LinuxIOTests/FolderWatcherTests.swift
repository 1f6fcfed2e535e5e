import Foundation
import LinuxIO
import Testing

@Suite("Watching folders")
struct FolderWatcherTests {
  @Test("what happens to files is told by name, in a folder that took another's place too, once it is asked for")
  func names() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "sluice-watch-\(UUID().uuidString)")
    let (folder, other) = (root.appending(path: "policies"), root.appending(path: "new"))
    for path in [folder, other] {
      try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
    }
    defer { try? FileManager.default.removeItem(at: root) }
    let watcher = try FolderWatcher()
    let missing = watcher.watch([folder.path, root.path, "/nowhere/at/all"])
    #expect(missing.map(\.folder) == ["/nowhere/at/all"])
    try Data("a".utf8).write(to: folder.appending(path: "a.yaml"))
    #expect(watcher.drain()?.contains("a.yaml") == true)
    #expect(watcher.drain() == [])
    try FileManager.default.moveItem(at: folder, to: root.appending(path: "old"))
    try FileManager.default.moveItem(at: other, to: folder)
    #expect(watcher.drain()?.contains("policies") == true)
    #expect(watcher.watch([folder.path, root.path]).isEmpty)
    _ = watcher.drain()
    try Data("b".utf8).write(to: folder.appending(path: "b.yaml"))
    #expect(watcher.drain()?.contains("b.yaml") == true)
    try Data("c".utf8).write(to: root.appending(path: "old/c.yaml"))
    #expect(watcher.drain() == [])
    #expect(watcher.watch([]).isEmpty)
    try Data("d".utf8).write(to: folder.appending(path: "d.yaml"))
    #expect(watcher.drain()?.contains("d.yaml") != true)
  }
}
