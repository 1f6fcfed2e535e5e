import EgressPolicy
import IPNetwork
import Testing

@testable import Settings

@Suite struct SettingsDifferenceTests {
  private func difference(_ change: (inout Settings) -> Void) throws -> SettingsDifference {
    let running = try #require(loadConfig(config()).settings)
    var read = running
    change(&read)
    return SettingsDifference(from: running, to: read)
  }

  private func texts(_ changes: [ChangedValue]) -> [String] { changes.map(\.description) }

  @Test("files that say the same differ in nothing")
  func same() throws {
    let none = try difference { _ in }
    #expect(none.taken.isEmpty && none.needsRestart.isEmpty)
  }

  @Test("what a reload takes is told apart from what needs a restart, each with what it was and what it is")
  func values() throws {
    let difference = try difference { read in
      read.upstreams = []
      read.permits.maxSeconds = 3600
      read.firewall.keepInUseSeconds = 90
      read.sinkhole.answer = .refused
      read.user.name = "other"
    }
    #expect(texts(difference.taken) == ["permits.max: 1d -> 1h"])
    #expect(
      texts(difference.needsRestart) == [
        "upstreams: udp://127.0.0.2:53 -> none", "sinkhole.answer: nxdomain -> refused",
        "firewall.keep-in-use: off -> 90s", "user: sluice -> other",
      ])
  }

  @Test("what is believed of an upstream is in force at once, its address after a restart")
  func trust() throws {
    func upstream(_ last: UInt8, _ authorities: String?) -> UpstreamAddress {
      var upstream = UpstreamAddress(
        scheme: .tls, address: IPAddress(v4: 0xC000_0200 | UInt32(last)), port: 853, tlsName: "a.example")
      upstream.authorities = authorities
      return upstream
    }
    var running = try #require(loadConfig(config()).settings)
    var read = running
    (running.upstreams, read.upstreams) = ([upstream(1, nil)], [upstream(1, "/etc/a.pem")])
    let believed = SettingsDifference(from: running, to: read)
    let told = "upstreams: tls://192.0.2.1:853#a.example -> tls://192.0.2.1:853#a.example ca /etc/a.pem"
    #expect(texts(believed.taken) == [told] && believed.needsRestart.isEmpty)
    #expect(SettingsDifference(from: running.trusting(as: read), to: read).taken.isEmpty)
    read.upstreams = [upstream(2, "/etc/a.pem")]
    let moved = SettingsDifference(from: running, to: read)
    #expect(moved.taken.isEmpty)
    #expect(
      texts(moved.needsRestart) == ["upstreams: tls://192.0.2.1:853#a.example -> tls://192.0.2.2:853#a.example"])
  }

  /// Another value than the default for each key that can be changed, as the files write it.
  private static let others = [
    "listen": #"[ "127.0.0.1:5354" ]"#, "workers": "200", "upstreams": "[ udp://127.0.0.3 ]", "zones": "[]",
    "forward": "[ { zone: corp.example, upstreams: [ udp://127.0.0.4 ] } ]", "private": "[ 10.2.0.0/16 ]",
    "cname": "listed",
    "sinkhole.answer": "refused", "sinkhole.ttl": "6s", "unknown-clients": "drop", "firewall.mode": "sets",
    "firewall.table": "inet other", "firewall.min-lifetime": "61s", "firewall.grace": "31s",
    "firewall.max-lifetime": "2h", "firewall.deadline": "251ms", "firewall.input-fence": "off",
    "firewall.max-elements-per-server": "16", "firewall.max-elements-per-name": "1", "firewall.keep-in-use": "90s",
    "firewall.cut-flows": "off", "firewall.harvest": "11s", "firewall.exclusive": "on", "firewall.gate-port": "61444",
    "verify": "address", "ech": "allow", "inspect": "http://127.0.0.1:8080",
    "findings": "other", "limits": "{ max-bytes: 1MiB, on-excess: audit }",
    "cache.max-entries-per-server": "1", "cache.max-ttl": "2h", "cache.max-negative-ttl": "6m",
    "cache.prefetch": "off", "serve-stale.max-stale": "30m",
    "audit.path": "/tmp/other.jsonl", "audit.max-size": "65MiB", "audit.keep": "11", "audit.compress": "on",
    "audit.allowed": "all", "audit.volume": "1h", "audit.drops": "off", "control": "/tmp/other.sock",
    "metrics": "127.0.0.1:9153", "user": "other", "watch": "on", "state": "/tmp/other", "release": "[ 10.1.0.0/24 ]",
    "permits.max": "1h", "permits.ports": "any", "dnssec": "off", "trust-anchors": "policy.yaml",
    "lists": "/usr/share",
  ]

  /// A configuration in which one key is otherwise.
  private func text(with key: String?) -> String {
    var fields = [
      "listen": #"[ "127.0.0.1:5353" ]"#, "upstreams": "[ udp://127.0.0.2 ]", "policies": "policy.yaml",
      "audit": "{ path: /tmp/audit.jsonl }",
    ]
    if let key, let value = Self.others[key] {
      let parts = key.split(separator: ".").map(String.init)
      switch (parts.first, parts.last) {
      case ("audit", let last?) where last != "path": fields["audit"] = "{ path: /tmp/audit.jsonl, \(last): \(value) }"
      case (let first?, let last?): fields[first] = first == last ? value : "{ \(last): \(value) }"
      default: break
      }
    }
    return fields.map { "\($0): \($1)\n" }.joined()
  }

  @Test("of every key of every section a change is told by its name; of the policies a reload tells more")
  func keys() throws {
    let sections = SettingsReader.sections
    let all = Set(SettingsReader.keys).subtracting(sections.keys)
      .subtracting(["policies", "layers", "always-deny", "always-allow"])
      .union(sections.flatMap { section, keys in keys.map { "\(section).\($0)" } })
    #expect(Set(sections.keys).isSubset(of: SettingsReader.keys))
    let running = try #require(loadConfig(text(with: nil)).settings)
    #expect(SettingsDifference.keys(of: running).sorted() == all.sorted())
    #expect(Self.others.keys.sorted() == all.sorted(), "a key without another value to try")
    for key in all.sorted() {
      let loaded = try loadConfig(text(with: key))
      let difference = SettingsDifference(
        from: running, to: try #require(loaded.settings, "\(key): \(loaded.findings)"))
      // What `verify` is where nothing is written hangs on the mode.
      let told = key == "firewall.mode" ? ["verify", key] : [key]
      #expect((difference.taken + difference.needsRestart).map(\.key) == told, "\(key)")
    }
  }
}
