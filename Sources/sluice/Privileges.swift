import CLinux
import Glibc

/// Gives up what `serve` needs only to start.
enum Privileges {
  struct Account {
    var user: UInt32
    var group: UInt32
  }

  /// The account of a user name.
  static func account(named name: String) throws(StartError) -> Account {
    var user: UInt32 = 0
    var group: UInt32 = 0
    let error = unsafe sluice_find_user(name, &user, &group)
    guard error == 0 else {
      let hint = "create it (useradd --system \(name)), name another one, or leave `user` out"
      throw StartError("user: there is no account named \"\(name)\"; \(hint)")
    }
    return Account(user: user, group: group)
  }

  /// Becomes `account`, if one is given, and gives up every capability for good (P7: or does not start).
  static func lower(to account: Account?) throws(StartError) {
    if let account, geteuid() == 0 {
      let error = sluice_become(account.user, account.group)
      guard error == 0 else { throw StartError("privileges cannot be lowered: \(Self.text(error))") }
    }
    let error = sluice_privileges_drop_all()
    guard error == 0 else { throw StartError("capabilities cannot be given up: \(Self.text(error))") }
  }

  private static func text(_ error: Int32) -> String {
    unsafe strerror(error).map { unsafe String(cString: $0) } ?? "error \(error)"
  }
}
