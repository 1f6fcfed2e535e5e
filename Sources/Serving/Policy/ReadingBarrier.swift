import Glibc

/// What keeps this process from a file that is there.
enum ReadingBarrier {
  /// Its owner and mode, or those of a folder above it.
  case mode(String)
  /// This process's sandbox, which knows the folders that the configuration named when serve was started.
  case sandbox(String)

  /// Nil where the file can be opened, or is not there.
  init?(_ path: String) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor < 0 else {
      close(descriptor)
      return nil
    }
    guard errno == EACCES else { return nil }
    // What Landlock keeps out of reach, `access` says to be readable.
    self = unsafe access(path, R_OK) == 0 ? .sandbox(path) : .mode(path)
  }

  var text: String {
    switch self {
    case .mode(let path):
      "\(path) cannot be read: permission denied; expected a file that the service's group may read (chgrp, chmod g+r), in "
        + "folders that it may enter (chmod g+rx)"
    case .sandbox(let path):
      "\(path) is out of reach of serve, which is confined to the folders that its configuration named when it was started; "
        + "expected a file in one of them, or a restart"
    }
  }
}
