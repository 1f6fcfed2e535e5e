/// What is said where a server was named that there is not.
package enum UnknownServer {
  /// As many names as people read.
  private static let shown = 20

  /// The text, with the name that was probably meant, and the servers that there are, the nearest to `name` first.
  package static func text(_ name: String, among known: [String]) -> String {
    let meant = EditDistance.nearest(to: name, among: known).map { ", did you mean \($0)?" } ?? ""
    guard !known.isEmpty else { return "there is no server \(name)\(meant); there is none at all" }
    let listed = EditDistance.nearestFirst(known, to: name).prefix(shown).joined(separator: ", ")
    return "there is no server \(name)\(meant); servers: \(listed)\(known.count > shown ? ", …" : "")"
  }
}
