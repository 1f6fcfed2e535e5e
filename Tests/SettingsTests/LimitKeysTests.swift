import EgressPolicy
import Foundation
import IPNetwork
import Testing

@testable import Settings

@Suite struct LimitKeysTests {
  @Test("without the keys their defaults hold")
  func defaults() throws {
    let settings = try #require(loadConfig(config()).settings)
    #expect(settings.firewall == FirewallSettings() && settings.firewall.inputFence && settings.firewall.cutFlows)
    #expect(settings.firewall.maxElementsPerServer == 65_536 && settings.firewall.maxElementsPerName == 1024)
    #expect(settings.firewall.keepInUseSeconds == nil && settings.firewall.harvestSeconds == 10)
    #expect(!settings.firewall.exclusive)
    #expect(settings.cache.prefetches && settings.cache.maxStale == nil)
    #expect(settings.audit.volumeSeconds == nil && settings.audit.drops && !settings.audit.compress)
  }

  @Test("each key is read")
  func keys() throws {
    let text = config(
      """
      firewall:
        input-fence: off
        max-elements-per-server: 16
        max-elements-per-name: 65536
        keep-in-use: 7d
        cut-flows: false
        harvest: 1h
        exclusive: on
      """, audit: "audit: { path: audit.jsonl, volume: 5m, drops: \"no\", compress: on }")
    let (loaded, findings) = try loadConfig(text)
    let settings = try #require(loaded, "\(findings)")
    #expect(!settings.firewall.inputFence && !settings.firewall.cutFlows && settings.firewall.exclusive)
    #expect(settings.firewall.maxElementsPerServer == 16 && settings.firewall.maxElementsPerName == 65_536)
    #expect(settings.firewall.keepInUseSeconds == 604_800 && settings.firewall.harvestSeconds == 3600)
    #expect(settings.audit.volumeSeconds == 300 && !settings.audit.drops && settings.audit.compress)
  }

  @Test(
    "on and off may be written as YAML's booleans, quoted or not",
    arguments: [
      ("on", true), ("yes", true), ("true", true), ("\"On\"", true), ("off", false), ("no", false), ("FALSE", false),
      ("'off'", false),
    ])
  func booleans(word: String, expected: Bool) throws {
    let text = config(
      "firewall: { input-fence: \(word), cut-flows: \(word) }",
      audit: "audit: { path: a.jsonl, drops: \(word) }")
    let (settings, findings) = try loadConfig(text)
    #expect(findings == [])
    #expect(settings?.firewall.inputFence == expected && settings?.firewall.cutFlows == expected)
    #expect(settings?.audit.drops == expected)
  }

  @Test(
    "answers beyond their end are given where that is written, for an hour at most",
    arguments: [("off", nil), ("{}", 3600), ("{ max-stale: 90s }", 90), ("{ max-stale: 1h }", 3600)] as [(String, Int?)]
  )
  func stale(value: String, expected: Int?) throws {
    let (settings, findings) = try loadConfig(config("serve-stale: \(value)"))
    #expect(findings == [] && settings?.cache.maxStale == expected)
  }

  @Test(
    "for how long beyond their end is bounded", arguments: ["{ max-stale: 2h }", "{ max-stale: 0s }", "1h", "[]"])
  func staleBounds(value: String) throws {
    #expect(try !loadConfig(config("serve-stale: \(value)")).findings.isEmpty)
  }

  @Test("a duration that may be off", arguments: ["off", "no", "false", "none", "\"off\"", "Off"])
  func off(word: String) throws {
    let text = config("firewall: { keep-in-use: \(word) }", audit: "audit: { path: a.jsonl, volume: \(word) }")
    let (settings, findings) = try loadConfig(text)
    #expect(findings == [])
    #expect(settings != nil && settings?.firewall.keepInUseSeconds == nil && settings?.audit.volumeSeconds == nil)
  }

