import FirewallModel
import Foundation
import Glibc
import Testing

@testable import NFTables

extension EndToEnd {
  @Suite("Rules before any container starts", .timeLimit(.minutes(5)))
  struct EarlyRulesTests {
    /// One static prefix for good, one whose time ends in years, one whose time is over.
    private static let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      egress:
        - api.github.com
        - cidr: 45.11.1.1/32
        - cidr: 45.11.1.2/32
          until: 2090-01-01T00:00:00Z
        - cidr: 45.11.1.3/32
          until: 2024-01-01T00:00:00Z

      """

    private func run(_ configuration: String = "", _ body: (Testbed, String) throws -> Void) throws {
      var settings = TestbedSettings()
      settings.startsSluice = false
      settings.policies = Self.policies
      settings.configuration += configuration
      try Testbed.run(settings) { (bed: Testbed) throws in
        try bed.sluice.writeConfiguration()
        try body(bed, bed.folder.appending(path: "state").path)
      }
    }

    private func install(_ bed: Testbed, _ state: String) throws -> Command.Output {
      try bed.sluice.command("firewall", "install", "--state", state)
    }

    private func hasTable(_ bed: Testbed) throws -> Bool {
      try Command.run(["nft", "list", "table", "inet", "sluice"], in: bed.host).status == 0
    }

    private func breakPolicy(_ bed: Testbed) throws {
      try Data("server: github-mcp\nnetworks: [ x ]\n".utf8).write(to: bed.sluice.policyFile)
    }

    @Test("with a broken configuration the rules are those that were last in force, without what had an end")
    func broken() throws {
      try run { bed, state in
        let first = try install(bed, state)
        #expect(first.status == 0, "\(first.errors)")
        #expect(try bed.connects("45.11.1.1") && bed.connects("45.11.1.2") && !bed.connects("45.11.1.3"))
        var status = stat()
        #expect(unsafe stat("\(state)/rules.nft", &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(unsafe stat(state, &status) == 0 && status.st_mode & 0o7777 == 0o755)

        for _ in 0..<2 {
          // As a boot finds it.
          _ = try bed.nft("flush ruleset")
          #expect(try bed.connects("45.11.0.66"))
          try breakPolicy(bed)
          let second = try install(bed, state)
          #expect(second.status == 0 && second.errors.contains("policies.yaml:2:"), "\(second.errors)")
          #expect(second.errors.contains("table inet sluice is as it was on 20"), "\(second.errors)")
          #expect(try !bed.connects("45.11.0.66") && !bed.connects("2a10:77::66"))
          #expect(try bed.connects("45.11.1.1") && !bed.connects("45.11.1.2") && !bed.connects("45.11.1.3"))
          // Over rules that are there already it changes nothing.
          #expect(try install(bed, state).status == 0 && !bed.connects("45.11.0.66"))
        }
        // What is remembered stays as it was while nothing better is known.
        #expect(try bed.sluice.command("firewall", "remember", "--state", state).status == 1)
        #expect(try install(bed, state).status == 0)

        // Mended, it is the configuration's again; no policy at all is no reason to open anything.
        try Data(Self.policies.utf8).write(to: bed.sluice.policyFile)
        #expect(try install(bed, state).errors == "" && bed.connects("45.11.1.2"))
        _ = try bed.nft("flush ruleset")
        try Data().write(to: bed.sluice.policyFile)
        #expect(try install(bed, state).status == 0 && !bed.connects("45.11.0.66"))
      }
    }

    @Test("what reads remembered rules may change the firewall and nothing else, whatever installs them")
    func confined() throws {
      try run { bed, state in
        #expect(try bed.sluice.command("firewall", "remember", "--state", state).status == 0)
        try breakPolicy(bed)
        // A shell in the place of nft gets the text, and complains of what it may do.
        let file = URL(filePath: "\(state)/rules.nft")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n", maxSplits: 3)
        let script = """
          while read -r key value; do
            case $key in CapPrm:|CapEff:|CapBnd:|NoNewPrivs:|Seccomp:) echo "$key $value" >&2 ;; esac
          done < /proc/self/status
          if read -r line < /etc/passwd; then echo "files are read" >&2; fi
          exit 1

