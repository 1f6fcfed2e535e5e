import Foundation
import Testing

extension EndToEnd {
  @Suite("Counting and taking over what was denied", .timeLimit(.minutes(5)))
  struct LogCommandTests {
    /// A log with what is worth a suggestion and what is not.
    private static let log: String = {
      func line(_ time: Int, _ name: String, _ code: String = "not-listed", _ type: String = "A", count: Int = 1)
        -> String
      {
        "{\"ts\":\"2026-11-20T09:14:\(String(format: "%02d", time)).000Z\",\"server\":\"github-mcp\",\"destination\":\"\(name)\""
          + ",\"decision\":\"block\",\"reason\":\"destination not in allowlist\",\"payload_size\":45,\"id\":\"\(time)\",\"code\":\"\(code)\""
          + ",\"client\":\"10.77.1.2\",\"client_port\":4018,\"transport\":\"udp\",\"type\":\"\(type)\",\"rcode\":\"NXDOMAIN\",\"count\":\(count)}\n"
      }
      var text = line(1, "telemetry.example.com") + line(2, "telemetry.example.com", count: 4)
      text += line(3, "mx.example.com", "not-listed", "MX")
      text += line(4, "api.github.com", "type-not-allowed", "TXT")
      for index in 0..<12 {
        text +=
          line(10 + index, "n\(index).tiles.example.org") + line(10 + index, "t\(index).github.io")
          + line(10 + index, "c\(index).co.uk")
      }
      text += line(30, "*.flood.net", count: 5000) + line(31, "single") + line(32, "a\\\\000b.example.com")
      text +=
        "{\"ts\":\"2026-11-20T09:15:00.000Z\",\"server\":\"other-mcp\",\"destination\":\"else.example.com\",\"decision\":\"block\""
        + ",\"reason\":\"x\",\"payload_size\":1,\"id\":\"9\",\"code\":\"not-listed\",\"client\":\"10.77.1.200\",\"client_port\":1"
        + ",\"transport\":\"udp\",\"type\":\"A\",\"rcode\":\"NXDOMAIN\",\"count\":1}\n"
      return text
    }()

    private func run(_ words: String...) throws -> Command.Output { try run(words, on: Self.log) }

    private func run(_ words: [String], on log: String) throws -> Command.Output {
      let executable = try #require(Machine.executable)
      let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-log-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let path = folder.appending(path: "audit.jsonl").path
      try Data(log.utf8).write(to: URL(filePath: path))
      return try Command.run([executable, "log"] + words + ["--path", path])
    }

    @Test("top counts what aggregates stand for, by any of its keys")
    func top() throws {
      let names = try run("top", "--limit", "3")
      #expect(names.lines.count == 4 && names.lines[1].hasPrefix("5000 ") && names.lines[1].contains("*.flood.net"))
      #expect(names.lines[2].hasPrefix("5 ") && names.lines[2].contains("telemetry.example.com"))
      let servers = try run("top", "--by", "server", "--json")
      #expect(
        servers.lines.first?.hasPrefix("{\"server\":\"github-mcp\",\"count\":5045,\"decisions\":[\"block\"]") == true)
      #expect(servers.lines.count == 2)
      #expect(try run("top", "--by", "client", "--server", "other-mcp").lines.count == 2)
      #expect(try run("top", "--since", "2026-11-20T09:15:00Z").lines.count == 2)
      #expect(try run("top", "--limit", "0").status == 64)
      #expect(try run("top", "--by", "port").status == 64)
    }

