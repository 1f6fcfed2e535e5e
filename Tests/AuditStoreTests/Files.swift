import Glibc

/// The calls on files that tests make, each in one place.
enum Files {
  static func symlink(_ target: String, _ path: String) { _ = unsafe Glibc.symlink(target, path) }
  static func link(_ target: String, _ path: String) { _ = unsafe Glibc.link(target, path) }
  static func remove(_ path: String) { _ = unsafe unlink(path) }
  static func move(_ from: String, _ to: String) { _ = unsafe rename(from, to) }
  static func makeDirectory(_ path: String) { _ = unsafe mkdir(path, 0o700) }
  static func setMode(_ path: String, _ mode: mode_t) { _ = unsafe chmod(path, mode) }

  static func openToAppend(_ path: String) -> Int32 { unsafe open(path, O_WRONLY | O_CREAT | O_APPEND, 0o600) }

  /// Adds one octet, in one call.
  static func tick(_ descriptor: Int32) {
    var octet: UInt8 = 0x78
    _ = unsafe write(descriptor, &octet, 1)
  }

  /// Writes until nothing more fits on the file system.
  static func fill(_ path: String) {
    let descriptor = openToAppend(path)
    let block = [UInt8](repeating: 0, count: 4096)
    while unsafe write(descriptor, block, block.count) > 0 {}
    close(descriptor)
  }

  /// Mounts a file system of so many octets; false, with the reason on standard output, without the right to.
  static func mountSmall(_ path: String, octets: Int) -> Bool {
    makeDirectory(path)
    if unsafe mount("tmpfs", path, "tmpfs", 0, "size=\(octets)") == 0 { return true }
    let reason = unsafe strerror(errno).map { unsafe String(cString: $0) } ?? "error \(errno)"
    print("skipped: a full disk cannot be tested without the right to mount (\(reason))")
    return false
  }

  static func unmount(_ path: String) { _ = unsafe umount2(path, 2) }  // MNT_DETACH
}
