import Foundation
import Glibc
import TestSupport
import Testing

extension EndToEnd {
  @Suite("Connections that are inspected", .timeLimit(.minutes(3)))
  struct InspectionTests {
    private static let owner = "sluice-inspector"
    private static let policies = """
      server: github-mcp
      networks: [ 10.77.1.0/24, "fd00:77:1::/64" ]
      egress:
        - api.github.com
        - { host: inspected.github.com, inspect: "http://127.0.0.1:8080" }
        - { host: wide.github.com, inspect: "http://[::1]:8080" }
        - { host: own.github.com, inspect: "http://10.77.1.1:8082" }

      """

    /// A testbed with a TLS server behind every address, and a user for the inspector.
    private func run(_ body: (Testbed) throws -> Void) throws {
      for user in ["sluice-gate", Self.owner] {
        // It may be there already.
        _ = try? Command.must("useradd --system --no-create-home --shell /usr/sbin/nologin \(user)")
      }
      let authority = try TestAuthority()
      let identity = try authority.issue("api.github.com")
      var settings = TestbedSettings()
      settings.policies = Self.policies
      settings.verify = nil
      settings.configuration += "findings: \(Self.owner)\n"
      settings.identity = (identity.certificate, identity.key)
      settings.records += "inspected.github.com. IN A 45.11.0.14\nwide.github.com. IN A 45.11.0.14\n"
      settings.records += "own.github.com. IN A 45.11.0.15\n"
      try Testbed.run(settings) { (bed: Testbed) throws in
        try withExtendedLifetime(authority) { try body(bed) }
      }
    }

    /// Whether a client that says `name` gets a page from an address.
    private func gets(_ name: String, at address: String, from bed: Testbed) throws -> Bool {
      try Command.run(
        ["curl", "-sk", "--max-time", "8", "--connect-to", "\(name):443:\(address):443", "https://\(name)/"],
        in: bed.client
      ).status == 0
    }

    /// A connection that said a name and says nothing more, until it is cut.
    private func idle(_ name: String, at address: String, from bed: Testbed) throws -> RunningCommand {
      let words = ["python3", "-c", Self.idler, name, address]
      let client = try RunningCommand(words, in: bed.client, folder: bed.folder)
      try eventually("it is there") { client.errors.contains("there") }
      return client
    }

    private static let idler = """
      import socket, ssl, sys
      name, address = sys.argv[1:]
      link = ssl._create_unverified_context().wrap_socket(socket.create_connection((address, 443)), server_hostname=name)
      print("there", file=sys.stderr, flush=True)
      link.recv(1)
      sys.exit(2)
      """

    /// A proxy that takes connections by CONNECT: what it is asked stands in a file, and what stands in another is how it answers.
    private static let proxy = """
      import os, select, socket, sys, threading
      folder = sys.argv[1]
      def serve(link):
          head = b""
          while b"\\r\\n\\r\\n" not in head:
              part = link.recv(4096)
              if not part: return
              head += part
          with open(folder + "/asked", "ab") as file: file.write(head + b"from " + link.getpeername()[0].encode() + b"\\n")
          with open(folder + "/mode") as file: mode = file.read()
          if mode == "silent": return link.recv(1)
          if mode != "pass": return link.sendall(b"HTTP/1.1 403 Forbidden\\r\\n\\r\\n")
          address, port = head.split()[1].decode().rsplit(":", 1)
          far = socket.create_connection((address.strip("[]"), int(port)))
          link.sendall(b"HTTP/1.1 200 Connection established\\r\\n\\r\\n")
          while True:
              for one in select.select([link, far], [], [])[0]:
                  octets = one.recv(65536)
                  if not octets: return
                  (far if one is link else link).sendall(octets)
      def take(listener):
          while True:
              link = listener.accept()[0]
              def run(link=link):
                  try: serve(link)
                  except OSError: pass
                  link.close()
              threading.Thread(target=run, daemon=True).start()
      listeners = [socket.create_server(place) for place in [("127.0.0.1", 8080), ("0.0.0.0", 8081), ("10.77.1.1", 8082)]]
      listeners += [socket.create_server(("::1", 8080), family=socket.AF_INET6)]
      for listener in listeners: threading.Thread(target=take, args=(listener,)).start()
      """

    /// The events of a code, once there are so many.
    private func events(_ code: String, _ bed: Testbed, count: Int = 1) throws -> [[String: Any]] {
      var found: [[String: Any]] = []
      try eventually("\(count) events \(code)") {
        found = try bed.sluice.events().filter { $0["code"] as? String == code }
        return found.count >= count
      }
      return found
    }

