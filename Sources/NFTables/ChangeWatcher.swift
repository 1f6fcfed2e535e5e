import CLinux
import CNetfilter
package import FirewallModel
import Glibc
package import LinuxIO

/// Listens to the kernel's notifications of what others do to our table.
package final class ChangeWatcher {
  private let socket: NetlinkSocket
  /// The feeding socket's port: its changes are the worker's own.
  private let ownPort: UInt32

  package init(ignoring ownPort: UInt32) throws(SystemError) {
    socket = try NetlinkSocket(groups: 1 << (UInt32(NFNLGRP_NFTABLES.rawValue) - 1))
    self.ownPort = ownPort
    socket.setReceiveBuffer(octets: 4 << 20)
    // The worker's own commits never wake it: the kernel drops their notifications before they are queued.
    let error = sluice_netlink_ignore_ports(socket.descriptor, ownPort, ownPort)
    guard error == 0 else { throw SystemError(call: "SO_ATTACH_FILTER", errno: error) }
  }

  package var descriptor: Int32 { socket.descriptor }

  /// A program works for the worker from now on (or, with nil, no longer): netlink gives a process's first socket its
  /// id as port. Should the filter fail, the worker's own installation is taken for another program's, reported, and no
  /// harm is done.
  package func ignore(process: Int32?) {
    _ = sluice_netlink_ignore_ports(socket.descriptor, ownPort, process.map { UInt32(bitPattern: $0) } ?? ownPort)
  }

  /// Reads what waits.
  ///
  /// - Parameters:
  ///   - removed: called once, at the first change that takes something away, before the next is read: a flush is told of
  ///     in hundreds.
  ///   - harmed: called once, at the first harmful change: of a flush the kernel tells its rules first.
  package func drain(
    family: FirewallPlan.Family, table: String, removed: () -> Void = {}, harmed: () -> Void = {}
  ) -> TableChanges {
    var news = TableChanges()
    var (isTold, isRemovalTold) = (false, false)
    func tellHarm() {
      if !isRemovalTold, !news.changes.isDisjoint(with: .removal) {
        isRemovalTold = true
        removed()
      }
      guard !isTold, news.isHarmful else { return }
      isTold = true
      harmed()
    }
    // A bound, so that a busy program cannot keep the worker from feeding.
    for _ in 0..<1_024 {
      do {
        let more = try unsafe socket.receive(waiting: false) { message throws(SystemError) in
          unsafe take(message, family: family, table: table, into: &news)
          tellHarm()
        }
        guard more else { break }
      } catch {
        // ENOBUFS: notifications were dropped.
        news.changes.insert(.unknown)
        tellHarm()
        guard error.errno == ENOBUFS else { break }
      }
    }
    return news
  }

  private func take(
    _ message: UnsafePointer<nlmsghdr>, family: FirewallPlan.Family, table: String, into news: inout TableChanges
  ) {
    let type = unsafe Int32(message.pointee.nlmsg_type)
    let port = unsafe message.pointee.nlmsg_pid
    guard type >> 8 == Int32(NFNL_SUBSYS_NFTABLES), port != ownPort,
      unsafe mnl_nlmsg_get_payload_len(message) >= MemoryLayout<nfgenmsg>.size,
      let header = unsafe mnl_nlmsg_get_payload(message)
    else { return }
    // Attribute 1 is the table's name and 2 the chain's or set's in every message of nf_tables but NEWGEN.
    let attributes = unsafe NetlinkAttributes(of: message)
    guard unsafe header.load(as: UInt8.self) == family.rawValue, attributes.text(1) == table else { return }
    let object = attributes.text(2) ?? ""
    switch UInt32(type & 0xFF) {
    case NFT_MSG_DELTABLE.rawValue: news.changes.insert(.tableRemoved)
    case NFT_MSG_DELSET.rawValue:
      // Anonymous sets go with the rule that holds them.
      news.changes.insert(object.hasPrefix("__") ? .rulesChanged : .setRemoved)
    case NFT_MSG_NEWCHAIN.rawValue, NFT_MSG_DELCHAIN.rawValue, NFT_MSG_NEWRULE.rawValue, NFT_MSG_DELRULE.rawValue,
      NFT_MSG_NEWTABLE.rawValue, NFT_MSG_NEWSET.rawValue:
      news.changes.insert(.rulesChanged)
    case NFT_MSG_NEWSETELEM.rawValue: elements(.elementsAdded, of: object, into: &news)
    case NFT_MSG_DELSETELEM.rawValue: elements(.elementsRemoved, of: object, into: &news)
    default: break
    }
  }

  /// Every set that is not a server's own holds a part of the rules.
  private func elements(_ change: TableChange, of set: String, into news: inout TableChanges) {
    guard SetName(set) != nil else {
      news.changes.insert(.rulesChanged)
      return
    }
    news.changes.insert(change)
    news.sets.insert(set)
  }
}
