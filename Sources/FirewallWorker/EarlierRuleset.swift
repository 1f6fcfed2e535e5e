import BridgeProcesses
import FirewallModel
import Glibc
package import LinuxIO
import NFTables

/// A ruleset that was rendered earlier and is put in force as it is: text outlives the plan's format.
package enum EarlierRuleset {
  /// Why it is not in force, as a sentence.
  package struct InstallationError: Error {
    package var text: String
  }

  private static let maximumComplaint = 1_500

  /// Applies `Ruleset.render`'s text of table `inet TABLE` in one transaction; sets that are there keep their elements.
  ///
  /// A process of the bridge does it, with CAP_NET_ADMIN alone and in the bridge's sandbox, whatever this one may do: what nft
  /// reads was kept in a file. It gets the text whole or not at all.
  ///
  /// - Throws: where another program made the table that is there, nft refuses the text, or the process cannot be confined.
  package static func install(_ text: String, table: String) throws(InstallationError) {
    try install(text, table: table, executable: BridgeStart.ownExecutable)
  }

  static func install(_ text: String, table: String, executable: String) throws(InstallationError) {
    let complaint: String
    do throws(SystemError) {
      let input = try MemoryFile(named: "sluice-rules", holding: Array(text.utf8))
      let words = try MemoryFile(named: "sluice-words")
      let null = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
      defer { close(null) }
      var process = try ChildProcess.start(
        executable, ["sluice", "bridge", BridgeStart.Role.earlierRules.rawValue, table],
        descriptors: [input.raw, null, words.raw])
      if process.wait() == 0 { return }
      complaint = said(try words.contents())
    } catch {
      throw InstallationError(text: "what installs them cannot be started: \(error)")
    }
    throw InstallationError(text: complaint.isEmpty ? "what installs them ended without a word" : complaint)
  }

  /// Whether table `inet TABLE` is in the kernel and is a managed one.
  ///
  /// - Throws: where the kernel cannot be asked.
  package static func isInstalled(table: String) throws(SystemError) -> Bool {
    TableInstaller.isOurs(try KernelSets().sets(family: .inet, table: table))
  }

  /// What a process said, without what the bridge begins its lines with.
  private static func said(_ words: [UInt8]) -> String {
    let text = String(decoding: words.prefix(maximumComplaint), as: UTF8.self)
    let start = BridgeProcess.beginning
    let rest = text.hasPrefix(start) ? text.dropFirst(start.count) : text[...]
    return String(rest.last == "\n" ? rest.dropLast() : rest)
  }

  // MARK: The process

  /// The text that `install` handed over.
  static func standardInput() throws(InstallationError) -> String {
    do throws(SystemError) {
      return String(decoding: try MemoryFile.contents(of: 0), as: UTF8.self)
    } catch {
      throw InstallationError(text: "the rules cannot be read: \(error)")
    }
  }

  static func apply(_ text: String, table: String) throws(InstallationError) {
    let (kernel, isForeign, opening): (KernelSets, Bool, String)
    do throws(SystemError) {
      kernel = try KernelSets()
      let sets = try kernel.sets(family: .inet, table: table)
      let chains = try kernel.chains(family: .inet, table: table)
      isForeign = !chains.isEmpty && !TableInstaller.isOurs(sets)
      opening = Ruleset.opening(table, chains: chains, sets: Set(sets.keys))
    } catch {
      throw InstallationError(text: "table inet \(table) cannot be read: \(error)")
    }
    guard !isForeign else { throw InstallationError(text: "table inet \(table) exists and is not of our making") }
    do throws(NftProgram.NftError) {
      try NftProgram.apply(TableInstaller.text(text, table: table, in: kernel) + opening)
    } catch {
      throw InstallationError(text: error.text)
    }
  }
}
