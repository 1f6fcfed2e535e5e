import ArgumentParser
import EgressPolicy
import Foundation
import Serving
import Settings

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Check this host: what could get past the policy, and what keeps it from working.",
    discussion: """
      Looks at kernel and privilege, the files, the running server, the rules, every container of the engines that it finds, and \
      Podman's networks. Engines are asked at DOCKER_HOST, CONTAINER_HOST, the sockets of Docker and Podman, and those of users' own \
      engines. Each finding says what mends it. Changes nothing. Exits with 1 if one is serious. As root it sees all of it.

      Examples:
        sudo sluice doctor --config /etc/sluice/sluice.yaml
        sudo --preserve-env=DOCKER_HOST sluice doctor
      """)

  @OptionGroup var configuration: ConfigurationOption
  @Option(help: "The socket of the only engine to ask.", completion: .file()) var docker: String?
  @Option(help: "The folder of Podman's networks.", completion: .directory)
  var podman = "/etc/containers/networks"
  @Flag(help: "Print one JSON object a line.") var json = false

  func run() throws {
    let loaded = SettingsLoader.load(path: configuration.config)
    var findings = HostDiagnosis.files(loaded, configuration: configuration.config)
    if let settings = loaded.settings {
      findings += HostDiagnosis.machine(settings)
      findings += HostDiagnosis.server(
        settings, control: settings.control.path, configuration: configuration.config)
      findings += ListenDiagnosis.addresses(settings) + ListenDiagnosis.taken(settings.listen)
      let coverage = ListenCoverage.ofThisHost(settings, held: EnclosureDiagnosis.held(settings))
      findings += ListenDiagnosis.outside(coverage.gaps) + ListenDiagnosis.unheard(coverage)
      findings += ListenDiagnosis.podman(settings.listen, folder: podman)
      findings += HostDiagnosis.table(settings, configuration: configuration.config)
      findings += HostDiagnosis.sets(settings) + HostDiagnosis.filters(settings)
      findings += HostDiagnosis.enclosure(settings)
      findings += DockerDiagnosis.findings(
        settings, configuration: configuration.config, engines: EngineSockets(docker, .ofThisHost))
    } else {
      findings += Self.running(configuration.config)
    }
    findings.sort { ($0.severity, $0.area, $0.text) < ($1.severity, $1.area, $1.text) }
    for finding in findings {
      guard !json else {
        StandardOutput.write(finding.json)
        continue
      }
      StandardOutput.write("\(Self.word(finding.severity))  \(finding.area): \(finding.text)")
      if let remedy = finding.remedy { StandardOutput.write("         mend: \(remedy)") }
    }
    if findings.contains(where: { $0.severity == .serious }) { throw ExitCode.failure }
  }

  /// What can be told where the files have an error: how the server is that runs on.
  private static func running(_ configuration: String) -> [Finding] {
    do throws(Diagnostic) {
      let control = try SettingsLoader.paths(path: configuration).control.path
      return HostDiagnosis.server(nil, control: control, configuration: configuration)
    } catch {
      // It is among the findings already.
      return []
    }
  }

  /// As wide as the widest.
  private static func word(_ severity: Finding.Severity) -> String {
    let text = severity.rawValue.padding(toLength: 7, withPad: " ", startingAt: 0)
    return switch severity {
    case .serious: TerminalStyle.bad(text)
    case .warning: TerminalStyle.doubtful(text)
    case .remark: text
    case .ok: TerminalStyle.good(text)
    }
  }
}
