import ArgumentParser
import AuditLog
import Control
import ControlAPI
import DNSWire
import EgressPolicy
import Glibc
import LinuxIO
import Serving
import Settings

struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "Read everything that `serve` would and print every error, as file:line:column.",
    discussion: """
      Starts nothing and changes nothing. Exits with 0 when `serve` would accept the configuration, else 1. What serve finds \
      on this host when it starts, its user and its folders, is looked at too: as root, who starts it, what is missing is an \
      error, else a warning. Under each finding stands its line, with a caret at the place.
      """)

  @OptionGroup var configuration: ConfigurationOption
  @Flag(help: "Print the effective policy: what each server may ask for, after merging.") var effective = false
  @Flag(help: "Look at the files alone, and at nothing of this host: for CI and hooks of Git.") var files = false
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let loaded = Progress.during("reading \(configuration.config)") {
      SettingsLoader.load(path: configuration.config)
    }
    var findings = loaded.diagnostics
    if let settings = loaded.settings {
      findings += ZoneFiles.diagnose(settings)
      if !files { findings += diagnoseHost(settings) }
      if settings.policies.isEmpty {
        findings.append(
          .warning(
            "no server at all: every client is unknown",
            at: SourceLocation(file: configuration.config, line: 0, column: 0)))
      }
    }
    let failed = loaded.settings == nil || findings.contains { $0.severity == .error }
    if json {
      print(Self.json(findings, failed ? nil : loaded.settings, effective: effective))
    } else {
      var excerpts = SourceExcerpts()
      for finding in findings.sorted() {
        StandardError.write(finding.description)
        for line in excerpts.lines(at: finding.location) { StandardError.write(line) }
      }
      if let settings = loaded.settings, !failed {
        if effective { print(EffectivePolicy(settings.policies).text) }
        let policy = PolicySnapshot(settings.policies)
        print(
          "ok: \(counted(settings.policies.count, "server")), \(counted(policy.nameCount, "name")), policy \(policy.fingerprint)"
        )
        if !files { PolicyNotice.tell(settings) }
      }
    }
    if failed { throw ExitCode.failure }
  }

  /// What serve would find here when it starts.
  private func diagnoseHost(_ settings: Settings) -> [Diagnostic] {
    var findings = LogFolder.check(settings) + HostAddresses.diagnose(settings)
    findings +=
      PortHolder.diagnose(settings) + HostAddresses.diagnoseEntries(settings)
      + HostAddresses.diagnoseInspectors(settings)
    findings += ListenCoverage.diagnose(settings, held: EnclosureDiagnosis.held(settings))
    findings += EnclosureDiagnosis.diagnose(settings) + ServiceReading.check(settings, configuration.config)
    findings += StartConditions.diagnose(settings) + UpstreamTrust.diagnose(settings) + TrustAnchors.diagnose(settings)
    return findings + SharedAddresses.diagnose(settings)
  }

  private static func json(_ findings: [Diagnostic], _ settings: Settings?, effective: Bool) -> String {
    let items = findings.sorted().map { finding in
      "{\"severity\":\(JSONText.quoted(finding.severity.rawValue)),\"file\":\(JSONText.quoted(finding.location.file)),"
        + "\"line\":\(finding.location.line),\"column\":\(finding.location.column),"
        + "\"message\":\(JSONText.quoted(finding.message))}"
    }
    var text = "{\"ok\":\(settings != nil),\"findings\":[" + items.joined(separator: ",") + "]"
    if let settings {
      text += ",\"policy\":\(JSONText.quoted(PolicySnapshot(settings.policies).fingerprint))"
      if effective { text += ",\"servers\":" + EffectivePolicy(settings.policies).json }
    }
    return text + "}"
  }
}

extension SharedAddresses {
  /// Of names with `verify: address` those at whose address the running server has others, at their entries; none where none runs.
  /// For a person, as `PolicyNotice`: what a service manager runs before the server must not wait for it, nor wake it by its socket.
  ///
  /// - Parameter grants: asks the server what is open.
  static func diagnose(
    _ settings: Settings, isTerminal: Bool = isatty(STDERR_FILENO) == 1,
    grants: (Settings) -> [ControlAPI.Grant] = SharedAddresses.openNow
  ) -> [Diagnostic] {
    guard isTerminal, settings.firewall.mode == .managed else { return [] }
    let policy = PolicySnapshot(settings.policies)
    // A few show what is meant; `sluice grants` has all.
    return texts(grants(settings)).prefix(8).compactMap { server, name, text in
      guard let index = settings.policies.firstIndex(where: { $0.name.text == server }),
        let asked = Name(written: name),
        case .allowed(let rule) = policy.decide(server: index, name: asked.wire.span, type: .A)
      else { return nil }
      return .warning(text, at: policy.rule(server: index, index: rule).location)
    }
  }
  /// What `check` says of files stands without a server, and for who may not ask it.
  private static func openNow(_ settings: Settings) -> [ControlAPI.Grant] {
    do {
      let client = ControlClient(path: settings.control.path, patience: 1)
      let response = try client.call(.get, ControlAPI.Call.grants.path)
      return try ControlAPI.decode(ControlAPI.GrantList.self, response.body).grants
    } catch {
      return []
    }
  }
}
