import EgressPolicy

/// A list or policy of another tool that can be read.
package enum ImportFormat: String, CaseIterable, Sendable {
  case toolhive
  case dockerMCP = "docker-mcp"
  case claude
  case codex
  case hardenRunner = "harden-runner"
  case cilium
  case compose
  case copilot
  case agenticWorkflow = "gh-aw"
  case openshell
  case cargowall
  case responsePolicy = "rpz"
  case hosts
  case list

  /// What is read, in a few words.
  package var summary: String {
    switch self {
    case .toolhive: "ToolHive: permission profiles, registries"
    case .dockerMCP: "Docker's MCP gateway: allowHosts of servers, catalogs"
    case .claude: "Claude Code: settings.json, a devcontainer's domains"
    case .codex: "Codex: config.toml, requirements.toml"
    case .hardenRunner: "Harden-Runner: allowed-endpoints of workflows"
    case .cilium: "Cilium: CiliumNetworkPolicy"
    case .compose: "Compose files: labels of dockerwall and whalewall"
    case .copilot: "GitHub Copilot: its allowlist, tables of GitHub's pages"
    case .agenticWorkflow: "GitHub Agentic Workflows: `network:` of a workflow"
    case .openshell: "NVIDIA OpenShell: network_policies, provider profiles"
    case .cargowall: "CargoWall: rules (JSON)"
    case .responsePolicy: "response policy zones (RPZ)"
    case .hosts: "hosts files that block"
    case .list: "one host or network a line"
    }
  }

  /// Where several lines match a name, what is allowed there is what any of them allows; in the others the most specific decides, as
  /// here.
  var addsUp: Bool {
    switch self {
    case .hardenRunner, .cargowall, .responsePolicy, .hosts, .list: false
    case .toolhive, .dockerMCP, .claude, .codex, .cilium, .compose, .copilot, .agenticWorkflow, .openshell: true
    }
  }

  func read(_ source: ImportSource, into draft: inout ImportDraft) throws(Diagnostic) {
    switch self {
    case .toolhive: try ToolHiveFormat.read(source, into: &draft)
    case .dockerMCP: try DockerMCPFormat.read(source, into: &draft)
    case .claude: try ClaudeFormat.read(source, into: &draft)
    case .codex: try CodexFormat.read(source, into: &draft)
    case .hardenRunner: try HardenRunnerFormat.read(source, into: &draft)
    case .cilium: try CiliumFormat.read(source, into: &draft)
    case .compose: try ComposeFormat.read(source, into: &draft)
    case .copilot: try CopilotFormat.read(source, into: &draft)
    case .agenticWorkflow: try AgenticWorkflowFormat.read(source, into: &draft)
    case .openshell: try OpenShellFormat.read(source, into: &draft)
    case .cargowall: try CargoWallFormat.read(source, into: &draft)
    case .responsePolicy: try ResponsePolicyFormat.read(source, into: &draft)
    case .hosts: try HostsFormat.read(source, into: &draft)
    case .list: try ListFormat.read(source, into: &draft)
    }
  }
}
