import FirewallModel
import Foundation
import Glibc
import Testing

@testable import NFTables

extension EndToEnd {
  /// That the sandbox is on, and that everything still works in it; what it refuses is LinuxIOTests' to show.
  @Suite("Confined processes", .timeLimit(.minutes(5)))
  struct ConfinementTests {
    /// Of each thread of a process the fields by which it is confined, each different set once.
    private func confinement(_ pid: Int32) throws -> Set<[String]> {
      let tasks = try FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/task")
      return Set(
        try tasks.map { task in
          let text = try String(contentsOfFile: "/proc/\(pid)/task/\(task)/status", encoding: .utf8)
          return text.split(separator: "\n").map(String.init).filter { line in
            ["NoNewPrivs:", "Seccomp:", "Seccomp_filters:"].contains { line.hasPrefix($0) }
          }
        })
    }

    private func filters(of pid: Int32) throws -> Int {
      try #require(try Processes.status(pid, "Seccomp_filters").flatMap { Int($0) })
    }

    private func expectConfined(_ bed: Testbed) throws {
      let own = try filters(of: getpid())
      let expected: Set<[String]> = [["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t\(own + 1)"]]
      let serve = try bed.sluice.pid
      #expect(try confinement(serve) == expected)
      let bridge = Processes.descendants(of: serve)
      #expect(bridge.count == 2)
      for process in bridge { #expect(try confinement(process) == expected, "supervisor or worker") }
    }

    @Test("every thread of serve, supervisor and worker is confined, whatever process started them")
    func everyThread() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A", "+tcp").values == ["45.11.0.10"])
        try expectConfined(bed)
      }
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.launcher = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
      settings.launcher += ["--inh-caps=+net_admin,+net_bind_service", "--ambient-caps=+net_admin,+net_bind_service"]
      try Testbed.run(settings) { (bed: Testbed) throws in
        _ = unsafe chown(bed.folder.path, 54_321, 54_321)
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        try expectConfined(bed)
      }
    }

