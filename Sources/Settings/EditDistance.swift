/// Finds the word that was probably meant.
package enum EditDistance {
  /// The nearest of `words` when it is near enough to be a slip.
  package static func nearest(to text: String, among words: [String]) -> String? {
    guard text.utf8.count <= longest else { return nil }
    let ranked = words.map { (word: $0, distance: between(text.lowercased(), $0)) }
    guard let best = ranked.min(by: { $0.distance < $1.distance }) else { return nil }
    return best.distance <= max(2, best.word.count / 3) && best.distance < best.word.count ? best.word : nil
  }

  /// `words` by their distance from `text`; those at one distance in the order in which they were. Of a text that no word is
  /// near to, for it is too long, all in their order.
  static func nearestFirst(_ words: [String], to text: String) -> [String] {
    guard text.utf8.count <= longest else { return words }
    let text = text.lowercased()
    return words.enumerated().map { (at: $0, word: $1, distance: between(text, $1)) }
      .sorted { ($0.distance, $0.at) < ($1.distance, $1.at) }.map(\.word)
  }

  /// Octets of a text that words are compared with: it may come from anywhere.
  private static let longest = 64

  /// Insertions, removals and replacements from one text to the other (Levenshtein).
  static func between(_ left: String, _ right: String) -> Int {
    let right = Array(right.unicodeScalars)
    var row = Array(0...right.count)
    for (index, scalar) in left.unicodeScalars.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for column in right.indices {
        let change = diagonal + (right[column] == scalar ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(change, row[column] + 1, diagonal + 1)
      }
    }
    return row[right.count]
  }
}