          """
        try Data(
          (lines.prefix(3).map { $0 + "\n" }.joined() + script + "# end of the rules\n").utf8
        ).write(to: file)
        let install = #"mount --bind "$(readlink -f /bin/sh)" /usr/sbin/nft && exec "$@""#
        let executable = try #require(Machine.executable)
        let output = try Command.run(
          [
            "unshare", "--mount", "sh", "-c", install, "sh", executable, "firewall", "install", "--state", state,
            "--config", bed.sluice.configurationFile,
          ], in: bed.host, within: 30)
        #expect(output.status == 1 && output.errors.contains("nft refused the ruleset"), "\(output.errors)")
        for set in ["CapPrm", "CapEff", "CapBnd"] {
          #expect(output.errors.contains("\(set): 0000000000001000"), "CAP_NET_ADMIN alone: \(output.errors)")
        }
        #expect(output.errors.contains("NoNewPrivs: 1") && output.errors.contains("Seccomp: 2"), "\(output.errors)")
        #expect(!output.errors.contains("files are read"), "\(output.errors)")
      }
    }

    @Test("with a broken configuration and nothing remembered it fails, and says why")
    func forgotten() throws {
      try run { bed, state in
        try breakPolicy(bed)
        for _ in 0..<2 {
          let output = try install(bed, state)
          #expect(output.status == 1 && output.errors.contains("policies.yaml:2:"), "\(output.errors)")
          #expect(output.errors.contains("no rules that were in force are remembered in \(state)"), "\(output.errors)")
          try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
        }
        #expect(try !hasTable(bed))
      }
    }

    @Test("what another user could have written, or is not whole, is not installed")
    func untrusted() throws {
      try run { bed, state in
        #expect(try bed.sluice.command("firewall", "remember", "--state", state).status == 0)
        try breakPolicy(bed)
        let file = "\(state)/rules.nft"
        let whole = try Data(contentsOf: URL(filePath: file))
        func refused(_ reason: String) throws {
          let output = try install(bed, state)
          #expect(output.status == 1 && output.errors.contains(reason), "\(output.errors)")
          #expect(try !hasTable(bed))
        }
        _ = unsafe chown(file, 65_534, 0)
        try refused("belongs to uid 65534")
        _ = unsafe chown(file, 0, 0)
        _ = unsafe chmod(file, 0o620)
        try refused("nobody else who may write")
        _ = unsafe chmod(file, 0o600)
        _ = unsafe chmod(state, 0o777)
        try refused("nobody else who may write")
        #expect(try bed.sluice.command("firewall", "remember", "--state", state).status == 1)
        _ = unsafe chmod(state, 0o700)
        try whole.prefix(whole.count / 2).write(to: URL(filePath: file))
        try refused("is not whole")
        try FileManager.default.moveItem(atPath: file, toPath: "\(state)/elsewhere")
        try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "elsewhere")
        try refused("Too many levels of symbolic links")
        try FileManager.default.removeItem(atPath: file)
        try whole.write(to: URL(filePath: file))
        _ = unsafe chmod(file, 0o600)
        #expect(try install(bed, state).status == 0 && hasTable(bed))
      }
    }

    @Test("where a running sluice holds the table there is nothing to do; a lock that is held for nothing is a failure")
    func held() throws {
      try run { bed, state in
        let holder =
          Testbed.lockScript + """
            print("bound", lock(\(TableLock.group(.inet, "sluice"))), flush=True)
            time.sleep(600)
            """
        let other = try RunningCommand(["python3", "-c", holder], in: bed.host, folder: bed.folder)
        try eventually("the lock is taken") { other.output == "bound 0\n" }
        let output = try install(bed, state)
        #expect(output.status == 1 && output.errors.contains("there is no such table"), "\(output.errors)")
        other.signal(SIGKILL)
        _ = try other.status(within: 5)

        try bed.sluice.startAgain()
        let good = try install(bed, state)
        #expect(good.status == 0 && good.errors.contains("a running sluice holds table inet sluice"), "\(good.errors)")
        #expect(try bed.sluice.command("firewall", "remember", "--state", state).status == 0)
        try breakPolicy(bed)
        let broken = try install(bed, state)
        #expect(broken.status == 0 && broken.errors.contains("a running sluice holds"), "\(broken.errors)")
        #expect(try bed.dig("api.github.com", "A").values == ["45.11.0.10"])
      }
    }

    @Test("where the rules are not Sluice's there is nothing to install, now and after the configuration broke")
    func notOurs() throws {
      try run("firewall: { mode: off }\n") { bed, state in
        let output = try install(bed, state)
        #expect(output.status == 0 && output.errors.contains("firewall.mode is off"), "\(output.errors)")
        try breakPolicy(bed)
        let broken = try install(bed, state)
        #expect(broken.status == 0 && broken.errors.contains("the rules were not ours to write"), "\(broken.errors)")
        #expect(try !hasTable(bed))
      }
    }
  }
}
