import Foundation
import Testing

extension EndToEnd {
  /// What a client of musl sees, which every Alpine container is: it asks for both families at once, without EDNS, takes
  /// what the first datagram has, and gives up a name where one family fails. Cases of the field by their names there.
  @Suite("A client of musl", .timeLimit(.minutes(2)))
  struct MuslTests {
    private static let program = """
      #include <netdb.h>
      #include <stdio.h>
      int main(int count, char **words) {
        struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *one;
        int code = getaddrinfo(words[count - 1], "443", &hints, &list);
        if (code) return puts(gai_strerror(code)), 1;
        char text[64];
        for (one = list; one; one = one->ai_next)
          if (!getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST)) puts(text);
      }
      """

    private static func chain(_ name: String, _ links: Int, link: (Int) -> String) -> String {
      let names = [name] + (1...links).map(link)
      return zip(names, names.dropFirst()).map { "\($0). IN CNAME \($1).\n" }.joined()
        + "\(names[links]). IN A 45.11.0.20\n"
    }

    private static func settings() -> TestbedSettings {
      var settings = TestbedSettings()
      settings.policies = """
        server: github-mcp
        networks: [ 10.77.1.0/24 ]
        egress: [ "*.field.net", { host: ten.private.net, private: [ 10.1.0.0/16 ] } ]

        """
      settings.records = """
        plain.field.net. IN A 45.11.0.10
        plain.field.net. IN AAAA 2a10:77::10
        c01.field.net. IN A 45.11.0.10
        c01.field.net. IN AAAA 64:ff9b::2d0b:a
        c01b.field.net. IN A 0.0.0.0
        c01b.field.net. IN AAAA ::
        c08.field.net. IN A 45.11.0.30
        c08.field.net. IN A 10.20.0.30
        c08.field.net. IN AAAA 2a10:77::30
        c09.field.net. IN A 198.18.0.34
        ten.private.net. IN CNAME ten.privatelink.net.
        ten.privatelink.net. IN A 10.1.0.5
        c22.field.net. IN CNAME c22.edge.net.
        c22.edge.net. IN A 45.11.0.22

        """
      settings.records += chain("c04-9.field.net", 9) { "hop\($0).cdn\($0).example.net" }
      settings.records += chain("c04-11.field.net", 11) { "stop\($0).cdn\($0).example.net" }
      settings.records += chain("c04-12.field.net", 12) { "leap\($0).cdn\($0).example.net" }
      settings.records += chain("c05.field.net", 8) { "\($0)-ipv4v6e.farm.dprodmgd\($0).points.com.akadns.net" }
      settings.records += chain("c05-apart.field.net", 8) { String(repeating: "\($0)", count: 50) + ".x\($0).y\($0)" }
      for (name, count) in [("c06-30", 30), ("c06-40", 40), ("c06-600", 600)] {
        for index in 0..<count {
          settings.records += "\(name).field.net. IN A \(TestbedSettings.address(0x3000 + index))\n"
        }
      }
      return settings
    }

    @Test("a client of musl gets every name of which some address may be had, and is told of the others at once")
    func names() throws {
      try Testbed.run(Self.settings()) { (bed: Testbed) throws in
        let source = bed.folder.appending(path: "ask.c")
        let program = bed.folder.appending(path: "ask")
        let resolver = bed.folder.appending(path: "resolv.conf")
        try Data(Self.program.utf8).write(to: source)
        try Data("nameserver 10.77.1.1\n".utf8).write(to: resolver)
        try Command.must("musl-gcc -static -O1 -o \(program.path) \(source.path)")
        func ask(_ name: String) throws -> (found: [String], seconds: Double) {
          let start = Date.now
          let words = ["unshare", "-m", "sh", "-c", "mount --bind $0 /etc/resolv.conf && exec $1 $2"]
          let output = try Command.run(words + [resolver.path, program.path, name], in: bed.client)
          return (output.lines.map(String.init), Date.now.timeIntervalSince(start))
        }
        #expect(
          Set(try ask("plain.field.net").found) == ["45.11.0.10", "2a10:77::10"], "without an error this is musl")
        for (name, addresses) in [
          ("c01", ["45.11.0.10"]), ("c04-9", ["45.11.0.20"]), ("c04-11", ["45.11.0.20"]), ("c05", ["45.11.0.20"]),
          ("c05-apart", ["45.11.0.20"]), ("c08", ["2a10:77::30"]), ("c22", ["45.11.0.22"]),
        ] {
          #expect(try ask("\(name).field.net").found == addresses, "\(name)")
        }
        #expect(try ask("ten.private.net").found == ["10.1.0.5"])
        for name in ["c06-30", "c06-40", "c06-600"] {
          let found = try ask("\(name).field.net").found
          // What fits 512 octets, or, where musl asks by TCP, as many as it takes.
          #expect(found.count >= 28 && found.allSatisfy { $0.hasPrefix("45.11.") }, "\(name): \(found.count)")
        }
        for name in ["c01b.field.net", "c09.field.net", "other.net", "absent.field.net"] {
          let (found, seconds) = try ask(name)
          // A timeout of musl's is five seconds; nothing but an error's text begins with a capital.
          #expect(
            found.count == 1 && found[0].first?.isUppercase == true && seconds < 4, "\(name): \(found) \(seconds)")
        }
        for (name, code) in [("c01", "answer-not-public"), ("c01b", "upstream-blocked")] {
          let codes = try bed.sluice.events().filter { $0["destination"] as? String == "\(name).field.net" }.map {
            $0["code"] as? String
          }
          #expect(codes.contains(code), "\(name): \(codes)")
        }
        let tooLong = try bed.dig("c04-12.field.net", "A")
        #expect(tooLong.status == "SERVFAIL" && tooLong.text.contains("chain-too-long"))
        let large = try #require(
          try bed.sluice.events().first {
            $0["destination"] as? String == "c06-600.field.net" && $0["code"] as? String == "granted"
          })
        #expect(large["records_cut"] as? Int == 536 && (large["addresses"] as? [Any])?.count == 64)
        #expect(try bed.dig("c06-600.field.net", "A", "+tcp").values.count == 64)
      }
    }
  }
}
