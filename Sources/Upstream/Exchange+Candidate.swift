extension Exchange {
  /// What the edge knows of a server: how long to wait for it, and whether it takes EDNS. Milliseconds.
  struct Candidate {
    var server: Int
    var wait: UInt64
    var withEDNS: Bool
    /// Whether its datagrams are not to be believed for now.
    var byStream = false
    /// Whether what is known of its wait is that of TCP, by which alone it is asked.
    var isMeasuredByStream = false
    /// Whether it is asked by TLS alone.
    var isSecure = false
    /// Whether that is by HTTP.
    var isHTTP = false
    /// After how many milliseconds another one is asked as well, the first time; nil where it is waited for.
    var hedge: UInt64?
    /// After how many milliseconds of TCP, where that is to show what a datagram left unsure, the server is asked a bare
    /// question as well; nil for as long as TCP is waited for.
    var proof: UInt64?
    /// Whether it answers in the case in which it is asked.
    var keepsCase = true
    /// What is sent as its cookie: the client's part, and the server's where it gave one; nothing where it takes none.
    var cookie: [UInt8] = []

    // What happened to it within the exchange.
    /// Messages that were sent to it by datagrams or by TLS.
    var sends = 0
    var isStreamUsed = false
    /// A datagram came that was not its answer.
    var isDoubtful = false
    /// Asked again without OPT.
    var isPlain = false
    /// A datagram came in another case, or without a cookie.
    var isUnsure = false

    /// Whether an answer without a cookie is none of its own.
    var givesCookies: Bool { cookie.count > UpstreamQuery.clientCookieCount }
  }
}
