import Foundation
import NIOCore
import NIOEmbedded
import NIOSSL
import TestSupport
import Testing

@testable import TLS

/// Both sides of TLS in memory.
@Suite("TLS sessions")
struct TLSSessionTests {
  private static let authority = Result { try TestAuthority() }
  private static let name = "dns.example.net"

  /// A server's side; what it hears is kept.
  private final class Server {
    let channel: EmbeddedChannel

    init(
      _ identity: TestAuthority.Identity, oldest: TLSVersion = .tlsv12, newest: TLSVersion = .tlsv13,
      protocols: [String] = []
    ) throws {
      var configuration = TLSConfiguration.makeServerConfiguration(
        certificateChain: try NIOSSLCertificate.fromPEMFile(identity.certificate).map { .certificate($0) },
        privateKey: .privateKey(try NIOSSLPrivateKey(file: identity.key, format: .pem)))
      (configuration.minimumTLSVersion, configuration.maximumTLSVersion) = (oldest, newest)
      configuration.applicationProtocols = protocols
      channel = EmbeddedChannel(handler: NIOSSLServerHandler(context: try NIOSSLContext(configuration: configuration)))
      channel.connect(to: try SocketAddress(unixDomainSocketPath: "client"), promise: nil)
    }

    /// Takes octets of the network; returns what goes back.
    func exchange(_ octets: [UInt8]) -> [UInt8] {
      // What the handshake throws here is the client's to tell.
      if !octets.isEmpty { _ = try? channel.writeInbound(ByteBuffer(bytes: octets)) }
      var back: [UInt8] = []
      while let buffer = try? channel.readOutbound(as: ByteBuffer.self) { back += buffer.readableBytesView }
      return back
    }

    func heard() throws -> [UInt8] {
      var heard: [UInt8] = []
      while let buffer = try channel.readInbound(as: ByteBuffer.self) { heard += buffer.readableBytesView }
      return heard
    }

    deinit {
      channel.close(promise: nil)
      // The client's farewell is not waited for.
      channel.embeddedEventLoop.advanceTime(by: .seconds(60))
    }
  }

  private func client(
    name: String? = TLSSessionTests.name, authority: TestAuthority? = nil, pins: [TestAuthority.Identity] = [],
    protocols: [String] = []
  ) throws -> TLSClient {
    let authority = try authority ?? Self.authority.get()
    let octets = pins.compactMap { Data(base64Encoded: String($0.pin.dropFirst(7))).map { Array($0) } }
    return try TLSClient(
      name: name, authorities: name == nil ? nil : TLSAuthorities(file: authority.certificate), pins: Set(octets),
      protocols: protocols)
  }

  /// Carries octets to and fro until none are left; returns what the server said.
  private func talk(_ session: TLSSession, _ server: Server) throws(TLSFailure) -> [UInt8] {
    var said: [UInt8] = []
    while true {
      var out: [UInt8] = []
      session.takeOutput(into: &out)
      let back = server.exchange(out)
      if out.isEmpty, back.isEmpty { return said }
      if !back.isEmpty { said += try session.receive(back[...]) }
    }
  }

  private func failure(_ client: TLSClient, _ server: Server) throws -> TLSFailure? {
    let session = try TLSSession(client)
    defer { session.end() }
    do throws(TLSFailure) {
      _ = try talk(session, server)
      return nil
    } catch {
      #expect(!session.isOpen)
      #expect(try server.heard() == [])
      return error
    }
  }

  @Test("octets go to and fro once the server has shown who it is")
  func exchange() throws {
    let server = try Server(try Self.authority.get().issue(Self.name))
    let session = try TLSSession(try client())
    #expect(!session.isOpen)
    #expect(try talk(session, server) == [])
    #expect(session.isOpen)
    session.send(Array("question".utf8)[...])
    _ = try talk(session, server)
    #expect(try server.heard() == Array("question".utf8))
    server.channel.writeAndFlush(ByteBuffer(string: "answer"), promise: nil)
    #expect(try talk(session, server) == Array("answer".utf8))
    session.end()
    _ = try talk(session, server)
    #expect(!session.isOpen)
  }

  @Test("what is sent by itself is in a record by itself")
  func records() throws {
    let server = try Server(try Self.authority.get().issue(Self.name))
    let session = try TLSSession(try client())
    _ = try talk(session, server)
    session.send(Array("one".utf8)[...])
    session.send(Array("two".utf8)[...])
    var output: [UInt8] = []
    session.takeOutput(into: &output)
    #expect(TLSRecords.counts(output).count == 2)
    _ = server.exchange(output)
    #expect(try server.heard() == Array("onetwo".utf8))
    session.end()
  }

