import Testing

@testable import FirewallModel

@Suite("Books of what was refused and told")
struct RefusalBooksTests {
  @Test("what the counters had before is not counted, and what follows is, whatever is read between")
  func readings() {
    var books = RefusalBooks(["a": 100, "host": 3], at: 10)
    books.count("a", at: 11)
    books.read(["a": 105, "host": 3], at: 12, closes: false)
    books.read(["a": 120, "host": 3, "b": 2], at: 20, closes: true)
    #expect(
      books.close() == [
        RefusalBook(server: "a", refused: 20, told: 1, since: 10, cutSince: 0),
        RefusalBook(server: "b", refused: 2, told: 0, since: 10, cutSince: 0),
      ])
    books.read(["a": 120, "host": 3, "b": 2], at: 30, closes: true)
    #expect(books.close().isEmpty)
  }

  @Test("what the closing rules drop is the host's, once, whatever becomes of the table's counters meanwhile")
  func dropped() {
    var books = RefusalBooks(["host": 3], dropped: 2, at: 10)
    books.read(["host": 10], dropped: 2, at: 20, closes: false)
    // The table goes, with what its counter had; the closing rules stand beside it.
    books.read([:], dropped: 7, at: 30, closes: false)
    books.read(["host": 0], dropped: nil, at: 40, closes: false)
    books.read([:], dropped: 9, at: 50, closes: true)
    #expect(books.close() == [RefusalBook(server: "host", refused: 14, told: 0, since: 10, cutSince: 20)])
    books.read(["host": 0], dropped: 9, at: 60, closes: true)
    #expect(books.close().isEmpty)
  }

  @Test("what is told late belongs to its own minute, by the kernel's time of it")
  func late() {
    var books = RefusalBooks([:], at: 0)
    books.read(["a": 2], at: 100, closes: true)
    for time: UInt64 in [99, 101, 100] { books.count("a", at: time) }
    #expect(books.close() == [RefusalBook(server: "a", refused: 2, told: 2, since: 0, cutSince: 0)])
    books.read(["a": 3], at: 200, closes: true)
    #expect(books.close() == [RefusalBook(server: "a", refused: 1, told: 1, since: 100, cutSince: 0)])
  }

  @Test("a counter that was taken away is named with the time of its last reading, however often it is read after")
  func taken() {
    var books = RefusalBooks(["a": 5], at: 10)
    books.read(["a": 7, "b": 1], at: 20, closes: false)
    books.read([:], at: 30, closes: false)
    books.read(["a": 4], at: 40, closes: true)
    #expect(
      books.close() == [
        RefusalBook(server: "a", refused: 6, told: 0, since: 10, cutSince: 20),
        RefusalBook(server: "b", refused: 1, told: 0, since: 10, cutSince: 20),
      ])
    // Set back by another program.
    books.read(["a": 1], at: 50, closes: true)
    #expect(books.close() == [RefusalBook(server: "a", refused: 1, told: 0, since: 40, cutSince: 40)])
  }

  @Test("the books are balanced when each packet that the counters have was told")
  func balanced() {
    var books = RefusalBooks(["a": 5, "b": 1], at: 0)
    #expect(books.isBalanced)
    books.read(["a": 7, "b": 1], at: 10, closes: true)
    books.count("a", at: 9)
    #expect(!books.isBalanced)
    books.count("a", at: 10)
    #expect(books.isBalanced)
  }

  @Test("a server that a plan takes away takes its counter with it, and nothing is lost")
  func kept() {
    var books = RefusalBooks(["a": 5, "b": 5, "host": 1], at: 0)
    books.read(["a": 6, "b": 7, "host": 1], at: 1, closes: false)
    books.retain(["a", "host"])
    books.read(["a": 6, "host": 1], at: 2, closes: true)
    #expect(books.close().map(\.server) == ["a", "b"])
    books.read(["a": 6, "host": 1], at: 3, closes: true)
    #expect(books.close().isEmpty)
  }
}
