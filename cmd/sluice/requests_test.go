package main

import (
	"fmt"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"sluice/cmd/sluice/internal/bench/nulls3"
)

// TestRequests counts what each FTP command costs at the store: requests are what one waits for, and pays. The whole program runs, cache
// included, before an S3 server that counts. A figure may fall; one that rises is a defect.
func TestRequests(t *testing.T) {
	null := &nulls3.Server{}
	srv := httptest.NewServer(null)
	defer srv.Close()
	null.Fill(2500, 10, func(i int) string { return fmt.Sprintf("many/%06d", i) })
	null.Fill(2500, 10, func(i int) string { return fmt.Sprintf("wide/%06d", i) })
	null.Fill(20, 10, func(i int) string { return fmt.Sprintf("few/%06d", i) })
	for _, dir := range []string{"fresh", "stale", "cold"} {
		null.Fill(3, 10, func(i int) string { return fmt.Sprintf("%s/%06d", dir, i) })
	}
	r := boot(t, fmt.Sprintf(`tls: {certificates: [{cert: server.crt, key: server.key}]}
stores: {s3: {type: s3, bucket: b, endpoint: %q, pathStyle: true, accessKey: k, secretKey: s}}
users: [{name: ann, password: %q, mounts: [{path: /, store: s3}]}]
`, srv.URL, hashed()))
	c := r.connect(t)
	c.login("ann", "secret", "230")
	c.do("TYPE I", "200")
	do := func(command, code string) func() { return func() { c.do(command, code) } }
	move := func(command, body string) func() {
		return func() {
			if _, code := c.transfer(command, body); code != "226" {
				t.Errorf("%s: %s", command, code)
			}
		}
	}
	large := strings.Repeat("0123456789abcdef", 20<<20/16)
	type counts = map[string]int
	for _, step := range []struct {
		name string
		run  func()
		want counts
	}{
		{"SIZE, for the first time", do("SIZE few/000001", "213"), counts{"HeadObject": 1, "ListObjectsV2": 2}}, // is it a directory as well, or an upload that was cut off?
		{"SIZE again", do("SIZE few/000001", "213"), counts{}},
		{"MDTM after SIZE", do("MDTM few/000001", "213"), counts{}},
		{"MLSD of one page", move("MLSD few", ""), counts{"ListObjectsV2": 1}},
		{"MLSD again", move("MLSD few", ""), counts{}},
		{"SIZE after MLSD", do("SIZE few/000007", "213"), counts{}},
		{"SIZE of the next", do("SIZE few/000008", "213"), counts{}},
		{"MDTM after it", do("MDTM few/000007", "213"), counts{"HeadObject": 1}}, // rows of S3 have no metadata, and so not the client's time
		{"MDTM again", do("MDTM few/000007", "213"), counts{}},
		{"MLST of the next", do("MLST few/000008", "250"), counts{"HeadObject": 1}},
		{"RNFR after MLSD", do("RNFR few/000009", "350"), counts{}},
		{"RNTO", do("RNTO few/000009a", "250"), counts{"CopyObject": 1, "DeleteObject": 1}},
		{"RNTO to a name with a type", func() { c.do("RNFR few/000010", "350"); c.do("RNTO few/000010.csv", "250") },
			counts{"HeadObject": 1, "CopyObject": 1, "DeleteObject": 1}}, // what the copy must repeat is in no row
		{"HASH", do("HASH few/000002", "213"), counts{"HeadObject": 1, "GetObject": 1}}, // the store keeps no SHA-256
		{"LIST after MLSD", move("LIST few", ""), counts{}},
		{"SIZE of what MLSD has not shown", do("SIZE few/none", "550"), counts{}},
		{"CWD to a large directory", func() { c.do("CWD wide", "250"); c.do("CWD /", "250") }, counts{"HeadObject": 1, "ListObjectsV2": 1}}, // it may be a file
		{"MLSD of three pages", move("MLSD many", ""), counts{"ListObjectsV2": 3}},
		{"RETR of what a listing has shown", move("RETR few/000002", ""), counts{"GetObject": 1}},
		{"RETR of what nobody has asked for", move("RETR fresh/000001", ""), counts{"GetObject": 1}},
		{"STOR of a new file", move("STOR few/new", "hello"), counts{"PutObject": 1}},
		{"SIZE after STOR", do("SIZE few/new", "213"), counts{}},
		{"MDTM after STOR", do("MDTM few/new", "213"), counts{}},
		{"STOR over it", move("STOR few/new", "hello again"), counts{"PutObject": 1}},
		{"RETR of it", move("RETR few/new", ""), counts{"GetObject": 1}},
		{"MFF of both times", do("MFF Create=20200101000000;Modify=20200102000000; few/000003", "213"), counts{"HeadObject": 1, "CopyObject": 1}},
		// An upload in parts has a record while it goes on, by which it can be resumed: one object, written and deleted.
		{"STOR of three parts", move("STOR few/large", large),
			counts{"CreateMultipartUpload": 1, "UploadPart": 3, "CompleteMultipartUpload": 1, "PutObject": 1, "DeleteObject": 1}},
		{"SIZE after it", do("SIZE few/large", "213"), counts{}},
		// What is there stays in the store and is not read. This server has no checksum of a copied part, so the size is asked for.
		{"APPE", move("APPE few/large", "tail"), counts{
			"CreateMultipartUpload": 1, "UploadPartCopy": 1, "UploadPart": 1, "CompleteMultipartUpload": 1, "HeadObject": 1, "PutObject": 1, "DeleteObject": 1,
		}},
		{"REST and STOR", move("REST 10485760; STOR few/large", "middle"),
			counts{
				"CreateMultipartUpload": 1, "UploadPartCopy": 1, "UploadPart": 1, "CompleteMultipartUpload": 1, "HeadObject": 1, "PutObject": 1, "DeleteObject": 1,
			}},
		{"APPE to a small file", move("APPE few/new", "!"), counts{"GetObject": 1, "PutObject": 1}}, // no part is that small
		{"DELE", do("DELE few/new", "250"), counts{"DeleteObject": 1}},
		{"SIZE after DELE", do("SIZE few/new", "550"), counts{}},
		{"MKD", do("MKD made", "257"), counts{"ListObjectsV2": 1, "PutObject": 1}}, // neither file nor directory may be there
		{"MKD beside it", do("MKD other", "257"), counts{"PutObject": 1}},
		{"CWD", do("CWD made", "250"), counts{"ListObjectsV2": 1}},
		{"MLSD of it", move("MLSD", ""), counts{}},
		{"STOR into a new directory", move("STOR one", "1"), counts{"PutObject": 1}},
		{"RNFR", do("RNFR one", "350"), counts{}},
		{"RNTO", do("RNTO two", "250"), counts{"CopyObject": 1, "DeleteObject": 1}}, // the ETag of the copy proves its bytes
		{"CDUP", do("CDUP", "250"), counts{}},
		{"RMD", do("RMD other", "250"), counts{"ListObjectsV2": 1, "DeleteObject": 1}}, // is it empty?
		{"STOR where nobody has looked", move("STOR fresh/new", "hello"), counts{"ListObjectsV2": 1, "PutObject": 1}},
		{"DELE where nobody has looked", do("DELE stale/000001", "250"), counts{"ListObjectsV2": 1, "DeleteObject": 1}},
		{"MKD where nobody has looked", do("MKD cold/new", "257"), counts{"ListObjectsV2": 1, "PutObject": 1}},
		{"another STOR there", move("STOR fresh/newer", "hello"), counts{"PutObject": 1}},
		{"DELE of another file there", do("DELE fresh/000002", "250"), counts{"DeleteObject": 1}},
	} {
		before := null.Counts()
		step.run()
		got := counts{}
		for op, n := range null.Counts() {
			if n -= before[op]; n > 0 {
				got[op] = n
			}
		}
		if !reflect.DeepEqual(got, step.want) {
			t.Errorf("%s: %s, want %s", step.name, show(got), show(step.want))
		}
	}
}

// show writes counts.
func show(m map[string]int) string {
	if len(m) == 0 {
		return "none"
	}
	return strings.TrimPrefix(fmt.Sprint(m), "map")
}