    @Test("the bridge of `firewall install` is confined before it does anything")
    func install() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let executable = try #require(Machine.executable)
        let traced = try Command.run(
          [
            "strace", "-f", "-qq", "-e", "trace=execve,landlock_restrict_self,seccomp,sendto,sendmsg", "-e",
            "signal=none",
            executable, "firewall", "install", "--config", bed.sluice.configurationFile,
          ], in: bed.host, within: 60)
        #expect(traced.status == 0 && traced.errors.contains("/usr/sbin/nft"), "\(traced.errors)")
        let supervisor = try #require(
          traced.errors.split(separator: "\n").first { $0.contains("bridge") && $0.contains("--supervisor") }
            .flatMap { line in line.split(separator: "]").first?.split(separator: " ").last }, "\(traced.errors)")
        let its = traced.errors.split(separator: "\n").filter { $0.contains("\(supervisor)]") }
        #expect(its.contains { $0.contains("landlock_restrict_self") && $0.contains("= 0") })
        #expect(its.contains { $0.contains("seccomp(SECCOMP_SET_MODE_FILTER") && $0.contains("= 0") }, "\(its)")
      }
    }

    @Test("a reload in the sandbox: a new file, a folder of policies that another took the place of, new rules")
    func reload() throws {
      try Testbed.run { (bed: Testbed) throws in
        let folder = bed.folder.appending(path: "policies").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try Data(TestbedSettings.standardPolicies.utf8).write(to: URL(filePath: folder + "/a.yaml"))
        let text = try String(contentsOfFile: bed.sluice.configurationFile, encoding: .utf8)
        try Data(text.replacingOccurrences(of: "policies: policies.yaml", with: "policies: policies").utf8).write(
          to: URL(filePath: bed.sluice.configurationFile))
        bed.sluice.stop()
        try bed.sluice.startAgain()
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")

        try FileManager.default.createDirectory(atPath: folder + ".new", withIntermediateDirectories: true)
        let wider = TestbedSettings.standardPolicies.replacingOccurrences(
          of: "  - collector.lan", with: "  - collector.lan\n  - evil.example.com")
        let third = wider + "---\nserver: third-mcp\nnetworks: [ 10.99.0.0/24 ]\negress: [ api.github.com ]\n"
        try Data(third.utf8).write(to: URL(filePath: folder + ".new/b.yaml"))
        #expect(unsafe rename(folder, folder + ".old") == 0 && rename(folder + ".new", folder) == 0)
        let reloaded = try bed.sluice.command("reload")
        #expect(reloaded.status == 0, "\(reloaded)")
        #expect(try bed.dig("evil.example.com", "A").values == ["45.11.0.66"])
        #expect(try bed.nft("list table inet sluice").contains("third-mcp-4"))
      }
    }

    @Test("supervisor and worker restart each other as often as they are killed, and no sandbox lies on another")
    func restarts() throws {
      try Testbed.run { (bed: Testbed) throws in
        let filters = try filters(of: bed.sluice.bridge)
        for round in 0..<20 {
          let before = Processes.descendants(of: try bed.sluice.pid)
          let victim = try #require(round % 2 == 0 ? before.first : before.last)
          Processes.signal(victim, SIGKILL)
          // A worker whose supervisor is gone is a child of init.
          try eventually("the bridge answers after \(round)", within: 20) {
            try bed.dig("n\(round).bulk.net", "A").values == [TestbedSettings.address(0x1000 + round)]
          }
          if Processes.descendants(of: try bed.sluice.pid).isEmpty { break }
          #expect(try self.filters(of: bed.sluice.bridge) == filters)
        }
      }
    }

    // MARK: - The lock

    @Test("no other user can take the table's lock: not by name, not by group, not as root of a namespace of its own")
    func lock() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        let group = TableLock.group(.inet, "sluice")
        let script =
          Testbed.lockScript + """
            held = []
            for name in ("sluice table inet sluice", "sluice", "sluice-lock"):
                try:
                    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                    made.bind("\\0" + name)
                    held.append(made)
                except OSError:
                    pass
            taken = [group for group in [int(sys.argv[1])] + list(range(0, 65536, 7)) if lock(group) == 0]
            print("groups", taken, flush=True)
            time.sleep(600)
            """
        for prefix in [[], ["unshare", "--user", "--map-root-user"]] {
          let thief = try RunningCommand(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] + prefix
              + ["python3", "-c", script, "\(group)"], in: bed.host, folder: bed.folder)
          defer { thief.signal(SIGKILL) }
          try eventually("it has tried: \(thief.errors)", within: 30) { thief.output.hasSuffix("\n") }
          #expect(thief.output == "groups []\n")
          try bed.sluice.start()
          #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
          let second = try bed.sluice.command("firewall", "install")
          #expect(second.status == 1 && second.errors.contains("a running sluice holds table inet sluice"), "\(second)")
          bed.sluice.stop()
        }
        // As root it is there to be had, and gone with its holder.
        let holder = try RunningCommand(
          ["python3", "-c", Testbed.lockScript + "print(lock(\(group)), flush=True); time.sleep(600)"], in: bed.host,
          folder: bed.folder)
        try eventually("root has it") { holder.output == "0\n" }
        #expect(try bed.sluice.command("firewall", "install").status == 1)
        holder.signal(SIGKILL)
        _ = try holder.status(within: 5)
        #expect(try bed.sluice.command("firewall", "install").status == 0)
      }
    }

    // MARK: - Files that root makes in the service's folder

    /// What the service's user may have put where root makes or opens a file.
    enum Trap: String, CaseIterable, CustomTestStringConvertible {
      case symbolicLink, danglingLink, hardLink, pipe, folderLink

      var testDescription: String { rawValue }
    }

    @Test("what the service's user planted makes root write nowhere else", arguments: Trap.allCases)
    func planted(_ trap: Trap) throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        let victims = bed.folder.appending(path: "victims").path
        try FileManager.default.createDirectory(atPath: victims, withIntermediateDirectories: true)
        for name in ["audit.jsonl", "audit.jsonl.ring", "audit.jsonl.grants.new", "audit.jsonl.grants", "control.sock"]
        {
          let path = "\(bed.folder.path)/log/\(name)"
          let victim = "\(victims)/\(name)"
          if trap != .danglingLink {
            try Data().write(to: URL(filePath: victim))
            _ = unsafe chmod(victim, 0o640)
          }
          // Also where it is a link.
          try? FileManager.default.removeItem(atPath: "\(bed.folder.path)/log")
          try FileManager.default.createDirectory(atPath: "\(bed.folder.path)/log", withIntermediateDirectories: true)
          _ = unsafe chown("\(bed.folder.path)/log", Machine.serviceUser.uid, Machine.serviceUser.gid)
          // By root: with fs.protected_hardlinks the user could not, and that is not to be relied on.
          let before = try status(victims), file = try? status(victim)
          switch trap {
          case .symbolicLink, .danglingLink:
            #expect(unsafe symlink(victim, path) == 0 && lchown(path, Machine.serviceUser.uid, 0) == 0)
          case .hardLink: #expect(unsafe link(victim, path) == 0)
          case .pipe: #expect(unsafe mkfifo(path, 0o666) == 0 && chown(path, Machine.serviceUser.uid, 0) == 0)
          case .folderLink:
            let folder = "\(bed.folder.path)/log"
            #expect(unsafe rmdir(folder) == 0 && symlink(victims, folder) == 0)
            #expect(unsafe lchown(folder, Machine.serviceUser.uid, 0) == 0)
          }
          try bed.sluice.writeConfiguration()
          let text = try String(contentsOfFile: bed.sluice.configurationFile, encoding: .utf8)
            .replacingOccurrences(of: "audit.jsonl", with: "log/audit.jsonl")
            .replacingOccurrences(of: "control.sock", with: "log/control.sock")
          try Data(text.utf8).write(to: URL(filePath: bed.sluice.configurationFile))
          try bed.sluice.launch()
          try eventually("it serves or refuses: \(name)", within: 20) {
            !bed.sluice.isRunning || bed.sluice.errors.contains("sluice: serving")
          }
          bed.sluice.stop()
          let after = try? status(victim)
          #expect(after?.st_uid == file?.st_uid && after?.st_mode == file?.st_mode, "\(trap) at \(name)")
          #expect(after?.st_size == file?.st_size && after?.st_ino == file?.st_ino, "\(trap) at \(name)")
          #expect(try status(victims).st_uid == before.st_uid)
          let found = try FileManager.default.contentsOfDirectory(atPath: victims)
          #expect(found == (trap == .danglingLink ? [] : [name]), "\(trap) at \(name)")
          _ = unsafe unlink(victim)
        }
      }
    }

    private func status(_ path: String) throws -> stat {
      var status = stat()
      guard unsafe lstat(path, &status) == 0 else { throw Obstacle("no \(path)") }
      return status
    }
  }
}

extension Testbed {
  /// Python that takes a table's lock as Sluice does: `lock(group)` is 0 or a negative errno.
  static let lockScript = """
    import socket, struct, sys, time
    def lock(group, sockets=[]):
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        made.bind((0, 0))
        attribute = struct.pack("=HHB3x", 5, 1, 1)
        body = struct.pack("=BBH", 0, 0, socket.htons(group)) + attribute
        made.send(struct.pack("=IHHII", 16 + len(body), 4 << 8 | 1, 5, 1, 0) + body)
        error = struct.unpack_from("=i", made.recv(4096), 16)[0]
        sockets.append(made) if error == 0 else made.close()
        return error

    """
}
