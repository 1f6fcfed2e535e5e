import Foundation
import Settings
import Testing

@testable import sluice

/// Files of an image, as long as the test.
private final class Image {
  let path: String

  init(_ files: [String: String]) throws {
    path = NSTemporaryDirectory() + "sluice-image-\(UUID().uuidString)"
    for (name, text) in files {
      let file = path + name
      try FileManager.default.createDirectory(
        atPath: (file as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(filePath: file))
    }
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func entries(_ client: PackageClient) -> [String] { IndexEntries.lines(client.read(HostTree(root: path)).hosts) }
  func missing(_ client: PackageClient) -> String? { client.read(HostTree(root: path)).unknownDefault }
}

@Suite("What package clients fetch from")
struct PackageClientTests {
  @Test("apt: both forms of sources, options, stanzas that are off, mirrors in a file, and its proxy")
  func apt() throws {
    let image = try Image([
      "/etc/apt/sources.list": """
      # deb http://commented.example.org/x stable main
      deb [arch=amd64 signed-by=/k.gpg] https://one.example.org/debian stable main # why
      deb-src http://two.example.org/debian stable main
      deb cdrom:[x]/ stable main
      deb mirror+file:/etc/apt/mirrors.txt stable main
      """,
      "/etc/apt/mirrors.txt": "https://mirror.example.net:8443/debian priority:1\n# https://no.example.net/\n",
      "/etc/apt/sources.list.d/more.sources": """
      Types: deb
      URIs: http://two.example.org/other
       https://user:secret@three.example.org/debian
      Suites: stable

      Types: deb
      URIs: https://off.example.org/
      Enabled: no
      """,
      "/etc/apt/sources.list.d/ignored.txt": "deb https://ignored.example.org/ stable main\n",
      "/etc/apt/apt.conf.d/01proxy":
        "Acquire::http::Proxy \"http://proxy.example.net:3142\";\n// Acquire::https::Proxy \"http://no.example.net\";\n",
    ])
    #expect(
      image.entries(.apt) == [
        "  - { host: mirror.example.net, ports: [ 8443/tcp ] }  # /etc/apt/mirrors.txt:1",
        "  - one.example.org  # /etc/apt/sources.list:2",
        "  - { host: proxy.example.net, ports: [ 3142/tcp ], verify: address }  # /etc/apt/apt.conf.d/01proxy:1",
        "  - three.example.org  # /etc/apt/sources.list.d/more.sources:3",
        "  - { host: two.example.org, ports: [ 80/tcp ], verify: address }  # /etc/apt/sources.list:3, "
          + "/etc/apt/sources.list.d/more.sources:2",
      ])
    #expect(image.missing(.apt) == nil)
  }

  @Test("pip: its files, and its own source where they name no index")
  func pip() throws {
    let source =
      "class PackageIndex:\n    pass\n\n\nIndex = PackageIndex(\"https://index.example.org/\", file_storage_domain=\"files.example.org\")\n"
    let own = "/usr/lib/python3.11/site-packages/pip/_internal/models/index.py"
    let configured = try Image([
      "/etc/pip.conf":
        "[global]\nindex-url = https://mirror.example.net/simple\nextra-index-url =\n    https://extra.example.net/simple\n    http://localhost:3141/x\ntrusted-host = no.example.net\n",
      own: source,
    ])
    #expect(
      configured.entries(.pip) == [
        "  - extra.example.net  # /etc/pip.conf:4", "  - mirror.example.net  # /etc/pip.conf:2",
      ])
    #expect(configured.missing(.pip) == nil)
    let plain = try Image([
      "/home/a/.config/pip/pip.conf": "[global]\nextra_index_url: https://extra.example.net/\n", own: source,
    ])
    #expect(
      plain.entries(.pip) == [
        "  - extra.example.net  # /home/a/.config/pip/pip.conf:2", "  - files.example.org  # \(own):5",
        "  - index.example.org  # \(own):5",
      ])
    #expect(try Image(["/etc/x": ""]).missing(.pip)?.contains("`pip install --help`") == true)
  }

  @Test("npm: registries of all and of scopes, and its own source where none is named")
  func npm() throws {
    let own = "/usr/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js"
    let source =
      "  tag: new Definition('tag', {\n    default: 'latest',\n  }),\n  registry: new Definition('registry', {\n    default: 'https://registry.example.org/',\n"
    let plain = try Image([
      own: source, "/root/.npmrc": "@mine:registry=https://scope.example.net/npm/\n//x/:_authToken=secret\n",
    ])
    #expect(
      plain.entries(.npm) == [
        "  - registry.example.org  # \(own):5", "  - scope.example.net  # /root/.npmrc:1",
      ])
    let configured = try Image([own: source, "/usr/local/etc/npmrc": "registry = \"https://mirror.example.net\"\n"])
    #expect(
      configured.entries(.npm) == ["  - mirror.example.net  # /usr/local/etc/npmrc:1"]
        && configured.missing(.npm) == nil)
    #expect(try Image(["/etc/x": ""]).missing(.npm)?.contains("`npm config get registry`") == true)
  }

  @Test("cargo: sources that stand in for its own, registries, and a word where nothing stands in")
  func cargo() throws {
    let image = try Image([
      "/usr/local/cargo/config.toml": """
      [source.own]
      replace-with = "mirror"
      [source.mirror]
      registry = "sparse+https://mirror.example.net/index/"
      [registries.team]
      index = "sparse+https://team.example.net/index/"
      [net]
      index = "https://no.example.net/"
      """
    ])
    #expect(
      image.entries(.cargo) == [
        "  - mirror.example.net  # /usr/local/cargo/config.toml:4",
        "  - team.example.net  # /usr/local/cargo/config.toml:6",
      ])
    #expect(image.missing(.cargo) == nil)
    let part = try Image(["/root/.cargo/config": "[registries.team]\nindex = \"https://team.example.net/\"\n"])
    #expect(part.entries(.cargo).count == 1 && part.missing(.cargo)?.contains("its book") == true)
  }

  @Test("go: proxies and the checksum database of its files; of this host also what go was built with")
  func go() throws {
    let image = try Image([
      "/usr/local/go/go.env": "# x\nGOPROXY=https://proxy.example.org,direct\nGOSUMDB=sum.example.org\n",
      "/root/.config/go/env": "GOPROXY=https://mirror.example.net|https://second.example.net:8080,off\n",
    ])
    #expect(
      image.entries(.go) == [
        "  - mirror.example.net  # /root/.config/go/env:1",
        "  - { host: second.example.net, ports: [ 8080/tcp ] }  # /root/.config/go/env:1",
        "  - sum.example.org  # /usr/local/go/go.env:3",
      ])
    #expect(try Image(["/etc/x": ""]).missing(.go)?.contains("`go env GOPROXY GOSUMDB`") == true)
    let asked = GoClient.read(HostTree(environment: [:])) {
      $0 == "GOPROXY" ? "https://built.example.org,direct" : "off"
    }
    #expect(IndexEntries.lines(asked.hosts) == ["  - built.example.org  # go env GOPROXY"] && asked.notes.count == 1)
    let variable = GoClient.read(
      HostTree(environment: ["GOPROXY": "off", "GOSUMDB": "x.example.org+key https://db.example.org"])
    ) { _ in nil }
    #expect(IndexEntries.lines(variable.hosts) == ["  - db.example.org  # GOSUMDB"] && variable.unknownDefault == nil)
  }

  @Test("maven: mirrors and repositories of its settings, and nothing of what is commented out")
  func maven() throws {
    let image = try Image([
      "/root/.m2/settings.xml": """
      <settings>
        <!-- <mirror><url>https://no.example.net/</url></mirror>
        -->
        <mirrors><mirror><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url></mirror>
          <mirror><id>a</id><mirrorOf>*</mirrorOf>
            <url>https://mirror.example.net/maven</url></mirror>
        </mirrors>
        <profiles><profile><repositories><repository><url> http://repo.example.net/x </url></repository></repositories></profile></profiles>
      </settings>
      """
    ])
    #expect(
      image.entries(.maven) == [
        "  - mirror.example.net  # /root/.m2/settings.xml:5",
        "  - { host: repo.example.net, ports: [ 80/tcp ], verify: address }  # /root/.m2/settings.xml:8",
      ])
    #expect(image.missing(.maven) == nil)
    #expect(try Image(["/etc/x": ""]).missing(.maven)?.contains("mirrorOf") == true)
  }

  @Test("links of an image lead nowhere else, and to each other for ever leads nowhere")
  func links() throws {
    let outside = try Image(["/pip.conf": "[global]\nindex-url = https://outside.example.net/\n"])
    let image = try Image([
      "/real/pip.conf": "[global]\nindex-url = https://inside.example.net/\n", "/etc/x": "", "/etc/xdg/pip/x": "",
    ])
    for (link, target) in [
      ("/etc/pip.conf", "/real/pip.conf"), ("/usr", "../../../../../real"),
      ("/etc/xdg/pip/pip.conf", outside.path + "/pip.conf"),
      ("/root", "/home"), ("/home", "/root"),
    ] { try FileManager.default.createSymbolicLink(atPath: image.path + link, withDestinationPath: target) }
    #expect(
      image.entries(.pip) == ["  - inside.example.net  # /etc/pip.conf:2, /usr/pip.conf:2"])
  }

  @Test("what is printed is a list that a document may include", .withExecutable)
  func printed() throws {
    let image = try Image([
      "/etc/apt/sources.list":
        "deb http://one.example.org/debian stable main\ndeb https://192.0.2.9/debian stable main\n"
    ])
    let output = try PlayedCommand.run("lists", "from-host", "apt", "--root", image.path)
    #expect(output.status == 0, "\(output)")
    let file = image.path + "/apt.yaml"
    try Data(output.text.utf8).write(to: URL(filePath: file))
    let (list, findings) = ListCatalogue.list(file, folders: [])
    #expect(findings.isEmpty && list?.name == "apt" && list?.entryCount == 2, "\(findings)")
    #expect(try #require(list).read().diagnostics.isEmpty)
    let none = try PlayedCommand.run("lists", "from-host", "maven", "--root", image.path)
    #expect(none.status == 1 && none.text.isEmpty && none.errors.contains("mirrorOf"), "\(none)")
    #expect(try PlayedCommand.run("lists", "from-host", "yum").status == 64)
    #expect(try PlayedCommand.run("lists", "from-host", "apt", "--root", image.path + "/nothing").status == 64)
  }
}
