import DNSWire

extension Scrubber {
  /// Where a name leads by an alias: the target of its CNAME, and of the DNAME of a name that it ends in. Nil where there is
  /// none.
  ///
  /// A server that has a DNAME gives the CNAME that it stands for beside it (RFC 6672 section 3.1). One that says something
  /// else is no such CNAME; where there is none, the DNAME is enough (threats U12).
  func link(
    _ records: [Record], _ message: Span<UInt8>, from name: [UInt8]
  ) throws(ScrubError) -> (target: [UInt8], ttl: UInt32)? {
    var link: (target: [UInt8], ttl: UInt32)?
    for record in records where record.header.section == .answer {
      let target: [UInt8]
      switch record.header.type {
      case .CNAME where record.owner == name: target = try targetName(message, record.header)
      case .DNAME:
        guard let labels = Self.labels(of: name, before: record.owner), labels > 0 else { continue }
        target = try Array(name[..<labels]) + targetName(message, record.header)
        // YXDOMAIN: there is no such name.
        guard target.count <= NameWire.maxOctets else { throw .invalid }
      default: continue
      }
      guard link?.target ?? target == target else { throw .invalid }
      link = (target, min(link?.ttl ?? record.header.ttl, record.header.ttl))
    }
    return link
  }
}