    @Test("go through their inspector or nowhere; what it finds is in the log and cuts them, and that is all it may do")
    func inspected() throws {
      try run { (bed: Testbed) throws in
        let folder = bed.folder
        func mode(_ text: String) throws { try Data(text.utf8).write(to: folder.appending(path: "mode")) }
        func asked() -> String { (try? String(contentsOf: folder.appending(path: "asked"), encoding: .utf8)) ?? "" }
        func find(_ body: String, as user: String = Self.owner, at path: String = "/v1/findings") throws
          -> Command.Output
        {
          try Command.run(
            [
              "setpriv", "--reuid=\(user)", "--clear-groups", "curl", "-s", "-w", "%{http_code}", "--unix-socket",
              folder.appending(path: "findings.sock").path, "-d", body, "http://sluice\(path)",
            ])
        }
        try mode("pass")
        for name in ["inspected", "wide", "own"] { #expect(try bed.dig("\(name).github.com", "A").status == "NOERROR") }
        // There is none yet: refused each time, and the inspector's own event is one.
        for _ in 0..<2 { #expect(try !gets("inspected.github.com", at: "45.11.0.14", from: bed)) }
        #expect(try events("inspector-refused", bed).first?["cause"] as? String == "gone")
        #expect(try bed.sluice.command("status").text.contains("http://127.0.0.1:8080 down"))
        let proxy = try RunningCommand(["python3", "-c", Self.proxy, folder.path], in: bed.host, folder: folder)
        defer { proxy.signal(SIGKILL) }
        try eventually("it listens") { try Socket.connects("127.0.0.1", 8080, from: bed.host) }
        for name in ["inspected", "wide"] {
          #expect(try gets("\(name).github.com", at: "45.11.0.14", from: bed))
        }
        #expect(
          asked().contains(
            "CONNECT 45.11.0.14:443 HTTP/1.1\r\nHost: 45.11.0.14:443\r\nSluice-Name: wide.github.com\r\n"))
        #expect(asked().contains("Sluice-Server: github-mcp\r\nSluice-Client: 10.77.1.2:"))
        #expect(try !bed.sluice.command("status").text.contains("8080 down"))
        // From the loopback address also to another one of the host: its ports are free again after a second.
        #expect(try gets("own.github.com", at: "45.11.0.15", from: bed))
        #expect(asked().hasSuffix("from 127.0.0.1\n") && asked().contains("Sluice-Name: own.github.com\r\n"))
        #expect(
          try bed.sluice.command("grants", "--json").text.contains(
            "\"inspect\":[\"http://127.0.0.1:8080\",\"http://[::1]:8080\"]"))
        // What is not inspected goes straight, and nobody but the gate gets to the proxy by this.
        let before = asked()
        #expect(try bed.dig("api.github.com", "A").status == "NOERROR")
        #expect(try gets("api.github.com", at: "45.11.0.10", from: bed) && asked() == before)
        func connects(_ address: String, _ port: Int, as user: String) throws -> Bool {
          try Command.run(
            [
              "setpriv", "--reuid=\(user)", "--clear-groups", "timeout", "2", "bash", "-c",
              "exec 3<>/dev/tcp/\(address)/\(port)",
            ], in: bed.host
          ).status == 0
        }
        #expect(try connects("127.0.0.1", 8080, as: "sluice-gate"))
        for address in ["127.0.0.1", "10.77.1.1"] {
          #expect(try connects(address, 8081, as: "root") && !connects(address, 8081, as: "sluice-gate"))
        }
        #expect(try !Socket.connects("10.77.1.1", 8081, from: bed.client))
        // One that says no, and one that says nothing.
        try mode("403")
        #expect(try !gets("inspected.github.com", at: "45.11.0.14", from: bed))
        try mode("silent")
        #expect(try !gets("inspected.github.com", at: "45.11.0.14", from: bed))
        try mode("pass")
        for cause in ["http-403", "silent"] {
          try eventually(cause) { try bed.sluice.events().contains { $0["cause"] as? String == cause } }
        }
        // A finding is of one connection, by an id that its proxy alone was told.
        let live = try idle("inspected.github.com", at: "45.11.0.14", from: bed)
        let id = try #require(asked().split(separator: "Sluice-Connection: ").last?.prefix(32))
        let flag =
          "{\"connection\":\"\(id)\",\"kind\":\"personal-data\",\"action\":\"flag\",\"evidence\":\"a***\",\"octets\":77}"
        #expect(try find(flag).text == "{\"live\":true}\n201")
        let flagged = try #require(try events("inspector-flagged", bed).first)
        #expect(flagged["payload_size"] as? Int == 77 && flagged["evidence"] as? String == "a***")
        #expect(
          flagged["destination"] as? String == "inspected.github.com" && flagged["client"] as? String == "10.77.1.2")
        #expect(live.isRunning)
        #expect(try find(flag.replacing(id, with: String(repeating: "0", count: 32))).text.hasSuffix("404"))
        #expect(try find("{}").text.hasSuffix("400"))
        #expect(try find("", at: "/v1/reload").text.hasSuffix("404"))
        #expect(try find(flag, as: "nobody").status != 0)
        #expect(try find(flag.replacing("flag", with: "block")).text == "{\"live\":true}\n201")
        #expect(try live.status(within: 5) != 0)
        try eventually("the event of what was cut") {
          try bed.sluice.events().contains {
            $0["code"] as? String == "inspector-refused" && $0["finding"] as? String == "personal-data"
          }
        }
        try eventually("it is known to have ended") { try find(flag).text == "{\"live\":false}\n201" }
        // A reload counts for new connections.
        let stays = try idle("inspected.github.com", at: "45.11.0.14", from: bed)
        defer { stays.signal(SIGKILL) }
        try Data(Self.policies.replacing("inspect: \"http://127.0.0.1:8080\"", with: "inspect: off").utf8)
          .write(to: bed.sluice.policyFile)
        #expect(try bed.sluice.command("reload").status == 0)
        let known = asked()
        #expect(try gets("inspected.github.com", at: "45.11.0.14", from: bed) && asked() == known && stays.isRunning)
        #expect(try bed.sluice.command("firewall", "diff").status == 0)
        // Of the first incident, which is told once; that of the silent one is another only where ten seconds were between them.
        #expect(try events("inspector-down", bed).filter { $0["cause"] as? String == "gone" }.count == 1)
      }
    }
  }
}
