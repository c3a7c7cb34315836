// Drives a server with Apache Commons Net: java -cp commons-net.jar Commons.java MODE TLS PORT CA USER PASSWORD DIR BIG.
// What it does is described in e2e_clients_test.go. Any difference is an exception.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import javax.net.ssl.TrustManagerFactory;
import org.apache.commons.net.ftp.FTP;
import org.apache.commons.net.ftp.FTPFile;
import org.apache.commons.net.ftp.FTPSClient;

public class Commons {
    static FTPSClient ftp;

    static void must(boolean ok, String what) {
        if (!ok) {
            throw new AssertionError(what + ": " + ftp.getReplyString());
        }
    }

    static void refused(boolean ok, String what) {
        must(!ok && ftp.getReplyCode() == 550, what + " was not refused");
    }

    static void put(String name, byte[] data) throws Exception {
        must(ftp.storeFile(name, new ByteArrayInputStream(data)), "STOR " + name);
    }

    static byte[] get(String name) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        must(ftp.retrieveFile(name, out), "RETR " + name);
        return out.toByteArray();
    }

    static Map<String, Long> names(FTPFile[] files) {
        Map<String, Long> sizes = new TreeMap<>();
        for (FTPFile f : files) {
            must(f.isFile() && f.getTimestamp() != null, "not understood: " + f);
            sizes.put(f.getName(), f.getSize());
        }
        return sizes;
    }

    public static void main(String[] args) throws Exception {
        boolean implicit = args[0].equals("implicit");
        String user = args[4], password = args[5], dir = args[6];
        byte[] big = Files.readAllBytes(Path.of(args[7]));
        byte[] small = "a small file\n".getBytes();

        KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
        store.load(null);
        try (InputStream in = new FileInputStream(args[3])) {
            store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(store);

        ftp = new FTPSClient(implicit);
        ftp.setTrustManager(trust.getTrustManagers()[0]);
        ftp.setEnabledProtocols(new String[] {"TLSv" + args[1]});
        ftp.setControlEncoding("UTF-8");
        ftp.connect("127.0.0.1", Integer.parseInt(args[2]));
        must(!ftp.login(user, "wrong") && ftp.getReplyCode() == 530, "a wrong password was accepted");
        must(ftp.login(user, password), "login");
        ftp.execPBSZ(0);
        ftp.execPROT("P");
        ftp.enterLocalPassiveMode();
        must(ftp.setFileType(FTP.BINARY_FILE_TYPE), "TYPE I");

        must(ftp.makeDirectory(dir), "MKD");
        refused(ftp.makeDirectory(dir), "MKD of what exists");
        must(ftp.changeWorkingDirectory(dir), "CWD");
        must(ftp.printWorkingDirectory().equals("/" + dir), "PWD");
        put("empty", new byte[0]);
        put("with space.txt", small);
        put("ünï 日本.bin", big);

        Map<String, Long> want = new TreeMap<>(Map.of("empty", 0L, "with space.txt", (long) small.length, "ünï 日本.bin", (long) big.length));
        must(names(ftp.listFiles()).equals(want), "LIST " + names(ftp.listFiles()));
        must(names(ftp.mlistDir()).equals(want), "MLSD " + names(ftp.mlistDir()));
        String[] bare = ftp.listNames();
        Arrays.sort(bare);
        must(Arrays.asList(bare).equals(Arrays.asList(want.keySet().toArray())), "NLST " + Arrays.toString(bare));

        must(Arrays.equals(get("ünï 日本.bin"), big), "the big file came back different");
        must(Arrays.equals(get("with space.txt"), small), "the small file came back different");
        must(get("empty").length == 0, "the empty file came back different");
        must(ftp.rename("with space.txt", "renamed file"), "RNTO");
        must(ftp.deleteFile("empty"), "DELE");
        refused(ftp.retrieveFile("missing", new ByteArrayOutputStream()), "RETR of what is missing");
        refused(ftp.deleteFile("missing"), "DELE of what is missing");
        refused(ftp.rename("missing", "other"), "RNFR of what is missing");
        must(ftp.makeDirectory("sub dir") && ftp.removeDirectory("sub dir"), "RMD");
        must(ftp.logout(), "QUIT");
        ftp.disconnect();
    }
}
