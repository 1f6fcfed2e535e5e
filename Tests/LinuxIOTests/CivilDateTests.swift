import LinuxIO
import Testing

@Suite("Dates")
struct CivilDateTests {
  @Test("days since 1970 and dates are each other's, over two eras, one day after the other")
  func everyDay() throws {
    var expected = try #require(CivilDate(year: 1599, month: 12, day: 31))
    for number in expected.dayNumber...(expected.dayNumber + 2 * 146_097) {
      let date = CivilDate(dayNumber: number)
      guard date == expected, date.dayNumber == number else {
        Issue.record("day \(number): \(date), expected \(expected)")
        return
      }
      let next =
        CivilDate(year: date.year, month: date.month, day: date.day + 1)
        ?? CivilDate(year: date.year, month: date.month + 1, day: 1)
        ?? CivilDate(year: date.year + 1, month: 1, day: 1)
      expected = try #require(next)
    }
  }

  @Test(
    "the day's number is that of the calendar",
    arguments: [
      (1970, 1, 1, 0), (1969, 12, 31, -1), (2000, 2, 29, 11_016), (2026, 11, 20, 20_777), (9999, 12, 31, 2_932_896),
      (1, 1, 1, -719_162), (0, 1, 1, -719_528),
    ])
  func known(_ year: Int, _ month: Int, _ day: Int, _ number: Int) {
    #expect(CivilDate(year: year, month: month, day: day)?.dayNumber == number)
  }

  @Test(
    "a day that there is not is none",
    arguments: [(2026, 2, 29), (1900, 2, 29), (2026, 4, 31), (2026, 13, 1), (2026, 0, 1), (2026, 1, 0), (2026, 1, 32)])
  func none(_ year: Int, _ month: Int, _ day: Int) {
    #expect(CivilDate(year: year, month: month, day: day) == nil)
  }
}
