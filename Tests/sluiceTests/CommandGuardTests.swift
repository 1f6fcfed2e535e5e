import ArgumentParser
import ControlAPI
import DNSWire
import EgressPolicy
import Foundation
import Glibc
import Serving
import Testing

@testable import sluice

/// What commands refuse before they ask anything, and what they take a text for.
@Suite("What commands refuse")
struct CommandGuardTests {
  private func isRefused(_ words: String...) -> Bool {
    do {
      _ = try Sluice.parseAsRoot(words)
      return false
    } catch {
      return true
    }
  }

  @Test("a permit has a time of at most a week and a reason")
  func permits() {
    func isRefused(time: String = "30m", reason: String = "a test") -> Bool {
      self.isRefused("allow", "--server", "agent", "--name", "a.example.com", "--for", time, "--reason", reason)
    }
    #expect(!isRefused() && !isRefused(time: "7d"))
    for time in ["0s", "8d", "604801s", "soon", ""] { #expect(isRefused(time: time), "\(time)") }
    for reason in ["", "  ", "\t"] { #expect(isRefused(reason: reason), "\(reason)") }
  }

  @Test("a query is asked as one client, and printed in one form")
  func queries() {
    #expect(!isRefused("query", "--server", "agent", "a.example.com"))
    #expect(!isRefused("query", "--client", "10.77.1.9", "a.example.com", "AAAA", "--short"))
    #expect(isRefused("query", "a.example.com"))
    #expect(isRefused("query", "--server", "agent", "--client", "10.77.1.9", "a.example.com"))
    #expect(isRefused("query", "--server", "agent", "a.example.com", "--short", "--json"))
  }

  @Test("numbers lie where they mean something")
  func numbers() {
    #expect(!isRefused("top", "--interval", "0.1") && !isRefused("top", "--interval", "3600"))
    #expect(isRefused("top", "--interval", "0.05") && isRefused("top", "--interval", "3601"))
    #expect(!isRefused("log", "--limit", "0"))
    #expect(isRefused("log", "--limit=-1"))
    #expect(!isRefused("log", "--count"))
    #expect(isRefused("log", "--count", "--limit", "3") && isRefused("log", "--count", "--follow"))
  }

  @Test("bounds are told of what is allowed, and not of what is refused")
  func bounds() {
    var told = ControlAPI.Explanation(decision: .allow, code: .cidr)
    (told.maxBytes, told.until) = (1_024, "2027-01-01T00:00:00Z")
    #expect(ExplanationText(told).values["max-bytes"] != nil && ExplanationText(told).values["until"] != nil)
    told.decision = .block
    #expect(ExplanationText(told).values["max-bytes"] == nil && ExplanationText(told).values["until"] == nil)
  }

  @Test("what is open decides of an address that nothing else opened, and of none other")
  func openAddresses() {
    func taken(
      _ decision: ControlAPI.Explanation.Decision, _ code: ControlAPI.Explanation.Code, _ port: PortRule?
    ) -> String {
      var found = ControlAPI.Explanation(decision: decision, code: code)
      found.take(
        [
          ControlAPI.Grant(
            server: "agent", address: "192.0.2.1", protocol: "tcp", port: 443, name: "a.example.com", opened: "",
            remainingMs: 1)
        ], port)
      return "\(found.decision) \(found.code)"
    }
    let (open, other) = (PortRule(443, .tcp), PortRule(80, .tcp))
    #expect(taken(.block, .rawAddress, open) == "allow granted")
    #expect(taken(.block, .rawAddress, other) == "block wrongPort")
    #expect(taken(.block, .notEnforced, other) == "block notEnforced")
    #expect(taken(.block, .hostFence, open) == "block hostFence")
    // Where nothing filters addresses an open one is no reason either.
    #expect(taken(.allow, .notEnforced, open) == "allow notEnforced")
  }

  @Test("the running policy is that of the files where it is, and another one where it is not")
  func runningPolicy() {
    func told(_ isSame: Bool) -> String? {
      var told = ControlAPI.Explanation(decision: .allow, code: .listed)
      told.live = ControlAPI.Live(policy: "0a1b", asInFiles: isSame, permits: [], cache: [], grants: [])
      return ExplanationText(told).values["running policy"]
    }
    #expect(told(true) == "the same")
    #expect(told(false)?.hasPrefix("another one, 0a1b") == true)
  }

  @Test("a command says what is to be named before it asks anything")
  func scopes() {
    #expect(isRefused("allow", "withdraw"))
    #expect(!isRefused("allow", "withdraw", "7") && !isRefused("allow", "withdraw", "--server", "agent"))
    #expect(isRefused("cache", "flush", "--all", "--server", "agent"))
    #expect(!isRefused("cache", "flush", "--all") && !isRefused("cache", "flush", "--server", "agent"))
    #expect(isRefused("grants", "revoke", "--all"))
    #expect(!isRefused("grants", "revoke", "--server", "agent"))
    for part in [["--name", "a.example.com"], ["--address", "192.0.2.7"]] {
      #expect(throws: Never.self, "\(part)") { try Sluice.parseAsRoot(["grants", "revoke", "--all"] + part) }
    }
  }

  @Test(
    "the kernel's sets are compared with what a configuration names",
    .enabled(if: ConfigurationOption.installedIfReadable == nil, "a configuration is installed here"))
  func comparing() {
    #expect(isRefused("grants", "list", "--kernel"))
    #expect(!isRefused("grants", "list", "--kernel", "--config", "sluice.yaml"))
  }

  // MARK: - Names

  @Test("a name that no entry could list is none that was denied")
  func deniedNames() {
    #expect(DeniedName("api.example.com")?.name.description == "api.example.com")
    for text in ["localhost", "*.example.com", "a.*", #"a\032b.example.com"#, ""] {
      #expect(DeniedName(text) == nil, "\(text)")
    }
  }

  @Test("a search suffix stands behind a name of at least two labels")
  func searched() throws {
    let name = try #require(DeniedName("api.example.com.corp.example.net"))
    let found = name.searched { $0.description == "api.example.com" }
    #expect(found?.name.description == "api.example.com" && found?.suffix.description == "corp.example.net")
    #expect(try #require(DeniedName("example.com")).searched { _ in true } == nil)
    #expect(name.searched { _ in false } == nil)
    #expect(DeniedName("com.").flatMap { $0.searched { _ in true } } == nil)
  }

  @Test("a permit matches the names of its pattern, one label for a star, and none that has to be escaped")
  func permitNames() throws {
    func allows(_ pattern: String, _ name: String) throws -> Bool {
      ControlAPI.Permit(
        id: 1, server: "agent", name: pattern, ports: [], types: [], justification: "", given: "", until: "",
        remainingMs: 0, uid: 0, pid: 0
      ).allows(try Name(presentation: name))
    }
    #expect(try allows("a.example.com", "a.example.com"))
    #expect(try !allows("a.example.com", "b.a.example.com") && !allows("a.example.com", "b.example.com"))
    #expect(try allows("*.example.com", "a.example.com"))
    #expect(try !allows("*.example.com", "b.a.example.com") && !allows("*.example.com", "example.com"))
    #expect(try allows("**.example.com", "b.a.example.com"))
    #expect(try allows(".example.com", "example.com") && allows(".example.com", "b.a.example.com"))
    #expect(try !allows(".example.com", "xexample.com") && allows("*.s3.*.example.com", "a.s3.b.example.com"))
    #expect(try allows("eu-*.example.com", "eu-1.example.com") && !allows("eu-*.example.com", "eu-.example.com"))
    #expect(try !allows("eu-*.example.com", "eu-*.example.com"))
    #expect(try !allows("**.example.com", #"b\.a.example.com"#) && !allows("*.example.com", #"b\032a.example.com"#))
  }
}

/// The file of the last rules: what is executed with privilege is whole, and written by no other user.
@Suite("Remembered rules")
struct RememberedRulesTests {
  private static let rules = RememberedRules(
    table: "sluice", time: "2026-11-29T12:00:00Z", text: "add table inet sluice\n")

  private func inFolder(_ body: (String) throws -> Void) throws {
    let folder = NSTemporaryDirectory() + "sluice-rules-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    try body(folder)
  }

  /// Why what the folder holds is refused; nil where it is not.
  private func refusal(_ folder: String) -> String? {
    do throws(StartError) {
      _ = try RememberedRules.read(folder)
      return nil
    } catch {
      return error.reason
    }
  }

  private func isRefused(_ folder: String) -> Bool { refusal(folder) != nil }

  @Test("what was written is read back, with a table and without, and nothing where there is none")
  func roundTrip() throws {
    try inFolder { folder in
      #expect(try RememberedRules.read(folder) == nil)
      for rules in [Self.rules, RememberedRules(table: nil, time: "2026-11-29T12:00:01Z", text: "")] {
        try rules.write(folder)
        #expect(try RememberedRules.read(folder) == rules)
      }
      try FileManager.default.removeItem(atPath: "\(folder)/\(RememberedRules.fileName)")
      #expect(try RememberedRules.read(folder) == nil)
    }
  }

  @Test("a text without one of its marks is not whole")
  func parsing() {
    let whole = Self.rules.description
    #expect(RememberedRules(parsing: whole) == Self.rules)
    let none = RememberedRules(table: nil, time: "t", text: "")
    #expect(RememberedRules(parsing: none.description) == none)
    for (part, other) in [
      ("# sluice rules 1", "# sluice rules 2"), ("# table: inet sluice", "# tables: inet sluice"),
      ("# table: inet sluice", "# table: ip sluice"),
      ("# table: inet sluice", "tables + inet sluice"), ("# time: ", "# at: "), ("# end of the rules\n", ""),
      ("\n# end of the rules\n", "# end of the rules\n"), ("# end of the rules\n", "# end of the rules"),
    ] {
      #expect(RememberedRules(parsing: whole.replacing(part, with: other)) == nil, "\(part) \(other)")
    }
    for count in 1...3 {
      let cut = whole.split(separator: "\n").prefix(count).joined(separator: "\n")
      #expect(RememberedRules(parsing: cut) == nil, "\(cut)")
    }
    #expect(RememberedRules(parsing: "") == nil)
  }

  @Test("what another user may write, or what is another kind of file, is refused")
  func trust() throws {
    try inFolder { folder in
      let file = "\(folder)/\(RememberedRules.fileName)"
      try Self.rules.write(folder)
      #expect(!isRefused(folder))
      for (path, mode, right) in [(file, 0o620, 0o600), (file, 0o602, 0o600), (folder, 0o720, 0o700)]
        as [(String, mode_t, mode_t)]
      {
        try #require(unsafe chmod(path, mode) == 0)
        #expect(isRefused(folder), "\(path) \(String(mode, radix: 8))")
        try #require(unsafe chmod(path, right) == 0)
      }
      if geteuid() == 0 {
        try #require(unsafe chown(file, 54_321, 0) == 0)
        #expect(isRefused(folder))
        try #require(unsafe chown(file, 0, 0) == 0)
      }
      #expect(!isRefused(folder))
      try FileManager.default.removeItem(atPath: file)
      try FileManager.default.createDirectory(atPath: file, withIntermediateDirectories: false)
      #expect(refusal(folder)?.contains("not what it should be") == true, "a folder in its place")
      try FileManager.default.removeItem(atPath: file)
      try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "/etc/passwd")
      #expect(isRefused(folder), "a link in its place")
      try FileManager.default.removeItem(atPath: file)
      try Data("no rules\n".utf8).write(to: URL(filePath: file))
      try #require(unsafe chmod(file, 0o600) == 0)
      #expect(refusal(folder)?.contains("not whole") == true, "another text")
      let large = FileHandle(forWritingAtPath: file)
      try large?.truncate(atOffset: (64 << 20) + 1)
      try large?.close()
      #expect(refusal(folder)?.contains("too large") == true, "more than any rules")
    }
  }

  @Test("what cannot be written is a failure that names the call, and leaves what was there")
  func unwritable() throws {
    func failure(_ folder: String) -> String? {
      do throws(StartError) {
        try RememberedRules(table: nil, time: "t", text: "").write(folder)
        return nil
      } catch {
        return error.reason
      }
    }
    try inFolder { folder in
      #expect(failure(folder + "/none/of/these")?.contains("mkdir") == true)
      try Self.rules.write(folder)
      // A folder stands where the new file is made.
      let temporary = "\(folder)/.\(RememberedRules.fileName).\(getpid())"
      try FileManager.default.createDirectory(atPath: temporary + "/x", withIntermediateDirectories: true)
      #expect(failure(folder)?.contains("open") == true)
      try FileManager.default.removeItem(atPath: temporary)
      #expect(try RememberedRules.read(folder) == Self.rules)
      // And where it is to be in the end.
      let file = "\(folder)/\(RememberedRules.fileName)"
      try FileManager.default.removeItem(atPath: file)
      try FileManager.default.createDirectory(atPath: file + "/x", withIntermediateDirectories: true)
      #expect(failure(folder)?.contains("rename") == true)
    }
  }

  @Test("a disk that has no room is a failure, and leaves what was there")
  func noRoom() throws {
    try inFolder { folder in
      try Self.rules.write(folder)
      // The kernel tells a process by a signal, too, that it may write no longer file.
      let handler = signal(SIGXFSZ, SIG_IGN)
      let resource = __rlimit_resource_t(RLIMIT_FSIZE.rawValue)
      var before = rlimit()
      _ = unsafe getrlimit(resource, &before)
      var none = rlimit(rlim_cur: 0, rlim_max: before.rlim_max)
      _ = unsafe setrlimit(resource, &none)
      let isWritten = (try? RememberedRules(table: nil, time: "t", text: "").write(folder)) != nil
      _ = unsafe setrlimit(resource, &before)
      signal(SIGXFSZ, handler)
      #expect(!isWritten)
      #expect(try RememberedRules.read(folder) == Self.rules)
    }
  }

  @Test("a folder that is a file or a link is refused, for reading and for writing")
  func folders() throws {
    try inFolder { folder in
      try Data().write(to: URL(filePath: folder))
      #expect(isRefused(folder))
      #expect(throws: StartError.self) { try Self.rules.write(folder) }
    }
    try inFolder { folder in
      try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: NSTemporaryDirectory())
      #expect(isRefused(folder))
      #expect(throws: StartError.self) { try Self.rules.write(folder) }
    }
  }
}
