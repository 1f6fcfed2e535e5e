import FirewallModel
import NFTables
import CLinux
import Control
import ControlAPI
import EgressPolicy
import Foundation
import Glibc
import LinuxIO
import Serving
import Settings

/// What `doctor` finds out about the host itself.
enum HostDiagnosis {
  // MARK: - Files

  static func files(_ loaded: LoadedSettings, configuration: String) -> [Finding] {
    var findings: [Finding] = []
    for diagnostic in loaded.diagnostics {
      findings.append(
        diagnostic.severity == .error
          ? .serious(
            .configurationError, "configuration", diagnostic.description,
            "see Documentation/configuration.md; `sluice check` prints all")
          : .warning(
            .configurationWarning, "configuration", diagnostic.description, "change it, or take it for what it is"))
    }
    guard let settings = loaded.settings else { return findings }
    if findings.isEmpty {
      findings.append(.ok("configuration", "\(counted(settings.policies.count, "server")), no error"))
    }
    for path in Set([configuration] + settings.policyFiles).sorted() {
      guard let status = status(of: path) else { continue }
      if status.st_mode & 0o022 != 0 {
        findings.append(
          .serious(
            .fileWritable, "files", "\(path) can be written by others than its owner (mode \(octal(status)))",
            "chmod go-w \(path)"))
      }
      if status.st_uid != 0, status.st_uid != geteuid() {
        findings.append(
          .warning(
            .fileOwner, "files", "\(path) belongs to uid \(status.st_uid), who can change the policy",
            "chown root \(path)"))
      }
    }
    findings += ServiceReading.faults(settings, configuration).map { fault in
      .warning(.fileUnreadable, "files", fault.text, fault.remedy)
    }
    if let path = Confinement.exposed(settings, configuration).first {
      findings.append(
        .warning(
          .fileExposed, "files",
          "\(path), which the firewall bridge goes by, lies in the audit log's folder, where serve may write",
          "give the audit log a folder of its own"))
    }
    if let text = LogFolder.fault(settings) {
      findings.append(.serious(.logFolder, "files", text, LogFolder.remedy(settings)))
    }
    if let text = LogFolder.fullDisk(settings) {
      findings.append(.serious(.logDiskFull, "files", text, LogFolder.roomRemedy(settings.audit.path)))
    }
    if let text = ControlFolder.fault(settings) {
      findings.append(.warning(.controlFolder, "files", text, ControlFolder.remedy(settings)))
    }
    if let status = status(of: settings.audit.path), status.st_mode & 0o077 != 0 {
      findings.append(
        .warning(
          .logReadable, "files", "the audit log \(settings.audit.path) can be read by others (mode \(octal(status)))",
          "chmod 600 \(settings.audit.path)"))
    }
    return findings
  }

  private static func status(of path: String) -> stat? {
    var status = stat()
    return unsafe stat(path, &status) == 0 ? status : nil
  }

  private static func octal(_ status: stat) -> String { String(status.st_mode & 0o7777, radix: 8) }

  // MARK: - Kernel

  static func machine(_ settings: Settings) -> [Finding] {
    var findings: [Finding] = []
    if let clock = clock() { findings.append(clock) }
    guard settings.firewall.mode != .off else {
      return findings + [
        .warning(
          .firewallOff, "firewall",
          "firewall.mode is off: names are filtered, addresses are not; a server can connect anywhere by address",
          "set firewall.mode to managed")
      ]
    }
    do throws(SystemError) {
      _ = try KernelSets().sets(family: .inet, table: settings.firewall.table)
      findings.append(.ok("kernel", "nf_tables can be read"))
    } catch {
      findings.append(
        error.errno == EPERM
          ? .warning(.tablesUnread, "kernel", "the kernel's tables cannot be read without root", "run it with sudo")
          : error.errno == ENOENT
            ? .ok("kernel", "nf_tables can be read")
            : .serious(
              .tablesUnusable, "kernel", "nf_tables cannot be used: \(error)", "load the module: modprobe nf_tables"))
    }
    if HostFile.number("/proc/sys/net/ipv4/ip_forward") == 0 {
      findings.append(
        .warning(
          .forwardingOff, "kernel", "the host forwards no IPv4: containers reach nothing",
          "sysctl -w net.ipv4.ip_forward=1"))
    }
    if let count = HostFile.number("/proc/sys/net/netfilter/nf_conntrack_count"),
      let limit = HostFile.number("/proc/sys/net/netfilter/nf_conntrack_max"), count * 10 > limit * 9
    {
      findings.append(
        .warning(
          .connectionsFull, "kernel", "\(count) of \(limit) connections are tracked: new ones are about to be dropped",
          "sysctl -w net.netfilter.nf_conntrack_max=\(limit * 2)"))
    }
    return findings
  }

