package import EgressPolicy

/// All lists that documents may include by name, for those who choose among them.
package struct ListCatalogue {
  package let folders: [String]
  /// In order of name; those that can be read.
  package let lists: [ListFile]
  package let diagnostics: [Diagnostic]

  /// - Parameter folders: the first that has a list of a name decides.
  package init(folders: [String]) {
    self.folders = folders
    var library = ListLibrary(folders: folders)
    var findings = FieldReader()
    lists = ListLibrary.names(in: folders).compactMap { name in
      library.list(.named(name, pin: nil), from: "", at: Self.nowhere, &findings)
    }
    diagnostics = findings.diagnostics
  }

  /// One list, by its name or by its file.
  ///
  /// - Returns: nil where there is none that can be read, and why.
  package static func list(_ text: String, folders: [String]) -> (list: ListFile?, diagnostics: [Diagnostic]) {
    var library = ListLibrary(folders: folders)
    var findings = FieldReader()
    do throws(ListReference.ReferenceError) {
      let list = library.list(try ListReference(text), from: "", at: nowhere, &findings)
      return (list, findings.diagnostics)
    } catch {
      return (nil, [.error(error.message, at: nowhere)])
    }
  }

  private static let nowhere = SourceLocation(file: "", line: 0, column: 0)
}

extension ListFile {
  /// The entries as a document reads them that says nothing of its own, and what is wrong with them.
  package func read() -> (rules: RuleList, prefixes: [StaticPrefixRule], diagnostics: [Diagnostic]) {
    var reader = PolicyReader()
    var (rules, prefixes): (RuleList, [StaticPrefixRule]) = ([], [])
    reader.read(self, into: &rules, &prefixes)
    return (rules, prefixes, reader.findings.diagnostics)
  }
}
