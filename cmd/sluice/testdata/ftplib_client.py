"""Drives a server with Python's ftplib: ftplib_client.py PORT CA USER PASSWORD. Any difference is an exception."""
import ftplib
import io
import ssl
import sys

port, ca, user, password = int(sys.argv[1]), *sys.argv[2:5]


class Resuming(ftplib.FTP_TLS):
    """Resumes the TLS session of the control connection on data connections, which ftplib itself does not."""

    def ntransfercmd(self, cmd, rest=None):
        conn, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        if self._prot_p:
            conn = self.context.wrap_socket(conn, server_hostname=self.host, session=self.sock.session)
        return conn, size


def refused(code, call, *args):
    try:
        call(*args)
    except ftplib.all_errors as e:
        assert str(e).startswith(code), f"{args}: {e}"
    else:
        raise AssertionError(f"{args} was not refused")


def session(cls, version):
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = context.maximum_version = version
    ftp = cls(context=context, timeout=30)
    ftp.connect("localhost", port)
    refused("530", lambda: ftplib.FTP.login(ftp, "nobody", "wrong"))
    ftp.login(user, password)
    ftp.prot_p()

    ftp.mkd("py")
    refused("550", ftp.mkd, "py")
    ftp.cwd("py")
    assert ftp.pwd() == "/py", ftp.pwd()
    data = bytes(range(256)) * 40_000
    assert ftp.storbinary("STOR a b.bin", io.BytesIO(data)).startswith("226")
    assert ftp.size("a b.bin") == len(data)
    assert len(ftp.sendcmd("MDTM a b.bin")) == len("213 YYYYMMDDhhmmss")

    got = bytearray()
    ftp.retrbinary("RETR a b.bin", got.extend)
    assert got == data
    got.clear()
    ftp.retrbinary("RETR a b.bin", got.extend, rest=1_000_000)
    assert got == data[1_000_000:]

    ftp.storbinary("APPE a b.bin", io.BytesIO(b"tail"))
    got.clear()
    ftp.retrbinary("RETR a b.bin", got.extend, rest=len(data))
    assert got == b"tail", got

    ftp.storbinary("STOR a b.bin", io.BytesIO(b"TAIL!"), rest=len(data))
    assert ftp.size("a b.bin") == len(data) + 5

    ftp.storlines("STOR text", io.BytesIO(b"one\ntwo\n"))
    lines = []
    ftp.retrlines("RETR text", lines.append)
    assert lines == ["one", "two"], lines

    assert sorted(ftp.nlst()) == ["a b.bin", "text"], ftp.nlst()
    facts = dict(ftp.mlsd())
    assert facts["text"]["type"] == "file" and int(facts["a b.bin"]["size"]) == len(data) + 5, facts
    listed = []
    ftp.dir(listed.append)
    assert len(listed) == 2 and listed[0].startswith("-rw-"), listed

    ftp.rename("text", "renamed")
    refused("550", ftp.size, "text")
    refused("550", ftp.rmd, "/py")
    for name in ftp.nlst():
        ftp.delete(name)
    refused("550", ftp.delete, "text")
    ftp.cwd("/")
    ftp.rmd("py")
    refused("550", ftp.cwd, "py")

    # A transfer that is broken off leaves what came of it for its user to go on with, and the session goes on.
    ftp.voidcmd("TYPE I")
    conn = ftp.transfercmd("STOR aborted")
    conn.sendall(b"x" * 100_000)
    ftp.putcmd("ABOR")
    assert ftp.getmultiline().startswith("426")
    assert ftp.getmultiline().startswith("226")
    conn.close()
    if "aborted" in ftp.nlst():  # the ABOR may have been quicker than the bytes
        assert 0 < ftp.size("aborted") <= 100_000
        ftp.delete("aborted")
    refused("550", ftp.size, "aborted")
    ftp.quit()


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for cls in (ftplib.FTP_TLS, Resuming):
        session(cls, version)
        print(cls.__name__, version.name, "ok")