  /// - Parameter isSynchronised: as the kernel says; negative where it does not.
  static func clock(_ isSynchronised: Int32 = sluice_clock_is_synchronised()) -> Finding? {
    guard isSynchronised >= 0 else { return nil }
    guard isSynchronised == 0 else { return .ok("clock", "synchronised") }
    return .warning(
      .clock, "clock", "not synchronised: `until:` ends late or early, and the log's times are not those of other logs",
      "run an NTP client: apt-get install chrony")
  }

  /// - Parameter gate: as the running server has it; nil where it has none.
  static func gate(_ gate: ControlAPI.Status.Gate?) -> [Finding] {
    guard let gate else { return [] }
    if gate.state == "down" {
      return [
        .serious(
          .gateDown, "server", "the gate does not answer: names with `verify: sni` get SERVFAIL",
          "restart sluice; its output says why")
      ]
    }
    let inspectors = inspectors(gate)
    guard gate.restarts > 0 else { return inspectors }
    return inspectors + [
      .warning(
        .gateRestarted, "server",
        "the gate was started again \(counted(Int(clamping: gate.restarts), "time")): connections through it were cut",
        "sluice's output says why it ended")
    ]
  }

  private static func inspectors(_ gate: ControlAPI.Status.Gate) -> [Finding] {
    (gate.inspection?.inspectors ?? []).filter { $0.state == "down" }.map { inspector in
      .serious(
        .inspectorDown, "server",
        "inspector \(inspector.address) does not take connections: those to names that it inspects are refused",
        "start it, or see its own log; `sluice log --json` has inspector-down with the cause")
    }
  }

  // MARK: - The running server

