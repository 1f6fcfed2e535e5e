import CNetfilter
import FirewallModel

/// Reads the parts of parsed set elements: the only place that knows how libnftnl hands them out.
enum SetElements {
  /// Calls `body` with each element of a parsed list; none of them outlives the call.
  static func each(_ list: OpaquePointer, _ body: (OpaquePointer) -> Void) {
    guard let iterator = unsafe nftnl_set_elems_iter_create(list) else { return }
    defer { unsafe nftnl_set_elems_iter_destroy(iterator) }
    while let element = unsafe nftnl_set_elems_iter_next(iterator) {
      unsafe body(element)
    }
  }

  /// The octets of an element's key.
  static func key(_ element: OpaquePointer) -> [UInt8]? {
    var octets: UInt32 = 0
    guard let key = unsafe nftnl_set_elem_get(element, UInt16(NFTNL_SET_ELEM_KEY), &octets) else { return nil }
    // libnftnl says how many octets lie behind the pointer that it lends.
    return unsafe Array(UnsafeRawBufferPointer(start: key, count: Int(octets)))
  }

  /// Milliseconds until it ends; nil when it never does.
  static func remainingMilliseconds(_ element: OpaquePointer) -> UInt64? {
    let expiration = UInt16(NFTNL_SET_ELEM_EXPIRATION)
    guard unsafe nftnl_set_elem_is_set(element, expiration) else { return nil }
    return unsafe nftnl_set_elem_get_u64(element, expiration)
  }

  /// What its counter has seen; nil without a counter.
  static func counts(_ element: OpaquePointer) -> ElementCounts? {
    var reading = Reading()
    _ = unsafe withUnsafeMutablePointer(to: &reading) { reading in
      unsafe nftnl_set_elem_expr_foreach(
        element,
        { expression, context in
          guard let expression = unsafe expression, let context = unsafe context,
            let name = unsafe nftnl_expr_get_str(expression, UInt16(NFTNL_EXPR_NAME)),
            unsafe String(cString: name) == "counter"
          else { return 0 }
          let found = unsafe context.assumingMemoryBound(to: Reading.self)
          unsafe found.pointee.counts = ElementCounts(
            octets: nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_CTR_BYTES)),
            packets: nftnl_expr_get_u64(expression, UInt16(NFTNL_EXPR_CTR_PACKETS)))
          return 0
        }, reading)
    }
    return reading.counts
  }

  private struct Reading {
    var counts: ElementCounts?
  }
}

extension ElementKey {
  /// Lends the octets; at most 24, whatever `octets` says.
  func withOctets<T>(_ body: (UnsafeRawBufferPointer) -> T) -> T {
    let words = (first.bigEndian, second.bigEndian, third.bigEndian)
    return unsafe withUnsafeBytes(of: words) { all in
      unsafe body(UnsafeRawBufferPointer(rebasing: all.prefix(octets)))
    }
  }

  /// The first `count` octets.
  package var bytes: [UInt8] { unsafe withOctets { unsafe Array($0) } }
}