  @Test(
    "what is out of bounds or of another kind is an error with its location and what was expected",
    arguments: [
      ("firewall: { input-fence: maybe }", "5:26: error: 'maybe' found, expected on or off"),
      ("firewall: { input-fence: 1 }", "5:26: error: '1' found, expected on or off"),
      ("firewall: { input-fence: }", "expected on or off"),
      ("firewall: { input-fence: [] }", "5:26: error: a list found, expected on or off"),
      ("firewall: { exclusive: 1 }", "5:24: error: '1' found, expected on or off"),
      ("firewall: { cut-flows: 2s }", "5:24: error: '2s' found, expected on or off"),
      ("firewall: { max-elements-per-server: 15 }", "5:38: error: '15' found, expected a number from 16 to 65536"),
      ("firewall: { max-elements-per-server: 65537 }", "expected a number from 16 to 65536"),
      ("firewall: { max-elements-per-name: 0 }", "5:36: error: '0' found, expected a number from 1 to 65536"),
      ("firewall: { max-elements-per-name: off }", "'off' found, expected a number from 1 to 65536"),
      ("firewall: { keep-in-use: 8d }", "5:26: error: '8d' found, expected off, or a duration from 1s to 7d"),
      ("firewall: { keep-in-use: 1500ms }", "expected off, or a duration from 1s to 7d, such as"),
      ("firewall: { keep-in-use: on }", "'on' found, expected off, or a duration from 1s to 7d"),
      ("firewall: { keep-in-use: [ 1h ] }", "a list found, expected off, or a duration"),
      ("firewall: { keep-in-use: }", "nothing found, expected off, or a duration"),
      ("firewall: { harvest: 0s }", "5:22: error: '0s' found, expected a duration from 1s to 1h"),
      ("firewall: { harvest: off }", "'off' found, expected a duration from 1s to 1h"),
      ("firewall: { harvest: 61m }", "expected a duration from 1s to 1h"),
      ("firewall: { keep-inuse: 1h }", "unknown key 'keep-inuse' in firewall, did you mean 'keep-in-use'?"),
      ("audit: { path: a.jsonl, volume: 9s }", "'9s' found, expected off, or a duration from 10s to 1d"),
      ("audit: { path: a.jsonl, volume: 25h }", "expected off, or a duration from 10s to 1d"),
      ("audit: { path: a.jsonl, drops: some }", "4:32: error: 'some' found, expected on or off"),
      ("audit: { path: a.jsonl, compress: gzip }", "4:35: error: 'gzip' found, expected on or off"),
      ("audit: { path: a.jsonl, drop: off }", "did you mean 'drops'?"),
    ])
  func refused(line: String, message: String) throws {
    let text = line.hasPrefix("audit") ? config(audit: line) : config(line)
    let (settings, findings) = try loadConfig(text)
    #expect(settings == nil)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.contains(message) == true, "\(findings)")
  }

  // MARK: - Entries

  private func entry(_ lines: String) -> String {
    "server: a\nnetworks: [ 10.0.0.0/24 ]\nverify: address\negress:\n  - "
      + lines.replacingOccurrences(of: "\n", with: "\n    ")
  }