  /// - Parameter settings: what the files hold; nil where they have an error.
  static func server(_ settings: Settings?, control: String, configuration: String) -> [Finding] {
    let status: ControlAPI.Status
    do {
      let response = try ControlClient(path: control).call(.get, ControlAPI.Call.status.path)
      status = try ControlAPI.decode(ControlAPI.Status.self, response.body)
    } catch let error as SystemError where error.errno == EACCES || error.errno == EPERM {
      return [.warning(.serverForbidden, "server", "\(control) is not for this user", "run it with sudo")]
    } catch {
      return [
        .serious(
          .serverAbsent, "server", "nobody serves at \(control): containers resolve nothing",
          "systemctl start sluice, or sluice serve --config \(configuration)")
      ]
    }
    var findings: [Finding] = []
    if status.bridge.state == "down" {
      findings.append(
        .serious(
          .bridgeDown, "server", "the firewall bridge is down: allowed names get SERVFAIL",
          "restart sluice; its output says why"))
    }
    if status.bridge.degraded {
      findings.append(
        .serious(
          .kernelBehind, "server", "the kernel may not hold what was granted",
          "see `sluice firewall diff` and `sluice grants --kernel`"))
    }
    findings += gate(status.gate)
    if status.audit.blocked {
      findings.append(
        .serious(
          .logBlocked, "server",
          "the audit \(LogFault.text(blocked: status.audit.blockedFault)): denials and grants get SERVFAIL",
          LogFolder.remedy(blocked: status.audit)))
    }
    if let fault = status.audit.rotationFault {
      findings.append(
        .serious(
          .logUnrotated, "server", LogFault.text(status.audit.path, fault),
          "give the folder to the service's user" + (settings.map { ": \(LogFolder.remedy($0))" } ?? "")))
    }
    for upstream in status.upstreams {
      guard let fault = upstream.tlsFaultText else { continue }
      findings.append(
        .warning(
          .upstreamUntrusted, "server", "upstream \(upstream.address) is not asked: \(fault)",
          "ask for its certificate: openssl s_client -connect \(Self.endpoint(upstream.address)) -showcerts"))
    }
    for upstream in status.upstreams {
      guard let fault = upstream.httpFaultText else { continue }
      findings.append(
        .warning(
          .upstreamRefusing, "server", "upstream \(Self.text(upstream)) gives no answers: \(fault)",
          "look at the path in `upstreams:`, and whether the server speaks DNS by HTTPS there"))
    }
    for upstream in status.upstreams where !upstream.healthy && upstream.tlsFault == nil && upstream.httpFault == nil {
      findings.append(
        .warning(
          .upstreamSilent, "server", "upstream \(Self.text(upstream)) does not answer",
          "see that it runs and is reached"))
    }
    if let settings { findings += restart(status, settings) }
    for upstream in status.upstreams where upstream.refusing {
      findings.append(
        .warning(
          .upstreamRefusing, "server",
          "upstream \(Self.text(upstream)) says \(upstream.refusedAs ?? "no") to everything",
          "let this host ask it (`allow-recursion`, `access-control`), or name another one in `upstreams:`"))
    }
    for upstream in status.upstreams {
      guard let network = upstream.intercepted else { continue }
      findings.append(
        .serious(
          .upstreamIntercepted, "server",
          "upstream \(Self.text(upstream)) answers every name from \(network), as proxies and VPN clients do: such answers are refused",
          "where that is meant, `private: [ \(network) ]` in the configuration; else name another one in `upstreams:`"))
    }
    let own = settings.map { PolicySnapshot($0.policies.inForceNow()).fingerprint } ?? status.policy.fingerprint
    if status.policy.fingerprint != own, status.permits > 0 {
      findings.append(
        .ok("server", "\(counted(status.permits, "permit")) beside what the files hold: see `sluice allow list`"))
    } else if status.policy.fingerprint != own {
      findings.append(
        .warning(
          .policyDiffers, "server", "another policy is in force than the files hold",
          "sluice reload --config \(configuration)"))
    }
    if findings.allSatisfy({ $0.severity == .ok }) {
      findings.append(.ok("server", "serving since \(status.since), policy \(own)"))
    }
    return findings
  }

  /// `ADDRESS:PORT` of an upstream as it is written.
  private static func endpoint(_ upstream: String) -> Substring {
    let place = upstream.firstRange(of: "://").map { upstream[$0.upperBound...] } ?? upstream[...]
    return place.prefix { $0 != "/" && $0 != "#" }
  }

  private static func text(_ upstream: ControlAPI.Status.Upstream) -> String {
    upstream.address + (upstream.zone.map { " of the forwarded zone \($0)" } ?? "")
  }

  /// What the files have otherwise than the server that runs, and no reload takes.
  static func restart(_ status: ControlAPI.Status, _ settings: Settings) -> [Finding] {
    var changes = status.needsRestart
    for (key, was, now) in [
      ("listen", status.listen, settings.listen.map(\.description)),
      ("upstreams", status.upstreams.filter { $0.zone == nil }.map(\.address), settings.upstreams.map(\.description)),
    ] where Set(was) != Set(now) && !changes.contains(where: { $0.key == key }) {
      changes.append(ControlAPI.Change(key: key, was: was, now: now))
    }
    return changes.map {
      .warning(
        .restartNeeded, "server", "the files have another value than the server that runs: \($0.text)",
        "systemctl restart sluice")
    }
  }

  // MARK: - The table

