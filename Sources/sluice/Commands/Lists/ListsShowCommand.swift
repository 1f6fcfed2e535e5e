import ArgumentParser
import AuditLog
import EgressPolicy
import IPNetwork
import LinuxIO
import Settings

struct ListsShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Print a list as it is written: where it comes from, what it is for, and its entries.")

  @Argument(help: "The name of a list, or the path of one.", completion: ListFolders.names) var list: String
  @OptionGroup var places: ListFolders
  @Flag(help: "Print one JSON object, with the entries as they are read.") var json = false

  func run() throws {
    let (found, diagnostics) = ListCatalogue.list(list, folders: try places.folders())
    for finding in diagnostics { StandardError.write(finding.description) }
    guard let found else { throw ExitCode.failure }
    if json {
      let (rules, prefixes, _) = found.read()
      let hosts = rules.map { rule in
        "{\"host\":\(JSONText.quoted(rule.pattern.description)),\"ports\":\(JSONText.list(rule.ports.texts))}"
      }
      let networks = prefixes.map { rule in
        "{\"cidr\":\(JSONText.quoted(rule.prefix.description)),\"ports\":\(JSONText.list(rule.ports.texts))}"
      }
      let more = ",\"egress\":[\((hosts + networks).joined(separator: ","))]"
      return StandardOutput.write(ListsListCommand.json(found, more: more))
    }
    var octets = found.octets
    if octets.last != 0x0A { octets.append(0x0A) }
    StandardOutput.write(lines: octets)
  }
}
