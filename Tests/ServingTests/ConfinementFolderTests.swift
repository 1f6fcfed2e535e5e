import Foundation
import Glibc
import Settings
import Testing

@testable import Serving

@Suite("The folders that serve may go on to read")
struct ConfinementFolderTests {
  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-folders-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for part in ["real/deep/policies", "links", "log"] {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(part)", withIntermediateDirectories: true)
    }
    try Data("server: a\nnetworks: [ 10.77.1.0/24 ]\negress: [ example.com ]\n".utf8)
      .write(to: URL(filePath: "\(folder)/real/deep/policies/a.yaml"))
    try body(folder)
  }

  private func configuration(_ policies: String, _ folder: String) throws {
    try Data(
      """
      listen: [ "10.77.1.1:53" ]
      upstreams: [ "udp://192.0.2.54" ]
      policies: \(policies)
      audit: { path: \(folder)/log/audit.jsonl }
      """.utf8
    ).write(to: URL(filePath: "\(folder)/real/sluice.yaml"))
  }

  private func append(_ text: String, to path: String) throws {
    let file = try #require(FileHandle(forWritingAtPath: path))
    try file.seekToEnd()
    try file.write(contentsOf: Data(text.utf8))
  }

  private func reads(_ wanted: String, _ path: String) throws -> Bool {
    let settings = try #require(SettingsLoader.load(path: path).settings)
    return Confinement.readFolders(settings, path).contains { folder in
      #expect(folder.hasPrefix("/"))
      var (kept, status) = (stat(), stat())
      return unsafe stat(folder, &kept) == 0 && stat(wanted, &status) == 0 && kept.st_ino == status.st_ino
        && kept.st_dev == status.st_dev
    }
  }

  @Test("what .. leads to behind a link is where the kernel says, not where the name does")
  func linkAndBack() throws {
    try inFolder { folder in
      try configuration("deep/policies", folder)
      #expect(unsafe symlink("\(folder)/real/deep", "\(folder)/links/deep") == 0)
      let path = "\(folder)/links/deep/../sluice.yaml"
      for name in ["real", "real/deep", "real/deep/policies"] {
        #expect(try reads("\(folder)/\(name)", path), "\(name)")
      }
      #expect(try !reads("\(folder)/links", path))
    }
  }

  @Test("a folder of policies that is named by .. is read, and the one that it is in", arguments: ["..", "../.", "."])
  func upwards(policies: String) throws {
    try inFolder { folder in
      let inner = "\(folder)/real/deep/policies"
      try configuration(policies, folder)
      let home = policies == "." ? inner : "\(inner)/config"
      try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
      try FileManager.default.moveItem(atPath: "\(folder)/real/sluice.yaml", toPath: "\(home)/sluice.conf")
      #expect(try reads(inner, "\(home)/sluice.conf"))
      #expect(try reads("\(folder)/real/deep", "\(home)/sluice.conf"))
    }
  }

  @Test("a folder that is named by .. behind another is read, and the other one is not")
  func behindAnother() throws {
    try inFolder { folder in
      try configuration("deep/policies/../policies/aside/..", folder)
      let aside = "\(folder)/real/deep/policies/aside"
      try FileManager.default.createDirectory(atPath: aside, withIntermediateDirectories: true)
      let path = "\(folder)/real/sluice.yaml"
      #expect(try reads("\(folder)/real/deep/policies", path) && reads("\(folder)/real/deep", path))
      #expect(try !reads(aside, path))
    }
  }

  @Test(
    "lists that documents include are read, in folders of their own too, and the folders that lists are looked for in")
  func lists() throws {
    try inFolder { folder in
      try configuration("deep/policies", folder)
      for name in ["ours", "named", "log"] {
        try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      }
      try Data("list: mine\negress: [ b.example.com ]\n".utf8).write(to: URL(filePath: "\(folder)/ours/mine.yaml"))
      let policy = "server: a\nnetworks: [ 10.77.1.0/24 ]\ninclude: [ \(folder)/ours/mine.yaml ]\n"
      try Data(policy.utf8).write(to: URL(filePath: "\(folder)/real/deep/policies/a.yaml"))
      let path = "\(folder)/real/sluice.yaml"
      #expect(try reads("\(folder)/ours", path) && !reads("\(folder)/named", path))
      try append("\nlists: \(folder)/named\n", to: path)
      #expect(try reads("\(folder)/ours", path) && reads("\(folder)/named", path))
      var settings = try #require(SettingsLoader.load(path: path).settings)
      settings.state = "\(folder)/state"
      settings.audit.path = "\(folder)/ours/audit.jsonl"
      #expect(Confinement.exposed(settings, path) == ["\(folder)/ours/mine.yaml"])
    }
  }

  @Test("layers are read, in folders of their own too, and what may be written there is told")
  func layers() throws {
    try inFolder { folder in
      try configuration("deep/policies", folder)
      for name in ["above", "beside"] {
        try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
      }
      try Data("deny: [ bad.example.com ]\n".utf8).write(to: URL(filePath: "\(folder)/above/org.yaml"))
      let path = "\(folder)/real/sluice.yaml"
      try append("\nlayers: [ { name: org, file: ../above/org.yaml } ]\n", to: path)
      #expect(try reads("\(folder)/above", path) && !reads("\(folder)/beside", path))
      var settings = try #require(SettingsLoader.load(path: path).settings)
      #expect(settings.policyFiles.count == 2 && settings.policyFiles.contains("\(folder)/real/../above/org.yaml"))
      settings.state = "\(folder)/state"
      settings.audit.path = "\(folder)/above/audit.jsonl"
      #expect(Confinement.exposed(settings, path) == ["\(folder)/real/../above/org.yaml"])
    }
  }

  @Test("what the bridge goes by is found in the folder that serve may write")
  func exposed() throws {
    try inFolder { folder in
      try configuration("deep/policies", folder)
      let path = "\(folder)/real/sluice.yaml"
      var settings = try #require(SettingsLoader.load(path: path).settings)
      settings.state = "\(folder)/state"
      #expect(Confinement.exposed(settings, path) == [])
      settings.audit.path = "\(folder)/real/deep/audit.jsonl"
      #expect(Confinement.exposed(settings, path).map { ($0 as NSString).lastPathComponent } == ["a.yaml"])
      #expect(unsafe symlink("\(folder)/real", "\(folder)/links/log") == 0)
      settings.audit.path = "\(folder)/links/log/audit.jsonl"
      #expect(Confinement.exposed(settings, path).count == 2)
      settings.audit.path = "\(folder)/state/audit.jsonl"
      #expect(Confinement.exposed(settings, path) == ["\(folder)/state/bridge"])
    }
  }
}
