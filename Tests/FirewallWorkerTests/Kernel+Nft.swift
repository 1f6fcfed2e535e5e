import TestSupport

@testable import FirewallWorker

extension Kernel {
  /// Gives `text` to the real nft.
  static func nft(_ text: String, checkOnly: Bool = false) throws {
    do {
      try NftProgram.apply(text, checkOnly: checkOnly)
    } catch {
      throw Failure(description: error.text)
    }
  }
}
