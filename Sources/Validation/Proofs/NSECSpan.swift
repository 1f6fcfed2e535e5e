import DNSWire

/// A name with its types, and that there is none between it and the next (RFC 4034 section 4).
struct NSECSpan {
  let owner: Name
  let next: Name
  let types: TypeBitmap

  /// Nil for data that is none.
  init?(owner: Name, _ rdata: [UInt8]) {
    var at = 0
    do throws(FormatError) {
      // A name in record data begins where no pointer can lead: what is compressed is refused.
      next = try Name(rdata.span, at: &at)
    } catch {
      return nil
    }
    self.owner = owner
    types = TypeBitmap(rdata[at...])
  }

  /// Whether `name` would stand between the two. The last name of a zone is followed by the first.
  func covers(_ name: Name) -> Bool {
    // What is below a cut or a DNAME is not this zone's to deny.
    guard owner < name, !(name.isSubdomain(of: owner) && types.endsHere) else { return false }
    return name < next || next <= owner && name.isSubdomain(of: next)
  }

  /// The longest name above `name` that exists.
  func encloser(of name: Name) -> Name {
    let (left, right) = (name.commonAncestor(owner), name.commonAncestor(next))
    return left.labelCount > right.labelCount ? left : right
  }
}
