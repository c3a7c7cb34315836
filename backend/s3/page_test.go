package s3

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"sluice/backend"
)

const pageDoc = `<?xml version="1.0" encoding="UTF-8"?>
<!-- as AWS, MinIO and others write it --><ns:ListBucketResult xmlns:ns="http://s3.amazonaws.com/doc/2006-03-01/" a=">">
 <ns:Name>b&amp;c</ns:Name><ns:Prefix/><ns:NextContinuationToken>a&lt;b==</ns:NextContinuationToken><ns:IsTruncated>true</ns:IsTruncated>
 <ns:Contents><ns:Key>a+%26&#37;62</ns:Key><ns:LastModified>2026-01-02T03:04:05.678Z</ns:LastModified><ns:ETag>&quot;e1&quot;</ns:ETag><ns:Size>12</ns:Size>
  <ns:Owner><ns:ID>x</ns:ID><ns:Key>not this one</ns:Key></ns:Owner><ns:StorageClass>STANDARD</ns:StorageClass></ns:Contents>
 <ns:CommonPrefixes><ns:Prefix><![CDATA[b/]]></ns:Prefix></ns:CommonPrefixes>
 <ns:Contents><ns:Key>c</ns:Key><ns:LastModified>2026-01-02T03:04:05Z</ns:LastModified><ns:ETag>e2</ns:ETag><ns:Size>0</ns:Size><ns:StorageClass>GLACIER</ns:StorageClass></ns:Contents>
 <ns:Contents><ns:Key>d</ns:Key><ns:StorageClass>GLACIER</ns:StorageClass><ns:RestoreStatus><ns:IsRestoreInProgress>true</ns:IsRestoreInProgress></ns:RestoreStatus></ns:Contents>
 <ns:Contents><ns:Key>e</ns:Key><ns:StorageClass>GLACIER</ns:StorageClass><ns:RestoreStatus><ns:IsRestoreInProgress>false</ns:IsRestoreInProgress></ns:RestoreStatus></ns:Contents>
 <ns:EncodingType>url</ns:EncodingType>
</ns:ListBucketResult>
`

func TestPage(t *testing.T) {
	told := ""
	p, root, err := parsePage(strings.NewReader(pageDoc), func() {}, func(token string) { told += token })
	if err != nil || root != "ListBucketResult" || p.next != "a<b==" || told != p.next {
		t.Fatalf("%q, next %q, told %q, %v", root, p.next, told, err)
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	want := []backend.Entry{
		{Object: backend.Object{Key: "a &b", Size: 12, Updated: when, ETag: `"e1"`, Partial: true}},
		{Object: backend.Object{Key: "b/"}, Prefix: true},
		{Object: backend.Object{Key: "c", Updated: when.Truncate(time.Second), ETag: "e2", StorageClass: "GLACIER", Archived: true, Partial: true}},
		{Object: backend.Object{Key: "d", StorageClass: "GLACIER", Archived: true, Partial: true}},
		{Object: backend.Object{Key: "e", StorageClass: "GLACIER", Partial: true}},
	}
	got := p.entries()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}

func TestPageRefused(t *testing.T) {
	for i := range len(strings.TrimSpace(pageDoc)) {
		if p, root, err := parsePage(strings.NewReader(pageDoc[:i]), func() {}, nil); err == nil && root == "ListBucketResult" {
			t.Fatalf("cut at %d it is taken for whole: %v", i, p)
		}
	}
	for _, doc := range []string{
		"<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
		"<ListBucketResult><Contents><LastModified>yesterday</LastModified></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>perhaps</IsTruncated></ListBucketResult>",
		"<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key></Contents></ListBucketResult>",
		"<ListBucketResult><Contents></ListBucketResult></Contents>",
	} {
		if p, _, err := parsePage(strings.NewReader(doc), func() {}, nil); err == nil {
			t.Errorf("%s is taken for %v", doc, p)
		}
	}
	if _, root, err := parsePage(strings.NewReader("<Error><Code>SlowDown</Code></Error>"), func() {}, nil); root != "Error" || err != nil {
		t.Errorf("%q, %v", root, err)
	}
}

// TestPageModel compares with what encoding/xml writes.
func TestPageModel(t *testing.T) {
	type row struct {
		Key, ETag string
		Size      int64
	}
	type prefix struct{ Prefix string }
	type result struct {
		XMLName        xml.Name `xml:"ListBucketResult"`
		EncodingType   string   `xml:",omitempty"`
		Contents       []row
		CommonPrefixes []prefix
	}
	rapid.Check(t, func(t *rapid.T) {
		doc := result{EncodingType: rapid.SampledFrom([]string{"", "url"}).Draw(t, "encoding")}
		text := rapid.StringMatching(`[ -~äß€日]{1,20}`)
		encode := func(s string) string {
			if doc.EncodingType == "url" {
				return url.QueryEscape(s)
			}
			return s
		}
		keys := rapid.SliceOfNDistinct(text, 0, 20, func(s string) string { return s }).Draw(t, "keys")
		slices.Sort(keys)
		var want []backend.Entry
		for _, key := range keys {
			if rapid.Bool().Draw(t, "prefix") {
				doc.CommonPrefixes = append(doc.CommonPrefixes, prefix{encode(key)})
				want = append(want, backend.Entry{Object: backend.Object{Key: key}, Prefix: true})
				continue
			}
			r := row{encode(key), text.Draw(t, "etag"), rapid.Int64().Draw(t, "size")}
			doc.Contents = append(doc.Contents, r)
			want = append(want, backend.Entry{Object: backend.Object{Key: key, ETag: r.ETag, Size: r.Size, Partial: true}})
		}
		b, err := xml.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := parsePage(iotest.OneByteReader(bytes.NewReader(b)), func() {}, nil)
		if got := p.entries(); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s\ngot %v, %v\nwant %v", b, got, err, want)
		}
	})
}

// TestPageToken: what follows is told once, wherever it stands, and only if there is more.
func TestPageToken(t *testing.T) {
	const more, end, token, row = "<IsTruncated>true</IsTruncated>", "<IsTruncated>false</IsTruncated>",
		"<NextContinuationToken>t</NextContinuationToken>", "<Contents><Key>k</Key></Contents>"
	for doc, want := range map[string]string{
		more + token + row:         "t",
		token + row + more:         "t",
		row + more + token:         "t",
		more + token + token + row: "t",
		end + token + row:          "",
		token + row:                "",
	} {
		told := ""
		p, _, err := parsePage(strings.NewReader("<ListBucketResult>"+doc+"</ListBucketResult>"), func() {}, func(token string) { told += token })
		if err != nil || p.next != want || told != want {
			t.Errorf("%s: next is %q, told was %q, %v", doc, p.next, told, err)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(pageDoc))
	f.Add([]byte("<Error><Code>SlowDown</Code></Error>"))
	f.Fuzz(func(t *testing.T, doc []byte) {
		told := []string{}
		p, _, err := parsePage(bytes.NewReader(doc), func() {}, func(token string) { told = append(told, token) })
		if len(told) > 1 || err == nil && p.next != "" && len(told) == 0 {
			t.Errorf("next is %q, told was %q", p.next, told)
		}
		for _, e := range p.entries() {
			if err != nil {
				t.Errorf("%v in spite of %v", e, err)
			}
		}
	})
}
