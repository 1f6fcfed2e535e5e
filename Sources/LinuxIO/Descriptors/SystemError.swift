import Glibc

/// A system call that failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
  package let call: String
  /// As errno(3) has it, not negated.
  package let errno: Int32

  package init(call: StaticString, errno: Int32) {
    self.call = call.description
    self.errno = errno
  }

  /// `bind: Address already in use`.
  package var description: String { "\(call): \(Self.text(errno))" }

  /// `Address already in use`.
  package static func text(_ errno: Int32) -> String {
    unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
  }
}
