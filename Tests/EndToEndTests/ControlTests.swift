import Foundation
import Glibc
import Testing

extension EndToEnd {
  @Suite("Seeing and steering the running server", .timeLimit(.minutes(5)))
  struct ControlTests {
    private func object(_ text: String) throws -> [String: Any] {
      try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    private func objects(_ text: String) throws -> [[String: Any]] {
      try text.split(separator: "\n").map { try object(String($0)) }
    }

    @Test("status counts what was asked, by what became of it")
    func status() throws {
      try Testbed.run { (bed: Testbed) throws in
        for _ in 0..<3 { #expect(try bed.dig("api.github.com", "A").status == "NOERROR") }
        for _ in 0..<2 { #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN") }
        #expect(try bed.dig("bad.github.com", "A").text.contains("EDE: 15"))
        #expect(try bed.dig("localhost", "A").status == "NOERROR")
        #expect(try bed.dig("api.github.com", "AAAA", "+tcp").status == "NOERROR")
        let output = try bed.sluice.command("status", "--json")
        #expect(output.status == 0, "\(output.errors)")
        let status = try object(output.text)
        let queries = try #require(status["queries"] as? [String: Any])
        #expect(queries["cached"] as? Int == 2 && queries["resolved"] as? Int == 2)
        // The address that is not public is turned away as well.
        #expect(queries["denied"] as? Int == 3 && queries["malformed"] as? Int == 0)
        #expect((queries["special"] as? Int ?? 0) >= 1)
        #expect((status["bridge"] as? [String: Any])?["grants"] as? Int == 2)
        #expect((status["policy"] as? [String: Any])?["servers"] as? Int == 2)
        let upstreams = try #require(status["upstreams"] as? [[String: Any]])
        #expect(upstreams.first?["healthy"] as? Bool == true && upstreams.first?["latency_ms"] is Double)
        let text = try bed.sluice.command("status").text
        #expect(text.contains("2 cached, 2 resolved, 3 denied"))

        bed.sluice.stop()
        let gone = try bed.sluice.command("status")
        #expect(gone.status == 1 && gone.errors.contains("no sluice is serving there"))
      }
    }

    @Test("the cache is listed, and flushing a name closes what only it kept open")
    func flush() throws {
      var settings = TestbedSettings()
      settings.policies = settings.policies.replacing("  - gone.github.com\n", with: "  - shared.github.com\n")
      settings.records += "shared.github.com. IN A 45.11.0.10\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        for name in ["api.github.com", "shared.github.com", "uploads.github.com", "www.vendor.net"] {
          #expect(try bed.dig(name, "A").status == "NOERROR")
        }
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let entries = try objects(try bed.sluice.command("cache", "list", "--json").text)
        #expect(
          entries.map { $0["name"] as? String } == [
            "api.github.com", "shared.github.com", "uploads.github.com", "www.vendor.net",
          ])
        #expect(entries[0]["hits"] as? Int == 1 && entries[0]["addresses"] as? [String] == ["45.11.0.10"])
        #expect(entries[3]["chain"] as? [String] == ["www.vendor.net", "cdn.edge.net", "pop.edge.net"])
        let shown = try bed.sluice.command("cache", "show", "github-mcp", "API.github.com.")
        #expect(shown.status == 0 && shown.text.contains("45.11.0.10"))
        #expect(try bed.sluice.command("cache", "show", "github-mcp", "other.github.com").status == 1)
        let unknown = try bed.sluice.command("cache", "list", "--server", "nobody")
        #expect(unknown.status == 1 && unknown.errors.contains("there is no server nobody"))

        let kept = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        let cut = try Socket(streamTo: "45.11.0.11", 443, from: bed.client)
        // Another answer still holds the first one's address.
        #expect(
          try object(bed.sluice.command("cache", "flush", "--all", "--name", "api.github.com", "--json").text)[
            "addresses_closed"] as? Int == 0)
        #expect(
          try object(bed.sluice.command("cache", "flush", "--all", "--name", "uploads.github.com", "--json").text)[
            "addresses_closed"] as? Int == 1)
        try eventually("the connection is cut") { !cut.isAlive() }
        #expect(kept.isAlive())
        #expect(try bed.connects("45.11.0.10"))
        #expect(try !bed.connects("45.11.0.11"))
        #expect(try objects(try bed.sluice.command("cache", "list", "--json").text).count == 2)
        let all = try object(bed.sluice.command("cache", "flush", "--all", "--json").text)
        #expect(all["entries"] as? Int == 2)
        #expect(try !bed.connects("45.11.0.10"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        let events = try bed.sluice.events().filter { $0["code"] as? String == "cache-flushed" }
        #expect(events.map { $0["destination"] as? String } == ["api.github.com", "uploads.github.com", ""])
        #expect(events.allSatisfy { $0["uid"] as? Int == 0 && ($0["pid"] as? Int ?? 0) > 1 })
      }
    }

    @Test("what cuts connections of every server asks on a terminal, and wants --all elsewhere")
    func scope() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let connection = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        for words in [["cache", "flush"], ["grants", "revoke", "--name", "api.github.com"]] {
          let executable = try #require(Machine.executable)
          let command = [executable] + words + ["--config", bed.sluice.configurationFile]
          let refused = try Command.run(command, in: bed.host)
          #expect(refused.status == 64 && refused.errors.contains("--all"), "\(refused.errors)")
          #expect(try Command.run(command + ["--all", "--server", "github-mcp"], in: bed.host).status == 64)
          let line = command.joined(separator: " ")
          let asked = try Command.run(
            ["sh", "-c", "echo n | script -qec '\(line)' /dev/null"], in: bed.host)
          #expect(
            asked.status == 1 && asked.text.contains("of every server") && asked.text.contains("nothing was changed"))
        }
        #expect(connection.isAlive())
        #expect(try objects(try bed.sluice.command("cache", "list", "--json").text).count == 1)
        let line = "\(try #require(Machine.executable)) cache flush --config \(bed.sluice.configurationFile)"
        let agreed = try Command.run(["sh", "-c", "echo y | script -qec '\(line)' /dev/null"], in: bed.host)
        #expect(agreed.status == 0 && agreed.text.contains("1 answer forgotten"), "\(agreed.text)")
        try eventually("the connection is cut") { !connection.isAlive() }
      }
    }

    @Test("an address is revoked with every answer that promised it, until it is asked for again")
    func revoke() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("uploads.github.com", "A").status == "NOERROR")
        let cut = try Socket(streamTo: "45.11.0.10", 443, from: bed.client)
        #expect(try bed.sluice.command("grants", "revoke").status == 64)
        #expect(try bed.sluice.command("grants", "revoke", "--all", "--address", "45.11.0").status == 64)
        let closed = try bed.sluice.command("grants", "revoke", "--all", "--address", "45.11.0.10")
        #expect(closed.text.hasPrefix("1 address closed that 1 answer held"), "\(closed.text)\(closed.errors)")
        try eventually("the connection is cut") { !cut.isAlive() }
        #expect(try !bed.connects("45.11.0.10"))
        #expect(try bed.connects("45.11.0.11"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.10"))
        #expect(
          try bed.sluice.events().contains {
            $0["code"] as? String == "grants-revoked" && $0["destination"] as? String == "45.11.0.10"
              && $0["uid"] as? Int == 0
          })
      }
    }

    @Test("explain --live adds what the running server remembers and has open, and whether its policy is this one")
    func explain() throws {
      try Testbed.run { (bed: Testbed) throws in
        let before = try bed.sluice.command("explain", "--live", "10.77.1.2", "api.github.com")
        #expect(before.status == 0 && before.text.contains("open            nothing"), "\(before)")
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let after = try object(bed.sluice.command("explain", "--live", "--json", "10.77.1.2", "API.github.com").text)
        #expect(after["decision"] as? String == "allow" && after["ports"] as? [String] == ["443/tcp"])
        let live = try #require(after["live"] as? [String: Any])
        #expect(live["as_in_files"] as? Bool == true)
        let cached = try #require((live["cache"] as? [[String: Any]])?.first)
        #expect(cached["addresses"] as? [String] == ["45.11.0.10"] && cached["hits"] as? Int == 0)
        let grant = try #require((live["grants"] as? [[String: Any]])?.first)
        #expect(grant["address"] as? String == "45.11.0.10" && grant["port"] as? Int == 443)
        let open = try bed.sluice.command("explain", "--live", "github-mcp", "45.11.0.10", "443/tcp").text
        #expect(open.contains("open now for a name") && open.contains("for api.github.com on 443/tcp for "), "\(open)")
        let closed = try bed.sluice.command("explain", "--live", "github-mcp", "45.11.0.66").text
        #expect(closed.contains("open for no name"), "\(closed)")
        let text = TestbedSettings.standardPolicies.replacing("  - uploads.github.com\n", with: "")
        try Data(text.utf8).write(to: bed.sluice.policyFile)
        let other = try object(
          bed.sluice.command("explain", "--live", "--json", "github-mcp", "uploads.github.com").text)
        #expect(
          other["decision"] as? String == "block"
            && (other["live"] as? [String: Any])?["as_in_files"] as? Bool == false)
        #expect(
          try object(bed.sluice.command("explain", "--live", "--json", "192.0.2.1", "a.example").text)["server"] == nil)
      }
    }

    @Test("every answer is what the OpenAPI description says")
    func description() throws {
      try Testbed.run { (bed: Testbed) throws in
        for name in ["api.github.com", "www.vendor.net", "bad.github.com", "gone.github.com"] {
          _ = try bed.dig(name, "A")
        }
        let validated = try Command.run(
          [
            "\(Machine.repository)/Tests/control-api/validate",
            "\(Machine.repository)/Documentation/control-api.openapi.yaml",
            bed.sluice.folder.appending(path: "control.sock").path,
          ], within: 60)
        #expect(validated.status == 0, "\(validated.text)\(validated.errors)")
      }
    }

    @Test("a service manager hears when it is ready, that it lives, and when it stops")
    func serviceManager() throws {
      try Testbed.run { (bed: Testbed) throws in
        bed.sluice.stop()
        let executable = try #require(Machine.executable)
        let script = """
          import os, signal, socket, subprocess, sys, time
          path = sys.argv[1] + "/notify"
          listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
          listener.bind(path)
          os.chmod(path, 0o777)  # as systemd has it: services have users of their own
          listener.settimeout(20)
          environment = dict(os.environ, NOTIFY_SOCKET=path, WATCHDOG_USEC="400000")
          process = subprocess.Popen(sys.argv[2:], env=environment, stderr=subprocess.DEVNULL)
          heard = [listener.recv(4096).decode() for _ in range(4)]
          process.send_signal(signal.SIGTERM)
          while "STOPPING=1" not in heard:
              heard.append(listener.recv(4096).decode())
          print(heard[0].split("\\n")[0], heard[1], heard[2], heard[3], heard[-1], process.wait())
          """
        let heard = try Command.run(
          [
            "python3", "-c", script, bed.sluice.folder.path, executable, "serve", "--config",
            bed.sluice.configurationFile,
          ],
          in: bed.host, within: 40)
        #expect(heard.text == "READY=1 WATCHDOG=1 WATCHDOG=1 WATCHDOG=1 STOPPING=1 0\n", "\(heard)")
      }
    }

    @Test("top draws what goes on, follows the terminal's size, and ends by q")
    func top() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN")
        let plain = try bed.sluice.command("top", "--interval", "0.2")
        #expect(
          plain.status == 0 && plain.text.contains("github-mcp") && plain.text.contains("evil.example.com"), "\(plain)")
        #expect(!plain.text.contains("\u{1B}"))
        let executable = try #require(Machine.executable)
        let script = """
          import fcntl, os, pty, re, struct, sys, termios, time
          os.environ["TERM"] = "xterm"
          pid, fd = pty.fork()
          if pid == 0:
              os.execv(sys.argv[1], sys.argv[1:])
          def size(rows, columns):
              fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
          def read(seconds):
              text, end = b"", time.time() + seconds
              os.set_blocking(fd, False)
              while time.time() < end:
                  try:
                      text += os.read(fd, 65536)
                  except BlockingIOError:
                      time.sleep(0.02)
                  except OSError:
                      break
              return text.decode(errors="replace")
          size(40, 150)
          wide = read(1.5)
          size(6, 30)
          read(0.6)
          narrow = read(0.6)
          os.write(fd, b"xq")
          rest = read(3)
          status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
          frames = narrow.split("\\x1b[H")[1:]
          longest = max(len(line.strip("\\r")) for frame in frames for line in re.sub(r"\\x1b\\[[0-9;]*[A-Za-z]", "", frame).split("\\r\\n"))
          print("github-mcp" in wide, "newest events" in wide, "\\x1b[?1049l" in rest, longest <= 30, narrow.count("\\r\\n") <= 40, status)
          """
        let shown = try Command.run(
          ["python3", "-c", script, executable, "top", "--interval", "0.2", "--config", bed.sluice.configurationFile],
          in: bed.host)
        #expect(shown.text == "True True True True True 0\n", "\(shown)")
      }
    }

    @Test("what was granted is compared with what the kernel holds")
    func kernel() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try bed.dig("api.github.com", "AAAA").status == "NOERROR")
        let same = try bed.sluice.command("grants", "--kernel")
        #expect(same.status == 0 && same.text == "no difference: 2 addresses granted and open\n", "\(same)")
        // While the worker stands still nothing mends what another program does to the sets.
        let worker = try bed.sluice.bridge
        kill(worker, SIGSTOP)
        defer { kill(worker, SIGCONT) }
        _ = try bed.nft("add element inet sluice github-mcp-4 { 45.11.0.99 . tcp . 443 timeout 60s }")
        _ = try bed.nft("delete element inet sluice github-mcp-6 { 2a10:77::10 . tcp . 443 }")
        let other = try bed.sluice.command("grants", "--kernel", "--json")
        #expect(other.status == 1)
        let rows = try objects(other.text)
        #expect(rows.map { $0["difference"] as? String } == ["not-granted", "not-open"])
        #expect(rows.map { $0["address"] as? String } == ["45.11.0.99", "2a10:77::10"])
        let socket = bed.sluice.folder.appending(path: "control.sock").path
        let executable = try #require(Machine.executable)
        let asked = try Command.run([executable, "grants", "--control", socket, "--json"])
        #expect(try objects(asked.text).map { $0["names"] as? [String] } == [["api.github.com"], ["api.github.com"]])
        #expect(try Command.run([executable, "grants", "--kernel"]).status == 64)
      }
    }

    @Test("reload tells what changed; a broken file changes nothing and every error is told")
    func reload() throws {
      try Testbed.run { (bed: Testbed) throws in
        for name in ["uploads.github.com", "api.github.com", "onlya.github.com"] {
          #expect(try bed.dig(name, "A").status == "NOERROR")
        }
        let text = TestbedSettings.standardPolicies
          .replacing("  - onlya.github.com\n", with: "  - host: onlya.github.com\n    ports: [ 80/tcp ]\n")
          .replacing("  - uploads.github.com\n", with: "  - new.github.com\n")
          .replacing("    ports: any\n", with: "    ports: [ 443/tcp ]\n")
        try Data(text.utf8).write(to: bed.sluice.policyFile)
        let output = try bed.sluice.command("reload", "--json")
        #expect(output.status == 0, "\(output.errors)")
        let reload = try object(output.text)
        let changes = try #require(reload["changes"] as? [[String: Any]])
        #expect(changes.map { $0["server"] as? String } == ["github-mcp", "other-mcp"])
        #expect(changes[0]["added"] as? [String] == ["new.github.com"])
        #expect(changes[0]["removed"] as? [String] == ["uploads.github.com"])
        func altered(_ index: Int) -> [String] {
          (changes[index]["altered"] as? [[String: Any]] ?? []).map { change in
            let texts = ["was", "now"].map { (change[$0] as? [String] ?? []).joined(separator: ",") }
            return "\(change["entry"] ?? "") \(change["key"] ?? "") \(texts[0]) \(texts[1])"
          }
        }
        #expect(altered(0) == ["onlya.github.com ports 443/tcp 80/tcp"])
        #expect(altered(1) == ["api.github.com ports any 443/tcp"])
        #expect(reload["addresses_closed"] as? Int == 2)
        #expect(try !bed.connects("45.11.0.11"))
        // What is granted as before is still answered from the cache; what has other ports is asked anew.
        let cached = try objects(try bed.sluice.command("cache", "list", "--json").text)
        #expect(cached.map { $0["name"] as? String } == ["api.github.com"])
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(
          try objects(try bed.sluice.command("cache", "list", "--json").text).first?["hits"] as? Int == 1)
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.dig("onlya.github.com", "A").status == "NOERROR")
        #expect(try bed.connects("45.11.0.13", 80))
        #expect(try !bed.connects("45.11.0.13", 443))
        let event = try #require(try bed.sluice.events().last { $0["code"] as? String == "policy-reloaded" })
        #expect(event["names_added"] as? Int == 1 && event["names_removed"] as? Int == 1 && event["uid"] as? Int == 0)
        #expect(event["entries_added"] as? [String] == ["github-mcp: new.github.com"])
        #expect(event["entries_removed"] as? [String] == ["github-mcp: uploads.github.com"])
        #expect((event["changed"] as? [String])?.first == "github-mcp: onlya.github.com: ports: 443/tcp -> 80/tcp")

        try Data("server: github-mcp\nnetworks: [ nonsense ]\negress: [ 'a b' ]\n".utf8).write(
          to: bed.sluice.policyFile)
        let refused = try bed.sluice.command("reload")
        #expect(refused.status == 1 && refused.errors.contains("the policy in force stays"))
        #expect(refused.errors.contains("policies.yaml:2") && refused.errors.contains("policies.yaml:3"))
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let policy = try #require(try object(bed.sluice.command("status", "--json").text)["policy"] as? [String: Any])
        #expect(policy["fingerprint"] as? String == reload["policy"] as? String)

        // What only looks goes by the policy in force, and says so.
        let explained = try bed.sluice.command("explain", "github-mcp", "new.github.com")
        #expect(explained.status == 0 && explained.text.contains("policies.yaml:"), "\(explained)")
        #expect(
          explained.errors.contains("policies.yaml:2") && explained.errors.contains("in force"), "\(explained.errors)")
        for open in [
          try bed.sluice.command("grants"), try bed.sluice.command("grants", "--kernel"),
          try bed.sluice.command("grants", "--server", "github-mcp"),
        ] {
          #expect(open.status == 0 && open.errors.contains("in force"), "\(open)")
        }
        #expect(try bed.sluice.command("grants").text.contains("onlya.github.com"))
        #expect(try bed.sluice.command("grants", "--server", "gihub-mcp").errors.contains("did you mean github-mcp?"))
        #expect(try bed.sluice.command("log", "--server", "gihub-mcp").errors.contains("there is no server gihub-mcp"))
        #expect(try bed.sluice.command("log", "--server", "github-mcp").status == 0)
        bed.sluice.stop()
        #expect(try bed.sluice.command("explain", "github-mcp", "new.github.com").status == 1)
      }
    }

    @Test(
      "what cidr: opens is listed and explained; a refusal beside it says which entry; keys that need a restart are told"
    )
    func cidr() throws {
      var settings = TestbedSettings()
      settings.policies = settings.policies.replacing(
        "  - uploads.github.com\n", with: "  - uploads.github.com\n  - { cidr: 45.11.0.64/30, ports: [ 443/tcp ] }\n")
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.connects("45.11.0.66"))
        #expect(try bed.sluice.command("grants").text.contains("45.11.0.64/30"))
        let row = try #require(try objects(bed.sluice.command("grants", "--json").text).last)
        #expect(row["prefix"] as? String == "45.11.0.64/30" && row["ports"] as? [String] == ["443/tcp"])
        #expect((row["bytes"] as? Int ?? 0) > 0 && (row["packets"] as? Int ?? 0) > 1)
        let explained = try object(bed.sluice.command("explain", "github-mcp", "45.11.0.66", "443/tcp", "--json").text)
        #expect(explained["decision"] as? String == "allow" && explained["code"] as? String == "cidr")
        #expect(try !bed.connects("45.11.0.66", 80))
        try eventually("the refusal is told") {
          try bed.sluice.events().contains {
            $0["code"] as? String == "wrong-port" && $0["address"] as? String == "45.11.0.66"
              && $0["rule"] as? String == row["rule"] as? String
          }
        }

        // Another server goes, and another upstream is named.
        let (github, _) = try #require(
          settings.policies.range(of: "---").map { (settings.policies[..<$0.lowerBound], $0.upperBound) })
        try Data(github.utf8).write(to: bed.sluice.policyFile)
        let file = bed.sluice.configurationFile
        let text = try String(contentsOfFile: file, encoding: .utf8)
        try Data(text.replacing("udp://\(Testbed.upstreamAddress)", with: "udp://192.0.2.77").utf8)
          .write(to: URL(fileURLWithPath: file))
        let reload = try bed.sluice.command("reload")
        #expect(reload.status == 0 && reload.text.contains("other-mcp: removed"), "\(reload)")
        #expect(
          reload.text.contains("needs a restart: upstreams: udp://192.0.2.54:53 -> udp://192.0.2.77:53"), "\(reload)")
        #expect(try bed.sluice.command("status").text.contains("needed for upstreams: "))
        try eventually("nothing of the server is left") {
          try !bed.nft("list table inet sluice").contains("other-mcp")
        }
      }
    }

    @Test("a real Prometheus scrapes the metrics, evaluates the shipped rules, and the dashboard asks for nothing else")
    func metrics() throws {
      var settings = TestbedSettings()
      settings.configuration += "metrics: \"127.0.0.1:9153\"\n"
      // The gate has figures of its own.
      settings.verify = nil
      _ = try? Command.must("useradd --system --no-create-home --shell /usr/sbin/nologin sluice-gate")
      try Testbed.run(settings) { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        for _ in 0..<3 { #expect(try bed.dig("evil.example.com", "A").status == "NXDOMAIN") }
        func get(_ url: String) throws -> String {
          try Command.run(["curl", "-s", "-g", "--max-time", "10", url], in: bed.host).text
        }
        let text = try get("http://127.0.0.1:9153/metrics")
        #expect(text.contains("sluice_queries_total{server=\"github-mcp\",verdict=\"denied\",code=\"NXDOMAIN\"} 3\n"))
        #expect(text.contains("sluice_commits_total{result=\"committed\"} 1\n"))
        #expect(!text.contains("evil") && !text.contains("api.github.com"))
        let scrape = bed.sluice.folder.appending(path: "metrics.txt")
        try Data(text.utf8).write(to: scrape)
        let checked = try Command.run(["sh", "-c", "promtool check metrics < '\(scrape.path)'"])
        #expect(checked.status == 0 && checked.text.isEmpty, "\(checked.text)\(checked.errors)")
        #expect(try get("http://127.0.0.1:9153/readyz") == "ready\n")
        #expect(try get("http://127.0.0.1:9153/v1/status").contains("no such path"))

        let folder = bed.sluice.folder.appending(path: "prometheus")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let shipped = "\(Machine.repository)/Examples/monitoring"
        let configuration = try String(contentsOfFile: "\(shipped)/prometheus.yml", encoding: .utf8)
          .replacing("15s", with: "1s")
        try Data(configuration.utf8).write(to: folder.appending(path: "prometheus.yml"))
        // As shipped, but for how long a fault must last before an operator is woken.
        let rules = try String(contentsOfFile: "\(shipped)/sluice.rules.yml", encoding: .utf8)
          .replacing(/for: [0-9]+[smh]/, with: "for: 2s")
        try Data(rules.utf8).write(to: folder.appending(path: "sluice.rules.yml"))
        let prometheus = try RunningCommand(
          [
            "prometheus", "--config.file=\(folder.path)/prometheus.yml", "--storage.tsdb.path=\(folder.path)/data",
            "--web.listen-address=127.0.0.1:9090",
          ], in: bed.host, folder: folder)
        defer {
          prometheus.signal(SIGKILL)
          _ = try? prometheus.status(within: 5)
        }
        func query(_ expression: String) throws -> [[String: Any]] {
          let escaped = expression.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
          let answer = try object(try get("http://127.0.0.1:9090/api/v1/query?query=\(escaped)"))
          #expect(answer["status"] as? String == "success", "\(expression): \(answer)")
          return (answer["data"] as? [String: Any])?["result"] as? [[String: Any]] ?? []
        }
        try eventually("Prometheus has scraped", within: 30) {
          (try? query("sluice_queries_total{verdict=\"denied\"} == 3").count) == 1
        }
        let dashboard = try object(try String(contentsOfFile: "\(shipped)/dashboard.json", encoding: .utf8))
        for panel in try #require(dashboard["panels"] as? [[String: Any]]) {
          for target in try #require(panel["targets"] as? [[String: Any]]) {
            let expression = try #require(target["expr"] as? String).replacing("$__rate_interval", with: "10s")
            _ = try query(expression)
            for name in expression.matches(of: /sluice_[a-z_]+/) {
              #expect(text.contains("\n\(name.output)"), "\(name.output) of the dashboard is no figure")
            }
          }
        }
        let read = try object(try get("http://127.0.0.1:9090/api/v1/rules"))
        let groups = try #require((read["data"] as? [String: Any])?["groups"] as? [[String: Any]])
        let alerts = try #require(groups.first?["rules"] as? [[String: Any]])
        #expect(alerts.count == 15 && alerts.allSatisfy { $0["health"] as? String != "err" })

        // Nothing can change the kernel: the alert for it fires, before serve gives the bridge up.
        let bridge = Processes.descendants(of: try bed.sluice.pid)
        for process in bridge { Processes.signal(process, SIGSTOP) }
        defer { for process in bridge { Processes.signal(process, SIGCONT) } }
        try eventually("the bridge is told to be down", within: 30) {
          (try? query("sluice_bridge_up == 0").count) == 1
        }
        #expect(try get("http://127.0.0.1:9153/readyz").contains("the firewall bridge is down"))
        try eventually("the alert fires", within: 30) {
          try query("ALERTS{alertname=\"SluiceEnforcementDegraded\",alertstate=\"firing\"}").isEmpty == false
        }
        #expect(try bed.sluice.command("status").status == 1)
      }
    }

    @Test("who is neither root nor the service may read, if the socket lets them in, and change nothing")
    func permissions() throws {
      try Testbed.run { (bed: Testbed) throws in
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        let socket = bed.sluice.folder.appending(path: "control.sock").path
        var status = stat()
        #expect(unsafe stat(socket, &status) == 0 && status.st_mode & 0o777 == 0o660)
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        func curl(_ words: String...) throws -> String {
          try Command.run(nobody + ["curl", "-s", "-S", "--unix-socket", socket] + words).text
        }
        _ = unsafe chmod(bed.sluice.folder.path, 0o755)
        #expect(try curl("http://sluice/v1/status").isEmpty)
        _ = unsafe chmod(socket, 0o666)
        #expect(try object(curl("http://sluice/v1/status"))["pid"] as? Int == Int(bed.sluice.pid))
        for call in [["-X", "DELETE", "http://sluice/v1/cache"], ["-X", "POST", "http://sluice/v1/reload"]] {
          let answer = try object(try Command.run(nobody + ["curl", "-s", "--unix-socket", socket] + call).text)
          #expect((answer["error"] as? String)?.contains("uid 65534 may read only") == true)
        }
        #expect(try bed.connects("45.11.0.10"))
        #expect(try bed.sluice.events().allSatisfy { $0["code"] as? String != "cache-flushed" })
      }
    }
  }
}
