/// What each packet costs more than it should, to show that it would be noticed.
enum Waste: String {
  case nothing
  /// One array on the heap.
  case allocation
  /// One more owner of an array, and one less.
  case reference
}
