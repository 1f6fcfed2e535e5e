/// Text in columns as wide as their widest entry.
enum AlignedColumns {
  /// The heading stands out on a terminal.
  static func lines(_ heading: [String], _ rows: [[String]]) -> [String] {
    let lines = plainLines(heading, rows)
    return [TerminalStyle.heading(lines[0])] + lines.dropFirst()
  }

  static func plainLines(_ heading: [String], _ rows: [[String]]) -> [String] {
    let all = [heading] + rows
    let widths = heading.indices.map { column in all.map { $0[column].utf8.count }.max() ?? 0 }
    return all.map { row in
      row.indices.map { index in
        let isLast = index == row.count - 1
        return row[index] + String(repeating: " ", count: isLast ? 0 : widths[index] - row[index].utf8.count + 2)
      }.joined()
    }
  }
}
