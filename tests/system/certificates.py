# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates for tests, made by openssl(1) in a folder that every user may read."""
import pathlib
import subprocess
import tempfile


def openssl(*arguments, input=None):
    return subprocess.run(["openssl", *map(str, arguments)], input=input, check=True,
                          capture_output=True, timeout=60)


class Certificates:
    """An authority and what it signs: make("name") gives the files name.pem and name.key."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="waypost-certificates-"))
        self.folder.chmod(0o755)
        self.authority = self.folder / "authority.pem"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.folder / "authority.key", "-out", self.authority, "-days", "30",
                "-subj", "/CN=Test Authority")

    def make(self, name, *names, kind=("rsa:2048",), days=30, is_self_signed=False):
        """`names`: the DNS names in it, the first one also as its common name."""
        names = names or (name,)
        key, request, cert = (self.folder / f"{name}.{each}" for each in ("key", "csr", "pem"))
        alternatives = ",".join(f"DNS:{each}" for each in names)
        common = ["-newkey", *kind, "-nodes", "-keyout", key, "-subj", f"/CN={names[0]}",
                  "-addext", f"subjectAltName={alternatives}"]
        if is_self_signed:
            openssl("req", "-x509", *common, "-out", cert, "-days", days)
            return cert, key
        openssl("req", "-new", *common, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.authority, "-CAkey",
                self.folder / "authority.key", "-CAcreateserial", "-out", cert, "-days", days,
                "-copy_extensions", "copy")
        return cert, key

    def fingerprint(self, cert, digest="sha256"):
        text = openssl("x509", "-in", cert, "-noout", "-fingerprint", f"-{digest}").stdout.decode()
        return text.strip().split("=")[1]

    def key_fingerprint(self, cert):
        key = openssl("x509", "-in", cert, "-noout", "-pubkey").stdout
        der = openssl("pkey", "-pubin", "-outform", "DER", input=key).stdout
        text = openssl("dgst", "-sha256", "-c", "-r", input=der).stdout.decode().split()[0]
        return text.upper()
