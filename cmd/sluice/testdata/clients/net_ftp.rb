# Drives a server with Net::FTP: ruby net_ftp.rb MODE TLS PORT CA USER PASSWORD DIR BIG [COUNT]. What it does is described in
# e2e_clients_test.go. Any difference is an exception.
require "net/ftp"
require "stringio"

mode, version, port, ca, user, password, dir, file, count = ARGV
big = File.binread(file)
small = "a small file\n"
odd = "ünï 日本.bin"
tls = OpenSSL::SSL.const_get("TLS#{version.sub(".", "_")}_VERSION")

def refused
  yield
rescue Net::FTPPermError => e
  raise unless e.message.start_with?("550")
else
  raise "not refused"
end

def must(ok, what)
  raise what unless ok
end

# What begins with TLS is a parameter of the OpenSSL context.
connect = lambda do |pass|
  Net::FTP.new("localhost", port: port.to_i, username: user, password: pass, passive: true, implicit_ftps: mode == "implicit",
               ssl: { ca_file: ca, min_version: tls, max_version: tls }, private_data_connection: true, open_timeout: 30, read_timeout: 30)
end

unless count
  begin
    connect.call("wrong")
  rescue Net::FTPPermError => e
    raise unless e.message.start_with?("530")
  else
    raise "a wrong password was accepted"
  end
end
ftp = connect.call(password)
ftp.mkdir(dir)
ftp.chdir(dir)
if count
  count.to_i.times { |i| ftp.putbinaryfile(file, i.to_s) }
  ftp.quit
  exit
end
refused { ftp.mkdir("/#{dir}") }
must ftp.pwd == "/#{dir}", ftp.pwd
ftp.storbinary("STOR empty", StringIO.new(""), 4096)
ftp.storbinary("STOR with space.txt", StringIO.new(small), 4096)
ftp.putbinaryfile(file, odd)

want = { "empty" => 0, "with space.txt" => small.bytesize, odd => big.bytesize }
facts = ftp.mlsd.select(&:file?).to_h { |e| [e.pathname.force_encoding("UTF-8"), e.size] }
must facts == want, facts.inspect
must ftp.nlst.map { |n| n.force_encoding("UTF-8") }.sort == want.keys.sort, ftp.nlst.inspect
lines = ftp.list.map { |l| l.force_encoding("UTF-8").split(" ", 9).values_at(8, 4) }.to_h { |name, size| [name, size.to_i] }
must lines == want, lines.inspect
must ftp.size(odd) == big.bytesize, "SIZE"
must (Time.now - ftp.mtime("empty")).abs < 3600, "MDTM"

must ftp.getbinaryfile(odd, nil) == big, "the big file came back different"
must ftp.getbinaryfile("with space.txt", nil) == small, "the small file came back different"
must ftp.getbinaryfile("empty", nil) == "", "the empty file came back different"
ftp.rename("with space.txt", "renamed file")
ftp.delete("empty")
refused { ftp.getbinaryfile("missing", nil) }
refused { ftp.delete("missing") }
refused { ftp.rename("missing", "other") }
ftp.mkdir("sub dir")
ftp.rmdir("sub dir")
ftp.quit