  @Test("a certificate counts only for its name, from a trusted authority, and while it is good")
  func certificates() throws {
    let authority = try Self.authority.get()
    let other = try TestAuthority()
    let good = try authority.issue(Self.name)
    #expect(try failure(client(), Server(good)) == nil)
    #expect(try failure(client(name: "dns.example.org"), Server(good)) == .otherName)
    #expect(try failure(client(authority: other), Server(good)) == .untrusted)
    #expect(try failure(client(), Server(other.issue(Self.name))) == .untrusted)
    #expect(try failure(client(), Server(authority.issue(Self.name, days: -3 ... -1))) == .expired)
    #expect(try failure(client(), Server(authority.issue(Self.name, days: 1...3))) == .notYetValid)
    #expect(try failure(client(), Server(authority.issue("*.example.net"))) == nil)
    #expect(try failure(client(), Server(authority.issue("*.net"))) == .otherName)
  }

  @Test("a pinned key counts alone without a name, and beside the name with one")
  func pins() throws {
    let authority = try Self.authority.get()
    let (good, other) = (try authority.issue(Self.name), try authority.issue(Self.name))
    let expired = try TestAuthority().issue("elsewhere", days: -3 ... -1)
    #expect(try failure(client(name: nil, pins: [expired]), Server(expired)) == nil)
    #expect(try failure(client(name: nil, pins: [good, expired]), Server(expired)) == nil)
    #expect(try failure(client(name: nil, pins: [good]), Server(other)) == .otherKey)
    #expect(try failure(client(pins: [good]), Server(good)) == nil)
    #expect(try failure(client(pins: [other]), Server(good)) == .otherKey)
    #expect(try failure(client(pins: [expired]), Server(expired)) == .expired)
    #expect(throws: TLSTrustError.nothingToVerify) { try client(name: nil) }
  }

  @Test("TLS 1.2 is taken, 1.1 is not")
  func versions() throws {
    let identity = try Self.authority.get().issue(Self.name)
    #expect(try failure(client(), Server(identity, newest: .tlsv12)) == nil)
    #expect(try failure(client(), Server(identity, oldest: .tlsv1, newest: .tlsv11)) == .oldVersion)
  }

  @Test("a server must choose the protocol that it is offered, in TLS 1.2 and 1.3, pinned or not")
  func protocols() throws {
    let identity = try Self.authority.get().issue(Self.name)
    for newest in [TLSVersion.tlsv12, .tlsv13] {
      let servers = try [["h2"], ["http/1.1", "h2"], ["http/1.1"], []].map {
        try Server(identity, newest: newest, protocols: $0)
      }
      let failures = try servers.map { try failure(client(protocols: ["h2"]), $0) }
      #expect(failures == [nil, nil, .otherProtocol, .otherProtocol])
      #expect(try failure(client(), Server(identity, newest: newest, protocols: ["h2"])) == nil)
      let pinned = try client(name: nil, pins: [identity], protocols: ["h2"])
      #expect(try failure(pinned, Server(identity, newest: newest)) == .otherProtocol)
      #expect(try failure(pinned, Server(identity, newest: newest, protocols: ["h2"])) == nil)
    }
  }

  @Test(
    "what is no TLS says so",
    arguments: ["HTTP/1.1 400 Bad Request\r\n\r\n", "\u{0}\u{1D}no TLS, but DNS in the clear"])
  func clear(text: String) throws {
    let session = try TLSSession(try client())
    defer { session.end() }
    #expect(throws: TLSFailure.notTLS) { _ = try session.receive(Array(text.utf8)[...]) }
  }

  @Test("octets that were changed on the way end the session")
  func changed() throws {
    let server = try Server(try Self.authority.get().issue(Self.name))
    let session = try TLSSession(try client())
    defer { session.end() }
    _ = try talk(session, server)
    server.channel.writeAndFlush(ByteBuffer(string: "answer"), promise: nil)
    var octets = server.exchange([])
    octets[octets.count - 1] ^= 1
    #expect(throws: TLSFailure.self) { _ = try session.receive(octets[...]) }
    #expect(!session.isOpen)
  }

  @Test("a session that has ended holds nothing")
  func memory() throws {
    let identity = try Self.authority.get().issue(Self.name)
    weak var former: TLSSession?
    weak var channel: EmbeddedChannel?
    do {
      let session = try TLSSession(try client())
      (former, channel) = (session, session.channel)
      _ = try talk(session, try Server(identity))
      session.end()
    }
    #expect(former == nil)
    #expect(channel == nil)
  }

  @Test("files without certificates, and hosts without authorities, are said to be so")
  func files() throws {
    let key = try Self.authority.get().issue(Self.name).key
    #expect(throws: TLSTrustError.unreadable("/nowhere/ca.pem")) { try TLSAuthorities(file: "/nowhere/ca.pem") }
    #expect(throws: TLSTrustError.self) { try TLSAuthorities(file: key) }
    #expect(TLSTrustError.noSystemStore.description.contains("ca-certificates"))
  }
}
