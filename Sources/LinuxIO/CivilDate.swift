/// A date of the Gregorian calendar, as it would have been before 1582 as well.
package struct CivilDate: Equatable, Sendable {
  package static let secondsOfDay = 86_400
  // Eras of 400 years begin on 1 March, so that a leap day is the last of its year; 1970-01-01 is this many days after the
  // beginning of the first one, 0000-03-01.
  private static let eraDays = 146_097
  private static let daysBefore1970 = 719_468

  package let year: Int
  /// 1 to 12.
  package let month: Int
  /// 1 to 31.
  package let day: Int

  /// Nil for a day that there is not.
  package init?(year: Int, month: Int, day: Int) {
    let length: Int
    switch month {
    case 2: length = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: length = 30
    case 1, 3, 5, 7, 8, 10, 12: length = 31
    default: return nil
    }
    guard day >= 1, day <= length else { return nil }
    (self.year, self.month, self.day) = (year, month, day)
  }

  /// - Parameter number: days since 1970-01-01.
  package init(dayNumber number: Int) {
    let (era, dayOfEra) = Self.floored(number + Self.daysBefore1970, by: Self.eraDays)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
    day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
  }

  /// Days since 1970-01-01.
  package var dayNumber: Int {
    let (era, yearOfEra) = Self.floored(month <= 2 ? year - 1 : year, by: 400)
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return era * Self.eraDays + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - Self.daysBefore1970
  }

  /// Quotient and remainder, of which the latter is never negative.
  private static func floored(_ number: Int, by divisor: Int) -> (Int, Int) {
    let (quotient, remainder) = number.quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
