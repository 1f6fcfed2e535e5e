import Sharing

/// The questions in flight by their tickets: slots of `Shares`, whose places are found without a search.
struct ResolutionTable {
  typealias Resolution = ResolutionEngine.Resolution

  private var places: [Resolution?] = []
  private(set) var count = 0

  /// The question of a ticket; nil once it has ended.
  subscript(ticket: ResolutionEngine.Ticket) -> Resolution? {
    let place = Shares<UInt16>.place(of: ticket)
    guard place < places.count, let resolution = places[place], resolution.ticket == ticket else { return nil }
    return resolution
  }

  /// All of them, in no order.
  var values: some Sequence<Resolution> { places.lazy.compactMap { $0 } }

  mutating func insert(_ resolution: Resolution) {
    let place = Shares<UInt16>.place(of: resolution.ticket)
    while places.count <= place { places.append(nil) }
    if places[place] == nil { count += 1 }
    places[place] = resolution
  }

  mutating func remove(_ ticket: ResolutionEngine.Ticket) -> Resolution? {
    guard let resolution = self[ticket] else { return nil }
    places[Shares<UInt16>.place(of: ticket)] = nil
    count -= 1
    return resolution
  }
}
