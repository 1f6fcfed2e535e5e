"""Answers every request by TLS, at every address, with what it was sent as JSON: for the example beside this."""
import http.server, json, socket, ssl, sys, threading

folder = sys.argv[1]
contexts, said = {}, threading.local()
for name in ["api.github.com", "uploads.github.com"]:
    contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    contexts[name].load_cert_chain(f"{folder}/{name}.pem", f"{folder}/{name}.key")


def take_name(link, name, _):
    link.said = name
    if name in contexts:
        link.context = contexts[name]


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        fields = {key.lower(): value for key, value in self.headers.items()}
        told = {"sni": getattr(self.connection, "said", None), "method": self.command, "path": self.path, "fields": fields,
                "octets": len(body)}
        text = json.dumps({**fields, **told}).encode()
        print(self.command, self.path, body[:200], flush=True)
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    do_GET = do_HEAD = do_POST = do_DELETE = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    address_family = socket.AF_INET6
    request_queue_size = 128

    def finish_request(self, request, address):
        request = start.wrap_socket(request, server_side=True)
        super().finish_request(request, address)

    def handle_error(self, *_):
        pass


start = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
start.load_cert_chain(f"{folder}/api.github.com.pem", f"{folder}/api.github.com.key")
start.sni_callback = take_name
Server(("::", 443), Echo).serve_forever()
