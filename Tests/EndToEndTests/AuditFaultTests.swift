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
        // Refused packets come whether there is room for their events or not.
        let scan = """
          import socket
          s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
          for i in range(40000):
              try: s.sendto(b"x", ("45.11.%d.%d" % (200 + i // 10000, 1 + i % 250), 1000 + i // 250))
              except OSError: pass
          """
        var lost = 0
        try eventually("what has no room in the ring is counted", within: 30) {
          _ = try Command.run(["python3", "-c", scan], in: bed.client, within: 20)
          let status =
            try JSONSerialization.jsonObject(
              with: Data(try bed.sluice.command("status", "--json").text.utf8)) as? [String: Any]
          lost = (status?["lost"] as? [String: Any])?["connections"] as? Int ?? 0
          return lost > 0
        }
        #expect(try bed.sluice.command("status").text.contains("connections: "))
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

    @Test("start, stop and a run that ended without stopping are events, with the version")
    func life() throws {
      try Testbed.run { (bed: Testbed) throws in
        func codes() throws -> [String] {
          try bed.sluice.events().compactMap { $0["code"] as? String }.filter {
            ["started", "stopped", "crashed"].contains($0)
          }
        }
        try eventually("the start is told") { try codes() == ["started"] }
        let started = try bed.sluice.events().first { $0["code"] as? String == "started" }
        let pid = try bed.sluice.pid
        #expect(started?["version"] as? String == "0.1.0" && started?["pid"] as? Int == Int(pid))
        #expect((started?["policy"] as? String)?.count == 32)
        kill(pid, SIGKILL)
        try bed.sluice.startAgain()
        try eventually("the end is told") { try codes() == ["started", "crashed", "started"] }
        bed.sluice.stop()
        #expect(try codes() == ["started", "crashed", "started", "stopped"])
      }
    }

    @Test("a log that was taken away goes on at its path, and event, status and metrics say so")
    func takenAway() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        _ = try bed.sluice.event(of: "evil.example.com")
        try FileManager.default.removeItem(atPath: bed.sluice.auditFile)
        var index = 0
        try eventually("another one") {
          index += 1
          // Each under a domain of its own: the names of one domain do not all have a line.
          _ = try bed.dig("a.evil-\(index).com", "A")
          return FileManager.default.fileExists(atPath: bed.sluice.auditFile)
        }
        try eventually("the event") { try bed.sluice.events().contains { $0["code"] as? String == "log-disturbed" } }
        let status = try bed.sluice.command("status")
        #expect(status.status == 0 && status.text.contains("taken away 1 time\n"), "\(status.text)")
      }
    }

    @Test("a log in a folder that is not the service's to write is said by check, at start, in status and by doctor")
    func notRotated() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let file = bed.sluice.configurationFile
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try Data(text.replacing("audit.jsonl", with: "roots/audit.jsonl").utf8).write(to: URL(filePath: file))
        try Command.must("mkdir -m 755 \(bed.folder.path)/roots")
        let told = "roots of the audit log is not user sluice's to write"
        let check = try bed.sluice.command("check")
        #expect(check.status == 0 && check.errors.contains(told), "\(check.errors)")
        try bed.sluice.startAgain()
        try eventually("said at the start") { bed.sluice.errors.contains("cannot be rotated (Permission denied)") }
        let status = try bed.sluice.command("status")
        #expect(status.text.contains("NOT ROTATED: Permission denied"), "\(status.text)")
        let doctor = try bed.sluice.command("doctor")
        #expect(doctor.text.contains(told) && doctor.text.contains("grows beyond max-size"), "\(doctor.text)")
        // One that is missing is made, and the service's.
        bed.sluice.stop()
        try Command.must("rm -r \(bed.folder.path)/roots")
        #expect(try !bed.sluice.command("check").errors.contains("audit log"))
        try bed.sluice.startAgain()
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        #expect(try !bed.sluice.command("status").text.contains("NOT ROTATED"))
      }
    }
  }
}
