import Glibc
import NIOCore
import NIOEmbedded
import NIOSSL
import NIOTLS

/// The client's side of one TLS connection, without a socket: octets of the network go in, octets for it come out.
///
/// What the server says is not seen, and nothing is sent to it, before the handshake has shown that it is the one that
/// is meant. SwiftNIO SSL does the work, in a channel that has no event loop. Lives on the thread that made it.
package final class TLSSession {
  private let client: TLSClient
  let channel = EmbeddedChannel()
  private let handler: NIOSSLClientHandler
  private let observer: Observer
  private var isEnded = false

  /// Begins the handshake: there is output.
  package init(_ client: TLSClient) throws(TLSFailure) {
    self.client = client
    do {
      handler = try client.makeHandler()
      observer = Observer(client, handler)
      try channel.pipeline.syncOperations.addHandlers([handler, observer])
      // The certificate must be for a name, or have a key; the address of this channel is none that a certificate is for.
      let address = try SocketAddress(unixDomainSocketPath: "tls")
      channel.remoteAddress = address
      channel.connect(to: address, promise: nil)
    } catch {
      channel.close(promise: nil)
      throw .handshake
    }
  }

  /// Whether the server has shown that it is the one that is meant.
  package var isOpen: Bool { observer.isOpen && observer.fault == nil && !isEnded }

  /// Whether the server said that it sends nothing more.
  package var isClosed: Bool { observer.isClosed }

  /// Takes octets of the network; returns what the server says in them.
  package func receive(_ octets: ArraySlice<UInt8>) throws(TLSFailure) -> [UInt8] {
    channel.pipeline.syncOperations.fireChannelRead(NIOAny(ByteBuffer(bytes: octets)))
    channel.pipeline.syncOperations.fireChannelReadComplete()
    // What verifies a certificate goes on in another turn of the loop.
    channel.embeddedEventLoop.run()
    if let fault = observer.fault { throw failure(fault) }
    defer { observer.received.removeAll(keepingCapacity: true) }
    return observer.received
  }

  /// Encrypts what is for the server, in records of its own. There is output afterwards, but none where the session is not
  /// open: before it is found out who the server is, nothing is said to it.
  package func send(_ octets: ArraySlice<UInt8>) {
    guard isOpen else { return }
    channel.write(ByteBuffer(bytes: octets), promise: nil)
  }

  /// Appends what is to be sent to the network.
  package func takeOutput(into out: inout [UInt8]) {
    channel.flush()
    do {
      while let octets = try channel.readOutbound(as: ByteBuffer.self) {
        out.append(contentsOf: octets.readableBytesView)
      }
    } catch {
      preconditionFailure("what a TLS handler writes are octets")
    }
  }

  /// Says to the server that nothing more comes (RFC 8446 section 6.1), which is output, and frees what the session has.
  package func end() {
    guard !isEnded else { return }
    isEnded = true
    channel.close(promise: nil)
    // The server's own farewell is not waited for: the timer that would do so passes now.
    channel.embeddedEventLoop.advanceTime(by: .seconds(60))
    channel.embeddedEventLoop.run()
  }

  deinit { end() }

  private func failure(_ error: any Error) -> TLSFailure {
    switch error {
    case let failure as TLSFailure: failure
    case let error as NIOSSLExtraError where error == .failedToValidateHostname: .otherName
    case NIOSSLError.noCertificateToValidate, NIOSSLError.unableToValidateCertificate: .untrusted
    case NIOSSLError.uncleanShutdown: .cut
    case NIOSSLError.handshakeFailed(let error): failure("\(error)")
    case let error as BoringSSLError: failure("\(error)")
    default: .handshake
    }
  }

  /// - Parameter text: BoringSSL's, whose names of reasons are those of `ssl.h` and `err.h`.
  private func failure(_ text: String) -> TLSFailure {
    if text.contains("CERTIFICATE_VERIFY_FAILED") { return certificateFailure }
    for (reason, failure) in Self.reasons where text.contains(reason) { return failure }
    return .handshake
  }

  private static let reasons: [(String, TLSFailure)] = [
    ("PROTOCOL_VERSION", .oldVersion), ("UNSUPPORTED_PROTOCOL", .oldVersion), ("WRONG_VERSION_NUMBER", .notTLS),
    ("NO_APPLICATION_PROTOCOL", .otherProtocol), ("HTTP_REQUEST", .notTLS), ("UNEXPECTED_MESSAGE", .notTLS),
    ("UNEXPECTED_RECORD", .notTLS), ("EOF", .cut),
  ]

  /// Why the certificate was found bad: BoringSSL says only that it was.
  private var certificateFailure: TLSFailure {
    if client.goesByKeyAlone { return .otherKey }
    guard let certificate = handler.peerCertificate else { return .untrusted }
    let now = time(nil)
    if certificate.notValidAfter < now { return .expired }
    return certificate.notValidBefore > now ? .notYetValid : .untrusted
  }
}

extension TLSSession {
  /// Notes what comes out of TLS.
  private final class Observer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let client: TLSClient
    private let handler: NIOSSLClientHandler
    var isOpen = false
    var isClosed = false
    /// The first error.
    var fault: (any Error)?
    var received: [UInt8] = []

    init(_ client: TLSClient, _ handler: NIOSSLClientHandler) {
      (self.client, self.handler) = (client, handler)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      guard case TLSUserEvent.handshakeCompleted(let chosen)? = event as? TLSUserEvent else { return }
      guard client.accepts(handler.peerCertificate) else { return note(TLSFailure.otherKey) }
      guard client.accepts(chosen) else { return note(TLSFailure.otherProtocol) }
      isOpen = true
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      received.append(contentsOf: unwrapInboundIn(data).readableBytesView)
    }

    func channelInactive(context: ChannelHandlerContext) { isClosed = true }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { note(error) }

    private func note(_ error: any Error) {
      if fault == nil { fault = error }
    }
  }
}
