/// Words that cannot name a table, a chain or a set in nft text, and those that a managed table uses.
package enum NftKeywords {
  /// Words of the language itself.
  package static let language = words(tokens)
  /// Words that a server's chain and sets must not have.
  package static let reserved = language.union(words(baseChains))

  private static func words(_ text: String) -> Set<String> {
    Set(text.split(whereSeparator: { $0 == " " || $0 == "\n" }).map(String.init))
  }

  /// Hook names: our base chains carry them.
  private static let baseChains = "prerouting input forward output postrouting ingress egress sluice clients servers"

  /// The tokens of the nft scanner that have the shape of an identifier.
  private static let tokens = """
    accept add addr aggressive-grace ah all and any arp at audit auto-merge avgpkt bcp bits bridge burst bypass bytes cc
    cgroup cgroupv2 chain chains chunk clone code comment comp compr constant continue counter counters cpl cpu create
    csumcov ct ctmark data daddr day dccp dead debug default delete describe destroy devgroup device devices dgram dir
    direction drop dscp dst dup dynamic ecn element elements emerg encap err error esp ether ethernet eval evict
    exists expectation expiration expires export exthdr fanout fib flag flags flow flowtable flowtables flush fragment
    frag from fully-random fwd gc-interval geneve gre gretap group handle hash hbh hdrlength helper hook hoplimit hour
    hw-offset ibriport ibrname icmp icmpv6 id igmp iif iifgroup iifname iiftype import in index inet info init insert
    integrity-check interface interval invert ip ip6 ipcomp ipsec iso jhash jump json key keepalive kbytes last lastlog
    length level limit list load log lookup mac mangle map maps mark masquerade max-delay maxseg mbytes meta meter meters
    metainfo missing mod mptcp monitor month mss mtu name nat netdev new nexthdr nexthop nftrace notice notrack nth
    numgen obrname obriport offset oif oifgroup oifname oiftype op option options or osf over packets panic parameter
    parameter-problem performance persistent pkttype plen policy position prefix priority proto protocol psched queue
    quota quotas random range rate rawpayload redirect redefine reject rename replace reply reset ret return rfc1072
    route router rpfilter rst rt rtclassid rule rules ruleset sack sack-perm saddr saturate sctp seconds secmark
    secmarks seg-left seqno sequence set sets size skgid skuid smac snaplen snat dnat socket sockets sport dport spi src
    ssn state stateless status string symhash synproxy synproxies syslog table tables tag tcp tcpopt template
    th time timeout timestamp to total tproxy traceable trace transparent ttl tunnel tunid type typeof udp udplite
    undefine unit until update urgptr use user vars version vlan vmap vrrp vxlan week weekday warn wildcard window
    wscale xor xt year zone ack-seq alert cont crit define delete-after doff elif else false filter fin frequency
    gateway hex include if original established invalid related untracked true last-used lshift rshift ne eq lt gt le
    ge not
    """
}
