import Glibc

/// An open descriptor; closed when its owner goes.
package struct FileDescriptor: ~Copyable, Sendable {
  package let raw: Int32

  package init(_ raw: Int32) {
    self.raw = raw
  }

  deinit {
    close(raw)
  }

  /// Releases ownership: the caller closes the descriptor.
  package consuming func release() -> Int32 {
    let raw = raw
    discard self
    return raw
  }
}
