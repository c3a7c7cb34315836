<?php
// Drives a server with PHP's ftp extension: php ftp.php MODE TLS PORT CA USER PASSWORD DIR BIG. What it does is described in
// e2e_clients_test.go. Any difference is an exception. The extension checks no certificates.
[, , , $port, , $user, $password, $dir, $file] = $argv;
error_reporting(E_ALL);
$warning = "";
set_error_handler(function ($level, $message) use (&$warning) { $warning = $message; return true; });

function must($ok, string $what): void
{
    global $warning;
    if (!$ok) {
        throw new Exception("$what: $warning");
    }
}

function refused($ok, string $what): void
{
    must(!$ok, "$what was not refused");
}

function put($ftp, string $name, string $data): void
{
    $in = fopen("php://memory", "r+");
    fwrite($in, $data);
    rewind($in);
    must(ftp_fput($ftp, $name, $in, FTP_BINARY), "STOR $name");
}

function get($ftp, string $name): string
{
    $out = fopen("php://memory", "r+");
    must(ftp_fget($ftp, $out, $name, FTP_BINARY), "RETR $name");
    rewind($out);
    return stream_get_contents($out);
}

$big = file_get_contents($file);
$small = "a small file\n";
$odd = "ünï 日本.bin";

must($ftp = ftp_ssl_connect("127.0.0.1", (int)$port, 30), "connect");
refused(ftp_login($ftp, $user, "wrong"), "a wrong password");
must(ftp_login($ftp, $user, $password), "login");
must(ftp_pasv($ftp, true), "PASV");
must(ftp_mkdir($ftp, $dir) === "/$dir", "MKD");
refused(ftp_mkdir($ftp, $dir), "MKD of what exists");
must(ftp_chdir($ftp, $dir), "CWD");
must(ftp_pwd($ftp) === "/$dir", "PWD");
put($ftp, "empty", "");
put($ftp, "with space.txt", $small);
must(ftp_put($ftp, $odd, $file, FTP_BINARY), "STOR big");

$want = ["empty" => 0, "with space.txt" => strlen($small), $odd => strlen($big)];
$facts = [];
foreach (ftp_mlsd($ftp, ".") as $entry) {
    if ($entry["type"] === "file") {
        $facts[$entry["name"]] = (int)$entry["size"];
    }
}
ksort($facts);
ksort($want);
must($facts === $want, "MLSD " . json_encode($facts));
$names = ftp_nlist($ftp, ".");
must(count(array_diff(array_map("basename", $names), array_keys($want))) === 0 && count($names) === 3, "NLST " . json_encode($names));
must(count(ftp_rawlist($ftp, ".")) === 3, "LIST");
must(ftp_size($ftp, $odd) === strlen($big), "SIZE");
must(abs(time() - ftp_mdtm($ftp, "empty")) < 3600, "MDTM");
must(str_contains(ftp_systype($ftp), "UNIX"), "SYST");

must(get($ftp, $odd) === $big, "the big file came back different");
must(get($ftp, "with space.txt") === $small, "the small file came back different");
must(get($ftp, "empty") === "", "the empty file came back different");
must(ftp_rename($ftp, "with space.txt", "renamed file"), "RNTO");
must(ftp_delete($ftp, "empty"), "DELE");
refused(ftp_fget($ftp, fopen("php://memory", "r+"), "missing", FTP_BINARY), "RETR of what is missing");
refused(ftp_delete($ftp, "missing"), "DELE of what is missing");
refused(ftp_rename($ftp, "missing", "other"), "RNFR of what is missing");
must(ftp_mkdir($ftp, "sub dir") && ftp_rmdir($ftp, "sub dir"), "RMD");
must(ftp_close($ftp), "QUIT");