    @Test("--count prints how many events pass, and with --json what they stand for")
    func count() throws {
      #expect(try run("--count").lines == ["44"])
      #expect(try run("--count", "--json", "--server", "github-mcp").lines == ["{\"events\":43,\"records\":5045}"])
      #expect(try run("--count", "--name", "*.github.io", "--decision", "block").lines == ["12"])
      #expect(try run("--count", "--until", "2026-11-20 09:14:01.5Z").lines == ["1"])
      #expect(try run("--count", "--name", "never.asked.example").lines == ["0"])
      let mistyped = try run("--count", "--server", "gihub-mcp")
      #expect(
        mistyped.status == 1 && mistyped.lines.isEmpty && mistyped.errors.contains("there is no server gihub-mcp"))
      #expect(try run("--count", "--follow").status == 64)
      #expect(try run("--count", "--limit", "3").status == 64)
    }

    @Test("the table is in the order of time, and a limit is the newest: what stands for many is written late")
    func order() throws {
      func line(_ second: Int, _ name: String) -> String {
        #"{"ts":"2026-11-20T09:14:\#(second).000Z","server":"s","destination":"\#(name)","decision":"block","code":"not-listed"}"#
          + "\n"
      }
      let log = line(12, "two") + line(14, "four") + line(11, "one") + line(15, "five") + line(13, "three")
      func names(_ words: String...) throws -> [String] {
        try run(words, on: log).lines.compactMap { text in
          ["one", "two", "three", "four", "five"].first { text.contains($0) }
        }
      }
      #expect(try names() == ["one", "two", "three", "four", "five"])
      #expect(try names("--limit", "3") == ["three", "four", "five"])
      #expect(try names("--limit", "2", "--json") == ["four", "five"])
      #expect(try names("--json") == ["two", "four", "one", "five", "three"])
      #expect(try names("--limit", "0").isEmpty)
      #expect(try names("--limit", "\(Int.max)") == ["one", "two", "three", "four", "five"])
    }

    @Test("a path at which there is no log is an error, and no empty table", arguments: ["", "top", "policy", "runs"])
    func noLog(_ command: String) throws {
      let executable = try #require(Machine.executable)
      let words = [executable, "log"] + (command.isEmpty ? [] : [command])
      let output = try Command.run(words + ["--path", "/nowhere/audit.jsonl"])
      #expect(output.status == 1 && output.errors.contains("there is no log at /nowhere/audit.jsonl"), "\(output)")
    }

    /// Of the service itself, at a second of a minute, of the run with this number.
    private static func service(_ run: Int, _ second: Int, _ code: String, _ members: String) -> String {
      #"{"ts":"2026-11-20T09:14:\#(second).000Z","server":"*","destination":"","decision":"observe","reason":"r","payload_size":0,"#
        + #""id":"000000000\#(run)-0000000001","code":"\#(code)","client":null,"client_port":null,"transport":null,"#
        + #""type":null,"rcode":null,"count":1,\#(members)}"# + "\n"
    }

    @Test("what changed, whether it was up, and what opened an address are one command each")
    func questions() throws {
      let log =
        Self.service(1, 10, "started", #""version":"0.1.0","pid":7"#)
        + Self.service(
          1, 20, "policy-reloaded",
          #""policy":"b","former":"a","uid":0,"pid":4711,"cause":"files","names_added":2,"names_removed":0"#)
        + Self.service(1, 30, "stopped", #""version":"0.1.0""#)
        + Self.service(2, 40, "started", #""version":"0.1.0","pid":8"#)
        + #"{"ts":"2026-11-20T09:14:50.000Z","server":"agent","destination":"api.example.com","decision":"allow","code":"granted","client":"10.77.1.2","addresses":["198.51.100.7"]}"#
        + "\n"
      let changes = try run(["policy", "--utc"], on: log)
      #expect(changes.lines.count == 2, "\(changes.text)")
      #expect(changes.text.contains("2026-11-20 09:14:20Z  policy-reloaded  *       uid 0, pid 4711  2 names added"))
      #expect(try run(["policy", "--json"], on: log).lines == [log.split(separator: "\n")[1]])
      let mistyped = try run(["policy", "--server", "agnet"], on: log)
      #expect(mistyped.status == 1 && mistyped.lines.isEmpty && mistyped.errors.contains("there is no server agnet"))
      #expect(try run(["policy", "--server", "agent"], on: log).lines.count == 2)
      #expect(try run(["runs", "--utc"], on: log).lines.count == 3)
      #expect(try run(["runs", "--json"], on: log).lines.count == 2)
      #expect(try run(["runs", "--json", "--since", "2026-11-20T09:14:35Z"], on: log).lines.count == 1)
      for (time, status) in [("09:14:05Z", 1), ("09:14:25Z", 0), ("09:14:35Z", 1), ("09:14:45Z", 0)]
        as [(String, Int32)]
      {
        #expect(try run(["runs", "--at", "2026-11-20 \(time)"], on: log).status == status, "\(time)")
      }
      let opened = try run(["--name", "198.51.100.7", "--utc"], on: log)
      #expect(opened.lines.count == 3 && opened.lines[1] == "-- 2026-11-20 (UTC)")
      #expect(opened.lines[2].contains("api.example.com"))
      #expect(try run(["--count", "--client", "10.77.1.0/24", "--code", "granted"], on: log).lines == ["1"])
      #expect(try run(["--count", "--client", "10.77.2.0/24"], on: log).lines == ["0"])
    }

    @Test("a shell completes filters behind log, and servers of the configuration")
    func completion() throws {
      let executable = try #require(Machine.executable)
      let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-bash-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      try Data("server: github-mcp\nnetworks: [ 10.77.1.0/24 ]\negress: []\n".utf8)
        .write(to: folder.appending(path: "p.yaml"))
      let settings = folder.appending(path: "s.yaml").path
      try Data("listen: [ \"127.0.0.1:53\" ]\nupstreams: [ \"udp://127.0.0.54\" ]\npolicies: p.yaml\n".utf8)
        .write(to: URL(filePath: settings))
      func completed(_ words: String...) throws -> [Substring] {
        let quoted = ([executable] + words).map { "'\($0)'" }.joined(separator: " ")
        let last = "'\(words[words.count - 1])'"
        let script = """
          source <('\(executable)' --generate-completion-script bash)
          COMP_WORDS=(\(quoted)); COMP_CWORD=\(words.count); COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}
          _sluice sluice \(last) '\(words.count > 1 ? words[words.count - 2] : "log")'
          printf '%s\\n' "${COMPREPLY[@]}"
          """
        return try Command.run(["bash", "-c", script]).lines
      }
      #expect(try completed("log", "--cl") == ["--client"])
      #expect(try Set(completed("log", "--")).isSuperset(of: ["--client", "--code", "--rule", "--since", "--follow"]))
      #expect(try completed("log", "top", "--b") == ["--by"])
      #expect(try completed("log", "--code", "raw") == ["raw-address"])
      #expect(try completed("log", "--config", settings, "--server", "git") == ["github-mcp"])
      #expect(try completed("allow", "give", "--config", settings, "--server", "") == ["github-mcp"])
    }

    @Test("--json prints the lines as they are, a limit the last of them, and a time that is none is bad usage")
    func lines() throws {
      #expect(try run("--json").text == Self.log)
      #expect(try run("--json", "--limit", "2").lines == Self.log.split(separator: "\n").suffix(2))
      let table = try run("--name", "else.*")
      #expect(table.lines.count == 3 && table.lines[0].hasPrefix("TIME"))
      #expect(table.lines[1].hasPrefix("-- 2026-11-2") && table.lines[2].contains("other-mcp"))
      let refused = try run("--since", "tomorrow")
      #expect(refused.status == 64 && refused.errors.contains("yesterday 14:00"))
    }

    @Test("suggest admits what was denied, with evidence, and never what others can get a name under")
    func suggest() throws {
      let output = try run("suggest", "--server", "github-mcp")
      #expect(output.status == 0, "\(output.errors)")
      let lines = output.lines.map(String.init)
      #expect(lines.contains("  - telemetry.example.com") && lines.contains("  - \"*.tiles.example.org\""))
      #expect(output.text.contains("5 queries (A) of 10.77.1.2, 2026-11-20T09:14:01.000Z to 2026-11-20T09:14:02.000Z"))
      #expect(lines.contains("  - c3.co.uk") && !lines.contains("  - t3.github.io"))
      #expect(lines.contains { $0.contains("12 single-use names, such as t0.github.io") })
      #expect(
        !output.text.contains("*.github.io") && !output.text.contains("*.co.uk")
          && !output.text.contains("else.example.com"))
      #expect(lines.contains("  - host: mx.example.com") && lines.contains("    types: [ A, AAAA, MX ]"))
      #expect(lines.contains("  - host: api.github.com") && lines.contains("    types: [ A, AAAA, TXT ]"))
      #expect(lines.contains { $0.hasPrefix("  # not suggested: not-listed: *.flood.net, 5000 queries") })
      #expect(!lines.contains("  - single"))

      // What it prints is a policy once it says where the queries come from.
      let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-log-\(UUID().uuidString.prefix(8))")
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      try Data((output.text + "networks: [ 10.77.1.0/24 ]\n").utf8).write(to: folder.appending(path: "p.yaml"))
      try Data(
        "listen: [ \"127.0.0.1:53\" ]\nupstreams: [ \"udp://127.0.0.54\" ]\npolicies: p.yaml\naudit: { path: a.jsonl }\n"
          .utf8
      )
      .write(to: folder.appending(path: "s.yaml"))
      let executable = try #require(Machine.executable)
      let checked = try Command.run([executable, "check", "--config", folder.appending(path: "s.yaml").path])
      #expect(checked.status == 0, "\(checked.errors)")
      #expect(checked.text.contains("ok: 1 server, 16 names"))

      let nothing = try run("suggest", "--server", "nobody")
      #expect(nothing.status == 1 && nothing.text.isEmpty && nothing.errors.contains("there is no server nobody"))
    }
  }
}
