/// The growing text; every line names the table.
struct RulesetScript {
  let table: String
  var text = ""

  mutating func line(_ verb: String, _ name: String, _ rest: String = "") {
    text += "\(verb) \(table) \(name)\(rest.isEmpty ? "" : " ")\(rest)\n"
  }

  mutating func rule(_ chain: String, _ rule: String) {
    line("add rule", chain, rule)
  }
}
