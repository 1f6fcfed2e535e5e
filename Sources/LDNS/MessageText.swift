import CLDNS
import DNSWire

/// A DNS message as text, written by ldns: in the form that `dig` and `drill` made familiar.
package struct MessageText {
  /// The whole message, a line for each record.
  package let text: String
  /// The data of each record of the answer section, in presentation form.
  package let answerData: [String]

  /// Nil for what is no message.
  ///
  /// - Parameters:
  ///   - received: seconds since 1970.
  ///   - milliseconds: that the answer took.
  package init?(_ octets: [UInt8], received: UInt64, milliseconds: UInt32) {
    // Release 1.8.3 ends the process over some of what our reader refuses.
    do throws(FormatError) {
      var reader = try ResponseReader(octets.span)
      while try reader.next(octets.span) != nil {}
    } catch {
      return nil
    }
    var pointer: UnsafeMutablePointer<ldns_pkt>?
    let status = unsafe octets.withUnsafeBufferPointer { buffer in
      unsafe ldns_wire2pkt(&pointer, buffer.baseAddress, buffer.count)
    }
    guard status == LDNS_STATUS_OK, let packet = unsafe pointer else { return nil }
    defer { unsafe ldns_pkt_free(packet) }
    unsafe ldns_pkt_set_timestamp(packet, timeval(tv_sec: Int(clamping: received), tv_usec: 0))
    unsafe ldns_pkt_set_querytime(packet, milliseconds)
    guard let text = unsafe Self.text(ldns_pkt2str(packet)) else { return nil }
    // Without the headings of sections in which nothing is.
    let blocks = text.split(separator: "\n\n", omittingEmptySubsequences: true)
    self.text = blocks.filter { $0.contains("\n") || !$0.hasSuffix(" SECTION:") }.joined(separator: "\n\n")
    let records = unsafe ldns_pkt_answer(packet)
    answerData = unsafe (0..<ldns_rr_list_rr_count(records)).map { index in
      let record = unsafe ldns_rr_list_rr(records, index)
      return unsafe (0..<ldns_rr_rd_count(record)).compactMap { field in
        unsafe Self.text(ldns_rdf2str(ldns_rr_rdf(record, field)))
      }.joined(separator: " ")
    }
  }

  /// Takes over what ldns allocated.
  private static func text(_ allocated: UnsafeMutablePointer<CChar>?) -> String? {
    guard let allocated = unsafe allocated else { return nil }
    defer { unsafe free(allocated) }
    return unsafe String(cString: allocated)
  }
}