  @Test("caps and ends of hosts and prefixes are read")
  func entries() throws {
    let (policies, findings) = try loadPolicy(
      entry("host: a.example.com\nmax-bytes: 256KiB\nmax-bytes-per-hour: 1GiB\nuntil: 2099-12-31T18:00:00+01:00")
        + "\n  - { cidr: 198.51.100.0/24, max-bytes: 1024GiB, until: 2099-01-01 }\n  - host: b.example.com\n")
    #expect(findings == [])
    let policy = try #require(policies.first)
    #expect(policy.rules[0].maxBytes == 262_144 && policy.rules[0].maxBytesPerHour == 1_073_741_824)
    #expect(policy.rules[0].until == PolicyTime.parse("2099-12-31T17:00:00Z"))
    #expect(policy.rules[1].maxBytes == nil && policy.rules[1].maxBytesPerHour == nil && policy.rules[1].until == nil)
    #expect(
      policy.prefixes[0].maxBytes == 1_099_511_627_776 && policy.prefixes[0].until == PolicyTime.parse("2099-01-01"))
  }

  @Test(
    "wrong caps and ends are errors with their location and what was expected",
    arguments: [
      ("host: a.example.com\nmax-bytes: 1023B", "6:16: error: '1023B' found, expected a size from 1KiB to 1024GiB"),
      ("host: a.example.com\nmax-bytes: 1025GiB", "expected a size from 1KiB to 1024GiB, such as"),
      ("host: a.example.com\nmax-bytes: 256", "'256' found, expected a size"),
      ("host: a.example.com\nmax-bytes: off", "'off' found, expected a size"),
      ("host: a.example.com\nmax-bytes:", "nothing found, expected a size"),
      ("host: a.example.com\nmax-bytes-per-hour: 10kB", "6:25: error: '10kB' found, expected a size"),
      ("host: a.example.com\nuntil: 2026-02-30", "6:12: error: '2026-02-30' found, expected a time such as"),
      ("host: a.example.com\nuntil: 1h", "'1h' found, expected a time such as 2026-12-31T18:00:00Z, or a date"),
      ("host: a.example.com\nuntil:", "nothing found, expected a time"),
      ("cidr: 198.51.100.0/24\nuntil: never", "6:12: error: 'never' found, expected a time"),
      ("cidr: 198.51.100.0/24\nmax-bytes: 0KiB", "expected a size"),
      (
        "cidr: 198.51.100.0/24\nmax-bytes-per-hour: 1MiB",
        "6:25: error: key 'max-bytes-per-hour' has no meaning beside 'cidr'"
      ),
      ("host: a.example.com\nmax-byte: 1MiB", "did you mean 'max-bytes'?"),
      ("host: a.example.com\nmax-bytes: 1MiB\non-excess: refuse", "expected one of audit, block"),
      ("host: a.example.com\non-excess: audit", "6:16: error: on-excess has nothing to go beyond"),
      ("host: a.example.com\nmax-bytes: none\non-excess: audit", "on-excess has nothing to go beyond"),
    ])
  func wrongEntries(lines: String, message: String) throws {
    let (policies, findings) = try loadPolicy(entry(lines))
    #expect(policies.isEmpty)
    #expect(findings.count == 1, "\(findings)")
    #expect(findings.first?.contains(message) == true, "\(findings)")
  }

  @Test("what an entry does not say of its caps, its document does, or the configuration; `none` opts out")
  func inheritedCaps() throws {
    func limits(_ document: String) throws -> [ByteLimits] {
      let directory = try ConfigDirectory([
        "sluice.yaml": config("limits: { max-bytes: 512KiB, on-excess: audit }"),
        "policy.yaml": "server: a\nnetworks: [ 10.0.0.0/24 ]\n\(document)egress:\n" + Self.limited,
      ])
      #expect(directory.findings() == [])
      let policy = try #require(directory.load().settings?.policies.first)
      return policy.rules.map(\.limits) + [ByteLimits(maxBytes: policy.prefixes.first?.maxBytes)]
    }
    let own = ByteLimits(maxBytes: 1_048_576)
    func inherited(_ bytes: UInt64, _ hour: ByteBound? = nil) -> [ByteLimits] {
      let audited = ByteBound(bytes, .audit)
      return [
        ByteLimits(maxBytes: audited, maxBytesPerHour: hour), ByteLimits(maxBytes: own.maxBytes, maxBytesPerHour: hour),
        ByteLimits(maxBytes: ByteBound(bytes), maxBytesPerHour: hour.map { ByteBound($0.bytes) }),
        ByteLimits(maxBytesPerHour: hour), ByteLimits(maxBytes: audited, maxBytesPerHour: 4096),
        ByteLimits(maxBytes: audited),
      ]
    }
    #expect(try limits("") == inherited(524_288))
    #expect(
      try limits("limits: { max-bytes: 256KiB, max-bytes-per-hour: 1GiB, on-excess: audit }\n")
        == [
          inherited(262_144, ByteBound(1 << 30, .audit))[0],
          ByteLimits(maxBytes: 1_048_576, maxBytesPerHour: ByteBound(1 << 30, .audit)),
          ByteLimits(maxBytes: 262_144, maxBytesPerHour: ByteBound(1 << 30)),
          ByteLimits(maxBytesPerHour: ByteBound(1 << 30, .audit)),
          ByteLimits(maxBytes: ByteBound(262_144, .audit), maxBytesPerHour: 4096),
          ByteLimits(maxBytes: ByteBound(262_144, .audit)),
        ])
    let free = try ConfigDirectory([
      "sluice.yaml": config("limits: { max-bytes: 512KiB, on-excess: audit }"),
      "policy.yaml": plainPolicy.replacing("egress:", with: "limits: { max-bytes: none }\negress:"),
    ])
    #expect(free.load().settings?.policies.first?.rules.first?.limits == ByteLimits())
  }

  private static let limited = """
      - api.example.com
      - { host: b.example.com, max-bytes: 1MiB }
      - { host: c.example.com, on-excess: block }
      - { host: d.example.com, max-bytes: none }
      - { host: e.example.com, max-bytes-per-hour: 4KiB }
      - cidr: 198.51.100.0/24

    """

  @Test("in a mode without rules of Sluice's a default that nothing would keep is an error, told once")
  func unmanaged() throws {
    let (settings, findings) = try loadConfig(
      config("limits: { max-bytes: 512KiB, on-excess: audit }\nfirewall: { mode: off }"))
    #expect(settings == nil)
    #expect(findings.filter { $0.contains("error") }.count == 1, "\(findings)")
    #expect(findings.contains { $0.contains("limits cannot be enforced, expected firewall mode managed") })
  }

  @Test("a rule whose time is over loads, with a warning")
  func over() throws {
    let (policies, findings) = try loadPolicy(entry("host: a.example.com\nuntil: 2001-01-01"))
    #expect(policies.first?.rules.count == 1)
    #expect(
      findings == [
        "policy.yaml:5:5: warning: a.example.com ended at 2001-01-01T00:00:00Z: the entry admits nothing"
      ])
  }

  @Test("the time of the warning is the caller's")
  func clock() throws {
    let directory = try ConfigDirectory([
      "sluice.yaml": config(), "policy.yaml": entry("host: a.example.com\nuntil: 1970-01-02"),
    ])
    let path = directory.path + "/sluice.yaml"
    #expect(SettingsLoader.load(path: path, zoneDirectories: [], now: 86_399).diagnostics == [])
    #expect(SettingsLoader.load(path: path, zoneDirectories: [], now: 86_400).diagnostics.count == 1)
  }

  @Test("more than fifteen distinct caps of a server are an error")
  func tooMany() throws {
    let lines = (1...16).map { "  - { host: n\($0).example.com, max-bytes: \($0)KiB }\n" }.joined()
    let (_, findings) = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\nverify: address\negress:\n" + lines)
    #expect(findings.count == 1)
    #expect(findings.first?.hasPrefix("policy.yaml:20:5: error: server a has 16 different") == true, "\(findings)")
  }

  @Test("caps need the managed firewall, and each says so", arguments: ["sets", "off"])
  func mode(mode: String) throws {
    let policy =
      entry("host: a.example.com\nmax-bytes: 1MiB") + "\n  - { host: b.example.com, max-bytes-per-hour: 1MiB }"
      + "\n  - { cidr: 198.51.100.0/24, max-bytes: 1MiB }\n  - c.example.com\n"
    let directory = try ConfigDirectory([
      "sluice.yaml": config("firewall: { mode: \(mode) }"), "policy.yaml": policy,
    ])
    let end = "cannot be enforced, expected firewall mode managed (it is \(mode)): only its rules count octets"
    var expected = [
      "policy.yaml:5:5: error: max-bytes of a.example.com \(end)",
      "policy.yaml:7:5: error: max-bytes-per-hour of b.example.com \(end)",
      "policy.yaml:8:5: error: max-bytes of 198.51.100.0/24 \(end)",
    ]
    if mode == "sets" {
      expected.append(
        "policy.yaml:8:5: warning: cidr 198.51.100.0/24 opens nothing in firewall mode sets: such rules are yours to write"
      )
    }
    let enclosure =
      "sluice.yaml:5:11: warning: keeping containers to the networks of their servers, and networks closed that no policy "
      + "governs any more, needs firewall mode managed (it is \(mode)): Sluice has no rule to do it with"
    #expect(directory.findings() == expected + [enclosure])
    #expect(directory.load().settings == nil)
    try directory.write("sluice.yaml", Array(config().utf8))
    #expect(directory.findings() == [])
  }

  @Test("what only rules can do is told in a mode without rules", arguments: ["sets", "off"])
  func needsManaged(mode: String) throws {
    let policy = """
      server: a
      networks: [ 10.0.0.0/24 ]
      interface: br-a
      inbound: any
      dhcp: on
      egress: []

      """
    let directory = try ConfigDirectory([
      "sluice.yaml": config("firewall: { mode: \(mode) }\nrelease: [ 10.9.0.0/24 ]"), "policy.yaml": policy,
    ])
    let need = "needs firewall mode managed (it is \(mode)): Sluice has no rule to do it with"
    for what in ["inbound of a", "dhcp of a", "interface of a, for anything but queries,", "release"] {
      #expect(directory.findings().contains { $0.hasSuffix("warning: \(what) \(need)") }, "\(what)")
    }
    try directory.write("sluice.yaml", Array(config("release: [ 10.9.0.0/24 ]").utf8))
    #expect(directory.findings() == [])
  }

  @Test(
    "an interface is a name that nft text holds as it is",
    arguments: ["a/b", "a:b", "a$b", "a b", "é", "a*", ".", "..", "abcdefghijklmnop"])
  func interfaces(name: String) throws {
    let findings = try loadPolicy("server: a\nnetworks: [ 10.0.0.0/24 ]\ninterface: \"\(name)\"\negress: []").findings
    #expect(findings.count == 1 && findings[0].contains("policy.yaml:3:12: error: "), "\(findings)")
  }
}
