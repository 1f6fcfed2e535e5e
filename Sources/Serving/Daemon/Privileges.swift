package import Settings
import CLinux
import Glibc
import LinuxIO

/// Gives up what `serve` needs only to start.
package enum Privileges {
  /// Numbers of a user and of its group.
  package struct Account {
    package var user: UInt32
    package var group: UInt32
  }

  /// The kernel's number for a user that it does not know, which is that of the user `nobody`: other services'
  /// processes have it too.
  private static let unknownUser: UInt32 = 65_534

  /// What serve becomes: the account of `user` where root started it, else nil, for it stays who it is.
  static func account(of user: ServiceUser) throws(StartError) -> Account? {
    geteuid() == 0 ? try lookUp(user).get() : nil
  }

  /// The account of a user on this host; nil where serve could not become it.
  package static func known(_ user: ServiceUser) -> Account? {
    guard case .success(let account) = lookUp(user) else { return nil }
    return account
  }

  /// The account that serve would become, or why it could not.
  static func lookUp(_ user: ServiceUser) -> Result<Account, StartError> {
    var account = Account(user: 0, group: 0)
    let error = unsafe sluice_find_user(user.name, &account.user, &account.group)
    guard error == 0 else {
      return .failure(StartError("user: there is no user \(user.name); make it: \(user.creation)"))
    }
    return check(account, named: user.name)
  }

  /// An account that has no power but that of its name, or why it may not be serve's.
  static func check(_ account: Account, named name: String) -> Result<Account, StartError> {
    guard account.user != unknownUser else {
      return .failure(StartError("user: \(name) has the number of nobody, which other services' processes have too"))
    }
    guard account.user != 0 || name == "root" else {
      return .failure(StartError("user: \(name) is root by another name, expected `user: root` where that is meant"))
    }
    return .success(account)
  }

  /// Becomes `account`, if one is given, and gives up every capability for good (P7: or does not start).
  static func lower(to account: Account?) throws(StartError) {
    if let account, geteuid() == 0 {
      try require(sluice_privileges_leave_root(account.user, account.group), "privileges cannot be lowered")
    }
    try require(sluice_privileges_drop_all(), "capabilities cannot be given up")
  }

  /// - Parameters:
  ///   - error: of a call; 0 where it was done.
  ///   - otherwise: what is wrong where it was not.
  static func require(_ error: Int32, _ otherwise: String) throws(StartError) {
    guard error == 0 else { throw StartError("\(otherwise): \(SystemError.text(error))") }
  }
}
