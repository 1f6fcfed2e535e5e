import Glibc

/// One call of the control API, as its handler sees it.
package struct ControlRequest: Sendable {
  /// The methods of HTTP that a call can have (RFC 9110 section 9).
  package enum Method: String, Sendable {
    case get = "GET"
    case post = "POST"
    case delete = "DELETE"
  }

  package var method: Method
  /// The path's components, decoded: `/v1/cache/github-mcp` is `["v1", "cache", "github-mcp"]`.
  package var path: [String]
  /// What follows the question mark, decoded; of a name that comes twice the last counts.
  package var query: [String: String]
  package var body: [UInt8]
  package var peer: ControlPeer

  package init(method: Method, path: [String], query: [String: String] = [:], body: [UInt8] = [], peer: ControlPeer) {
    self.method = method
    self.path = path
    self.query = query
    self.body = body
    self.peer = peer
  }
}

/// Who calls, as the kernel tells it of a Unix socket (SO_PEERCRED of unix(7)); all -1 where it does not.
package struct ControlPeer: Equatable, Sendable {
  package var pid: Int32
  package var uid: UInt32
  package var gid: UInt32

  package init(pid: Int32, uid: UInt32, gid: UInt32) {
    self.pid = pid
    self.uid = uid
    self.gid = gid
  }

  /// Root, and who this process is.
  package var mayChange: Bool { self != .nobody && (uid == 0 || uid == geteuid()) }

  /// A caller of whom nothing is known.
  package static let nobody = ControlPeer(pid: -1, uid: .max, gid: .max)
}

/// What a call is answered: status of HTTP, media type and body.
package struct ControlResponse: Sendable {
  package var status: Int
  package var contentType: String
  package var body: [UInt8]

  package init(status: Int = 200, contentType: String = "application/json", body: [UInt8]) {
    self.status = status
    self.contentType = contentType
    self.body = body
  }
}

/// Answers a call; the completion may be called on any thread, once.
package typealias ControlHandler =
  @Sendable (_ request: ControlRequest, _ completion: @escaping @Sendable (ControlResponse) -> Void) -> Void
