import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("The user that serves", .timeLimit(.minutes(3)))
  struct UserTests {
    @Test("started by root without `user`, serve becomes sluice and its files are sluice's; the firewall works")
    func becomesSluice() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        _ = try bed.sluice.event(of: "api.github.com")
        let user = Machine.serviceUser
        #expect(user.uid != 0)
        let ids = Array(repeating: "\(user.uid)", count: 4).joined(separator: "\t")
        #expect(try Processes.status(bed.sluice.pid, "Uid") == ids)
        #expect(try Processes.status(bed.sluice.pid, "Groups") == "")
        for file in ["audit.jsonl", "audit.jsonl.ring", "audit.jsonl.grants", "control.sock"] {
          let owner = try owner(of: bed.folder.appending(path: file).path)
          #expect(owner == user.uid, "\(file) belongs to \(owner)")
        }
        #expect(try bed.connects("45.11.0.10"))
      }
    }

    @Test("user: root stays root, and says so at the start and in check")
    func staysRoot() throws {
      var settings = TestbedSettings()
      settings.configuration += "user: root\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try Processes.status(bed.sluice.pid, "Uid") == "0\t0\t0\t0")
        #expect(try Processes.status(bed.sluice.pid, "CapEff") == "0000000000000000")
        #expect(bed.sluice.errors.contains("sluice.yaml:8:7: warning: user root"), "\(bed.sluice.errors)")
        let check = try bed.sluice.command("check")
        #expect(check.status == 0 && check.errors.contains("sluice.yaml:8:7: warning: user root"), "\(check.errors)")
      }
    }

    /// A testbed whose serve is to be started by another user than root, with the capabilities that it needs.
    private func started(as uid: UInt32) -> TestbedSettings {
      var settings = TestbedSettings()
      settings.launcher = ["setpriv", "--reuid=\(uid)", "--regid=\(uid)", "--clear-groups"]
      settings.launcher += ["--inh-caps=+net_admin,+net_bind_service", "--ambient-caps=+net_admin,+net_bind_service"]
      settings.startsSluice = false
      return settings
    }

    @Test("a serve that root did not start stays who it is, whatever `user` says")
    func staysItself() throws {
      let uid: UInt32 = 54_321
      try Testbed.run(started(as: uid)) { (bed: Testbed) throws in
        _ = unsafe chown(bed.folder.path, uid, uid)
        try bed.sluice.start()
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
        #expect(try Processes.status(bed.sluice.pid, "Uid")?.hasPrefix("\(uid)\t") == true)
        #expect(try owner(of: bed.sluice.auditFile) == uid)
      }
    }

    @Test("a thread that answers and cannot be started ends serve, and the log has its end")
    func noThread() throws {
      let uid: UInt32 = 54_322
      try Testbed.run(started(as: uid)) { (bed: Testbed) throws in
        _ = unsafe chown(bed.folder.path, uid, uid)
        try bed.sluice.start()
        // All threads of the user: the last that serve starts are those that answer.
        let threads = try Command.run(["ps", "-eLo", "ruid="]).text.split(separator: "\n")
        let count = threads.count { $0.trimmingCharacters(in: .whitespaces) == "\(uid)" }
        bed.sluice.stop()
        let before = try bed.sluice.events().count
        try bed.sluice.launch(by: ["prlimit", "--nproc=\(count - 1)"])
        try eventually("serve ends", within: 10) { !bed.sluice.isRunning }
        #expect(bed.sluice.errors.contains("a thread that answers cannot be started"), "\(bed.sluice.errors)")
        let events = try bed.sluice.events().dropFirst(before)
        #expect(events.compactMap { $0["code"] as? String }.suffix(2) == ["started", "stopped"])
        #expect((events.last?["error"] as? String)?.hasPrefix("a thread that answers cannot be started") == true)
      }
    }

    @Test("where there is no such user serve does not start, and what it says makes one; check says it before")
    func noSuchUser() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let executable = try #require(Machine.executable)
        let line = "useradd --system --no-create-home --shell /usr/sbin/nologin sluice"
        // An /etc of its own, without the user; the last serve runs after the line was.
        let script = """
          set -e
          cp -a /etc "$1/etc"
          for file in passwd group shadow gshadow; do sed -i /^sluice:/d "$1/etc/$file"; done
          mount --bind "$1/etc" /etc
          echo "== check"; "$2" check --config "$1/sluice.yaml" 2>&1 || true
          echo "== serve"; "$2" serve --config "$1/sluice.yaml" 2>&1 && exit 9
          echo "== tables"; nft list tables; ls "$1" | grep audit || true
          \(line)
          chown sluice "$1"
          echo "== again"; timeout 5 "$2" serve --config "$1/sluice.yaml" 2>&1
          """
        let output = try Command.run(
          ["unshare", "--mount", "sh", "-c", script, "sh", bed.folder.path, executable], in: bed.host, within: 40)
        #expect(output.status == 124 || output.status == 0, "\(output.status) \(output.text) \(output.errors)")
        let parts = output.text.split(separator: "== ").map(String.init)
        try #require(parts.count == 4, "\(output.text) \(output.errors)")
        #expect(parts[0].contains("sluice.yaml:1:1: error: user: there is no user sluice"))
        #expect(!parts[0].contains("ok: "), "serve would not start")
        #expect(parts[1].split(separator: "\n").last == "sluice: user: there is no user sluice; make it: \(line)")
        #expect(parts[2] == "tables\ntable inet sluice\n", "rules first, and nothing else: \(parts[2])")
        #expect(parts[3].contains("sluice: serving"), "\(parts[3])")
      }
    }

    @Test("the number of the user nobody, and root's by another name, are refused at the start")
    func numbers() throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        let executable = try #require(Machine.executable)
        let script = """
          cp /etc/passwd "$1/passwd"
          echo "anyone:x:65534:65534::/:/usr/sbin/nologin" >>"$1/passwd"
          echo "toor:x:0:0::/:/usr/sbin/nologin" >>"$1/passwd"
          mount --bind "$1/passwd" /etc/passwd
          for user in anyone toor; do
            (cat "$1/sluice.yaml"; echo "user: $user") >"$1/$user.yaml"
            "$2" serve --config "$1/$user.yaml" 2>&1 && echo "serves as $user"
          done
          exit 0
          """
        let output = try Command.run(
          ["unshare", "--mount", "sh", "-c", script, "sh", bed.folder.path, executable], in: bed.host, within: 40)
        #expect(output.text.contains("sluice: user: anyone has the number of nobody"), "\(output.text)")
        #expect(output.text.contains("sluice: user: toor is root by another name"), "\(output.text)")
        #expect(!output.text.contains("serves as"))
      }
    }

    private func owner(of path: String) throws -> UInt32 {
      var status = stat()
      guard unsafe lstat(path, &status) == 0 else { throw Obstacle("no \(path)") }
      return status.st_uid
    }
  }
}
