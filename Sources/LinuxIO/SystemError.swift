import Glibc

/// A system call that failed.
package struct SystemError: Error, Equatable, CustomStringConvertible {
  package let call: String
  package let errno: Int32

  package init(call: StaticString, errno: Int32) {
    self.call = call.description
    self.errno = errno
  }

  /// `bind: Address already in use`.
  package var description: String {
    let text = unsafe strerror(errno)
    return "\(call): " + (unsafe text.map { unsafe String(cString: $0) } ?? "error \(errno)")
  }
}
