import FirewallModel
package import LinuxIO
import NFTables

/// A ruleset that was rendered earlier and is put in force as it is: text outlives the plan's format.
package enum EarlierRuleset {
  /// Why it is not in force, as a sentence.
  package struct InstallationError: Error {
    package var text: String
  }

  /// Applies `Ruleset.render`'s text of table `inet TABLE` in one transaction; sets that are there keep their elements.
  ///
  /// - Throws: where another program made the table that is there, or nft refuses the text.
  package static func install(_ text: String, table: String) throws(InstallationError) {
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

  /// Whether table `inet TABLE` is in the kernel and is a managed one.
  ///
  /// - Throws: where the kernel cannot be asked.
  package static func isInstalled(table: String) throws(SystemError) -> Bool {
    TableInstaller.isOurs(try KernelSets().sets(family: .inet, table: table))
  }
}
