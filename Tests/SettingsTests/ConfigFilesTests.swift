import Foundation
import Testing

@testable import Settings

@Suite("Files that a configuration names")
struct ConfigFilesTests {
  @Test("the executable's directory is known, also of one that was replaced since it started")
  func replacedExecutable() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-files-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let link = folder.appending(path: "exe").path
    // As the kernel shows it (proc_pid_exe(5)).
    for target in ["/usr/sbin/sluice", "/opt/gone/sluice (deleted)"] {
      try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
      #expect(ConfigFiles.executableDirectory(link: link) == (target as NSString).deletingLastPathComponent)
      try FileManager.default.removeItem(atPath: link)
    }
    #expect(ConfigFiles.executableDirectory(link: link) == nil, "without /proc there is no link")
  }
}
