"""An authority for certificates in a folder, made by `openssl`."""
import os, subprocess, time
from namespaces import run

SETTINGS = """[ca]
default_ca=d
[d]
database=index.txt
serial=serial
new_certs_dir=.
default_md=sha256
policy=p
unique_subject=no
[p]
commonName=supplied
"""
DAY = 86_400
KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Authority:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder)
        for file, text in (("index.txt", ""), ("serial", "01\n"), ("ca.cnf", SETTINGS)):
            with open(os.path.join(folder, file), "w") as output:
                output.write(text)
        self._openssl("req", "-x509", *KEY, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
        self.certificate = os.path.join(folder, "ca.pem")

    def issue(self, label, name, begins=-2, ends=2):
        """A certificate for a host name and its key, as files; days from now."""
        with open(os.path.join(self.folder, f"{label}.ext"), "w") as output:
            output.write(f"subjectAltName=DNS:{name}\n")
        self._openssl("req", *KEY, "-keyout", f"{label}.key", "-out", f"{label}.csr", "-subj", f"/CN={label}")
        self._openssl("ca", "-batch", "-notext", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", f"{label}.csr",
                      "-extfile", f"{label}.ext", "-startdate", self._date(begins), "-enddate", self._date(ends), "-out", f"{label}.pem")
        return Identity(os.path.join(self.folder, label))

    def _openssl(self, *words):
        run("openssl", *words, cwd=self.folder)

    @staticmethod
    def _date(days):
        return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * DAY))


class Identity:
    def __init__(self, path):
        self.certificate, self.key = path + ".pem", path + ".key"
        # Servers that become another user read it first.
        os.chmod(self.key, 0o644)