  static func table(_ settings: Settings, configuration: String) -> [Finding] {
    guard settings.firewall.mode == .managed, geteuid() == 0 else { return [] }
    var findings: [Finding] = []
    do {
      let plan = FirewallPlan(settings, settings.policies.inForceNow())
      let difference = try FirewallDifference(plan, state: settings.state)
      let table = "inet \(settings.firewall.table)"
      findings.append(
        difference.isAbsent
          ? .serious(
            .tableAbsent, "table", "there is no table \(table): nothing keeps any container from any address",
            "sluice firewall install --config \(configuration), or start sluice")
          : difference.isEmpty
            ? .ok("table", "\(table) is as the configuration wants it: nothing passes but what policy allows")
            : .serious(
              .tableDiffers, "table",
              "\(table) is not as the configuration wants it (\(counted(difference.lines.count, "line")) of difference)",
              "see `sluice firewall diff`; a running sluice puts it right, once it is restarted where `sluice status` says that it must "
                + "be; else `sluice firewall install`"))
    } catch {
      findings.append(
        .warning(
          .tableUncompared, "table", "cannot be compared: \((error as? StartError)?.reason ?? "\(error)")",
          "apt-get install nftables"))
    }
    return findings + nftables(isExclusive: settings.firewall.exclusive)
  }

  /// In a table of the user's own the rules are the user's: whether they do what its sets are for.
  static func sets(_ settings: Settings) -> [Finding] {
    guard settings.firewall.mode == .sets, geteuid() == 0 else { return [] }
    do {
      return try SetsDiagnosis(settings).findings
    } catch {
      return [
        .warning(
          .forwardUnread, "sets",
          "which rules look into the sets is not known: \((error as? StartError)?.reason ?? "\(error)")",
          "apt-get install nftables")
      ]
    }
  }

  /// What the host's other rules make of that which Sluice's let through.
  static func filters(_ settings: Settings) -> [Finding] {
    guard settings.firewall.mode == .managed, geteuid() == 0 else { return [] }
    do {
      return try HostFilters(settings)?.findings ?? []
    } catch {
      return [
        .warning(
          .forwardUnread, "filter",
          "what other rules refuse is not known: \((error as? StartError)?.reason ?? "\(error)")",
          "apt-get install nftables")
      ]
    }
  }

  /// nftables.service flushes every table at a reload, the managed one as well, unless its file brings the rules along.
  ///
  /// A table that is Sluice's alone it leaves out, and a file that brings its rules along is refused.
  ///
  /// - Parameter root: where the host's files lie.
  static func nftables(isExclusive: Bool, root: String = "") -> [Finding] {
    let rules = "\(RememberedRules.folder)/\(RememberedRules.fileName)"
    let file = "/etc/nftables.conf"
    let wanted = "/etc/systemd/system/sysinit.target.wants/nftables.service"
    guard status(of: root + rules) != nil, status(of: root + wanted) != nil,
      let text = HostFile.text(root + file), text.contains("flush ruleset"),
      text.contains("\"\(RememberedRules.folder)/") == isExclusive
    else { return [] }
    guard !isExclusive else {
      return [
        .warning(
          .nftablesRefused, "table",
          "a reload of nftables.service is refused: \(file) includes the rules of a table that is Sluice's alone",
          "take the line that includes \"\(RememberedRules.folder)/*.nft\" out of \(file)")
      ]
    }
    return [
      .warning(
        .nftablesReload, "table",
        "a reload of nftables.service takes the rules away for an instant: \(file) flushes every table",
        "echo 'include \"\(RememberedRules.folder)/*.nft\"' >>\(file) puts them into the same transaction")
    ]
  }

  /// Which networks an interface encloses, and what leads past it.
  static func enclosure(_ settings: Settings) -> [Finding] {
    do {
      guard let enclosure = try EnclosureDiagnosis(settings) else { return [] }
      return try enclosure.findings + WaysOut(enclosure).findings
    } catch {
      return [
        .warning(
          .interfacesUnread, "enclosure", "interfaces and routes cannot be read: \(error)", "run it on the host itself")
      ]
    }
  }
}
