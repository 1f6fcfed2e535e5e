import DNSWire
import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("An audit log that cannot be written", .timeLimit(.minutes(3)))
  struct AuditFaultTests {
    @Test("a full disk stops answers, not records; with room again both go on and nothing is missing")
    func fullDisk() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        let disk = bed.folder.appending(path: "disk").path
        try FileManager.default.createDirectory(atPath: disk, withIntermediateDirectories: true)
        try Command.must("mount -t tmpfs -o size=16m tmpfs \(disk)")
        defer { _ = try? Command.must("umount -l \(disk)") }
        try bed.sluice.writeConfiguration()
        let file = bed.sluice.configurationFile
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try Data(text.replacing("audit.jsonl", with: "disk/audit.jsonl").utf8).write(to: URL(filePath: file))
        try bed.sluice.startAgain()
        // Fails when the disk is full, as it should.
        _ = try Command.run(["dd", "if=/dev/zero", "of=\(disk)/filler", "bs=4k"])
        let socket = try bed.socket()
        var denials = 0
        var isStopped = false
        for index in 0..<2_000 where !isStopped {
          let reply = socket.ask(Question("a.full-\(index).com"), id: UInt16(index), within: 1)
          if reply?.code == .NXDOMAIN { denials += 1 }
          isStopped = reply?.code == .SERVFAIL
        }
        #expect(isStopped, "\(denials) denials were answered with a full disk")
        try FileManager.default.removeItem(atPath: disk + "/filler")
        try eventually("answers again", within: 20) {
          socket.ask(Question("last.example.com"), id: 9_999, within: 1)?.code == .NXDOMAIN
        }
        try eventually("every answered denial is in the log, those of the minute's digest too", within: 90) {
          let log = try Data(contentsOf: URL(filePath: disk + "/audit.jsonl"))
          let counts = try log.split(separator: 10).map { line in
            (try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])?["count"] as? Int ?? 0
          }
          return counts.reduce(0, +) > denials
        }
      }
    }
  }
}
