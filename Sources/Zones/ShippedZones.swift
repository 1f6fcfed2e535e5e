/// The shipped zone files as text. Written by `.ci/embed-zones`; change the files in `zones/` instead.
enum ShippedZones {
  /// `zones/sinkhole.zone`.
  static let sinkhole = #"""
    ; The zone of the root: its SOA stands in the authority section of every denial (RFC 2308 section 3). It holds nothing
    ; else. Clients keep a denial for the smaller of the SOA's TTL and its last number: 5 s, so that a name that is added
    ; to an allowlist works at once. Every denial carries this record, so it is short: no mailbox.
    $ORIGIN .
    $TTL 5
    @ IN SOA sluice.invalid. . (
            1       ; serial: this zone is never transferred
            3600    ; refresh
            600     ; retry
            86400   ; expire
            5 )     ; negative TTL

    """#

  /// `zones/special-use.zone`.
  static let specialUse = #"""
    ; Names that have a meaning on this host only and are never forwarded: the special-use names of RFC 6761, 7686, 8375 and
    ; 9476, and the reverse zones of private space (RFC 6303, RFC 7793). Every SOA starts a zone; the longest zone that holds a
    ; name answers for it. A zone of nothing but its SOA denies its own name too: NXDOMAIN, not NODATA.
    ;
    ; Left out on purpose: `example.` and `example.com.` (RFC 6761 section 6.5: not special to resolvers), `internal.`
    ; (operators use it; list such names in a policy or put them into a zone of your own).
    $ORIGIN .
    $TTL 300

    ; RFC 6761 section 6.3: always the loopback addresses, for every name below it too.
    localhost. IN SOA sluice.invalid. . 1 3600 600 86400 300
    localhost. IN A 127.0.0.1
    localhost. IN AAAA ::1
    *.localhost. IN A 127.0.0.1
    *.localhost. IN AAAA ::1

    ; RFC 6761 sections 6.2 and 6.4, RFC 6762 (multicast DNS), RFC 7686 (Tor), RFC 9476 (not DNS), RFC 8375 (home networks),
    ; RFC 9665 (service registration).
    test. IN SOA sluice.invalid. . 1 3600 600 86400 300
    invalid. IN SOA sluice.invalid. . 1 3600 600 86400 300
    local. IN SOA sluice.invalid. . 1 3600 600 86400 300
    onion. IN SOA sluice.invalid. . 1 3600 600 86400 300
    alt. IN SOA sluice.invalid. . 1 3600 600 86400 300
    home.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    service.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300

    ; RFC 9462 section 4: this resolver designates no other. The name exists, so that the question gets NODATA.
    resolver.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    _dns.resolver.arpa. IN TXT "no designated resolver"

    ; RFC 8880: there is no NAT64 here; NODATA says so, and no address is handed out that nothing opened.
    ipv4only.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    ipv4only.arpa. IN TXT "no NAT64"

    ; Tells Firefox that DNS over HTTPS would go around the policy of this network.
    use-application-dns.net. IN SOA sluice.invalid. . 1 3600 600 86400 300

    ; RFC 6303 section 4.1 and RFC 6761 section 6.1: RFC 1918 space.
    10.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    16.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    17.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    18.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    19.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    20.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    21.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    22.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    23.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    24.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    25.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    26.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    27.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    28.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    29.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    30.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    31.172.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    168.192.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300

    ; RFC 6303 section 4.2: this network, loopback, link-local, documentation, broadcast.
    0.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    127.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    254.169.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    2.0.192.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    100.51.198.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    113.0.203.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    255.255.255.255.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300

    ; RFC 7793: shared address space, 100.64.0.0/10.
    64.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    65.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    66.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    67.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    68.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    69.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    70.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    71.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    72.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    73.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    74.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    75.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    76.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    77.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    78.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    79.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    80.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    81.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    82.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    83.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    84.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    85.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    86.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    87.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    88.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    89.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    90.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    91.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    92.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    93.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    94.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    95.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    96.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    97.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    98.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    99.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    100.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    101.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    102.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    103.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    104.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    105.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    106.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    107.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    108.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    109.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    110.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    111.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    112.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    113.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    114.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    115.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    116.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    117.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    118.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    119.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    120.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    121.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    122.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    123.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    124.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    125.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    126.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    127.100.in-addr.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300

    ; RFC 6303 sections 4.3 to 4.6: unspecified and loopback, unique local (fc00::/7), link-local (fe80::/10), documentation.
    0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    c.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    d.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    8.e.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    9.e.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    a.e.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    b.e.f.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300
    8.b.d.0.1.0.0.2.ip6.arpa. IN SOA sluice.invalid. . 1 3600 600 86400 300

    """#
}
