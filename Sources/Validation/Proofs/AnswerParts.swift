package import DNSWire

/// The parts on which an answer to a question rests: each link of its chain, and what stands at its end.
package struct AnswerParts {
  /// One of them.
  package struct Part {
    /// The name that it is about.
    package let name: Name
    /// The zone that says to have signed it; nil where none does.
    package let signer: Name?
    /// Nil: that there is no such name or type.
    let set: RecordSet?
  }

  /// Links that are followed; as in the scrubber.
  private static let maxLinks = 11

  package let parts: [Part]
  /// Where the links lead, in their order.
  package let targets: [Name]
  let message: SignedMessage

  /// Whether records stand at the end; else it is denied that there are any.
  package var isPositive: Bool { parts.last?.set != nil }

  /// Follows the chain as the scrubber does.
  ///
  /// - Throws: `malformed` for what is no answer.
  package init(_ message: Span<UInt8>, name: Name, type: RRType) throws(ValidationFault) {
    do throws(FormatError) {
      self.message = try SignedMessage(message, type: type)
    } catch {
      throw .malformed
    }
    var (parts, targets): ([Part], [Name]) = ([], [])
    var end = name
    while parts.count <= Self.maxLinks, type != .CNAME, let link = self.message.answer(end, .CNAME),
      let target = link.target
    {
      parts.append(Self.part(of: link, in: self.message))
      targets.append(target)
      end = target
    }
    guard parts.count <= Self.maxLinks else { throw .malformed }
    let last = self.message.answer(end, type)
    if let last, self.message.code == .NOERROR {
      parts.append(Part(name: end, signer: last.signer, set: last))
    } else {
      parts.append(Part(name: end, signer: Self.denier(of: end, self.message), set: nil))
    }
    (self.parts, self.targets) = (parts, targets)
  }

  /// A link that no one signed may follow from a DNAME that is (RFC 6672 section 5.3.1).
  private static func part(of link: RecordSet, in message: SignedMessage) -> Part {
    guard link.signatures.isEmpty, let alias = message.answer.first(where: { $0.type == .DNAME && $0.leads(link) })
    else { return Part(name: link.owner, signer: link.signer, set: link) }
    return Part(name: link.owner, signer: alias.signer, set: alias)
  }

  private static func denier(of name: Name, _ message: SignedMessage) -> Name? {
    let proofs = message.authority.filter { $0.type == .NSEC || $0.type == .NSEC3 || $0.type == .SOA }
    return proofs.compactMap(\.signer).first { name.isSubdomain(of: $0) }
  }
}

extension RecordSet {
  /// Where a CNAME or a DNAME leads; nil where its records are not one.
  fileprivate var target: Name? {
    guard let first = records.first, records.allSatisfy({ $0 == first }) else { return nil }
    return Name(whole: first.span)
  }

  /// Whether a CNAME is what follows from this DNAME.
  fileprivate func leads(_ link: RecordSet) -> Bool {
    guard let target, link.owner != owner, link.owner.isSubdomain(of: owner) else { return false }
    let head = link.owner.wire.dropLast(owner.wire.count)
    guard head.count + target.wire.count <= NameWire.maxOctets else { return false }
    return link.target?.wire.elementsEqual(head + target.wire) ?? false
  }
}
