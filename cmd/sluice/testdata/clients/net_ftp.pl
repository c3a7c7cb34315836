# Drives a server with Net::FTP: perl net_ftp.pl MODE TLS PORT CA USER PASSWORD DIR BIG [COUNT]. What it does is described in
# e2e_clients_test.go. Any difference is fatal.
use strict;
use warnings;
use Net::FTP;

my ($mode, $version, $port, $ca, $user, $password, $dir, $file, $count) = @ARGV;
my $small = "a small file\n";
my $odd = "\xc3\xbcn\xc3\xaf \xe6\x97\xa5\xe6\x9c\xac.bin";
my $big = do { open my $f, "<:raw", $file or die; local $/; <$f> };

my $ftp = Net::FTP->new(
    "127.0.0.1", Port => $port, SSL => $mode eq "implicit", Timeout => 30, Passive => 1,
    SSL_ca_file => $ca, SSL_version => "TLSv1" . ($version eq "1.2" ? "_2" : "_3"),
) or die "connect: $@";
if ($mode ne "implicit") {
    $ftp->starttls or die "AUTH: $@ " . $ftp->message;
}
die "TLS is " . $ftp->get_sslversion if $ftp->get_sslversion ne "TLSv1" . ($version eq "1.2" ? "_2" : "_3");

sub must { my ($ok, $what) = @_; die "$what: " . $ftp->message . " $@" unless $ok; return $ok }
sub refused { my ($ok, $what) = @_; die "$what was not refused: " . $ftp->message if $ok || $ftp->code != 550 }

sub put {
    my ($name, $data) = @_;
    open my $in, "<:raw", \$data or die;
    must($ftp->put($in, $name), "STOR $name");
}

sub get {
    my ($name) = @_;
    my $data = "";
    open my $out, ">:raw", \$data or die;
    must($ftp->get($name, $out), "RETR $name");
    return $data;
}

must(!$ftp->login($user, "wrong") && $ftp->code == 530, "a wrong password was accepted") unless $count;
must($ftp->login($user, $password), "login");
must($ftp->prot("P"), "PROT");
must($ftp->binary, "TYPE I");
must($ftp->mkdir($dir), "MKD");
must($ftp->cwd($dir), "CWD");
if ($count) {
    must(defined $ftp->put($file, $_), "STOR $_") for 0 .. $count - 1;
    $ftp->quit;
    exit;
}
refused(scalar $ftp->mkdir("/$dir"), "MKD of what exists");
must($ftp->pwd eq "/$dir", "PWD");
put("empty", "");
put("with space.txt", $small);
must($ftp->put($file, $odd), "STOR big");

my $names = join "|", sort $ftp->ls;
must($names eq "empty|with space.txt|$odd", "NLST $names");
my %sizes = map { /^-rw\S+ +\d+ \S+ +\S+ +(\d+) \w{3} [ \d]\d +\d\d:\d\d (.+)$/ ? ($2 => $1) : ("bad line $_", 0) } $ftp->dir;
must(join("|", map { "$_=$sizes{$_}" } sort keys %sizes) eq "empty=0|with space.txt=13|$odd=" . length $big, "LIST " . join "|", %sizes);
must($ftp->size($odd) == length $big, "SIZE");
must(abs(time - $ftp->mdtm("empty")) < 3600, "MDTM");

must(get($odd) eq $big, "the big file came back different");
must(get("with space.txt") eq $small, "the small file came back different");
must(get("empty") eq "", "the empty file came back different");
must($ftp->rename("with space.txt", "renamed file"), "RNTO");
must($ftp->delete("empty"), "DELE");
refused(scalar $ftp->retr("missing"), "RETR of what is missing");
refused(scalar $ftp->delete("missing"), "DELE of what is missing");
refused(scalar $ftp->rename("missing", "other"), "RNFR of what is missing");
must($ftp->mkdir("sub dir/deeper", 1), "MKD recursive");
must($ftp->rmdir("sub dir", 1), "RMD recursive");
$ftp->quit;
