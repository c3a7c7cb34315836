package s3

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithytime "github.com/aws/smithy-go/time"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/orisano/gosax"

	"sluice/backend"
)

// page is one answer of ListObjectsV2. It reads the document itself, in a step of the SDK's own: the SDK's reading of it is
// two thirds of what a long listing costs the server.
type page struct {
	objects, prefixes []backend.Entry
	encoded           bool   // keys are URL-encoded
	next              string // token of the page behind; empty: there is none

	follow func(token string) // called with next as soon as that has been read, once in each attempt
}

// read is an option of a call of ListObjectsV2.
func (p *page) read(o *s3.Options) {
	o.APIOptions = append(slices.Clip(o.APIOptions), func(stack *middleware.Stack) error {
		return stack.Deserialize.Insert(p, "OperationDeserializer", middleware.After)
	})
}

// ID implements middleware.DeserializeMiddleware.
func (p *page) ID() string { return "ListPage" }

// HandleDeserialize implements middleware.DeserializeMiddleware. It takes the document out of a good answer and leaves an empty one
// in its place; errors, those in an answer of 200 too, are left to the SDK.
func (p *page) HandleDeserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	resp, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || resp.StatusCode/100 != 2 {
		return out, meta, err
	}
	body := &opening{ReadCloser: resp.Body}
	read, root, err := parsePage(body, func() { body.kept, body.over = nil, true }, p.follow)
	switch {
	case err == nil && root == "Error":
		resp.Body = body.again()
		return out, meta, nil
	case err == nil && root != listResult: // a page of a proxy is not an empty listing
		err = fmt.Errorf("the answer is a document of another kind: %q", root)
	case err == nil:
		_, err = io.Copy(io.Discard, body) // so that the connection can be used again
	}
	if err = errors.Join(err, body.Close()); err != nil {
		return out, meta, &smithyhttp.RequestSendError{Err: err} // is tried again
	}
	read.follow = p.follow
	*p = read
	resp.Body = io.NopCloser(strings.NewReader("<" + listResult + "/>"))
	return out, meta, nil
}

// opening is a body whose first bytes are kept until it is known what they begin.
type opening struct {
	io.ReadCloser
	kept []byte
	over bool
}

// Read never returns nothing without an error: the tokenizer would take that for the end.
func (o *opening) Read(p []byte) (n int, err error) {
	for tries := 0; n == 0 && err == nil && len(p) > 0; tries++ {
		if tries == 100 {
			return 0, io.ErrNoProgress
		}
		n, err = o.ReadCloser.Read(p)
	}
	if !o.over {
		o.kept = append(o.kept, p[:n]...)
	}
	return n, err
}

// again returns the body from its beginning.
func (o *opening) again() io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(o.kept), o.ReadCloser), o.ReadCloser}
}

const listResult = "ListBucketResult" // element of the document

// buffers are for reading documents. They hold the longest element, and grow where that is longer.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 64<<10)
	return &b
}}

// parsePage reads a ListBucketResult (API reference, ListObjectsV2, response syntax). It calls found when it is known to be one, and follow with
// the token of the page behind, if there is one. root is the name of the document's element, known even where there is an error.
func parsePage(doc io.Reader, found func(), follow func(token string)) (p page, root string, err error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	r := gosax.NewReaderBuf(doc, *buf)
	r.EmitSelfClosingTag = true
	var d document
	for {
		e, err := r.Event()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return page{}, d.root, err
		}
		switch e.Type() {
		case gosax.EventStart:
			d.open(element(e))
			if d.root != listResult {
				return page{}, d.root, nil
			}
			if len(d.names) == 1 {
				found()
			}
		case gosax.EventText:
			t, err := gosax.Unescape(e.Bytes)
			if err != nil {
				return page{}, d.root, err
			}
			d.text = append(d.text, t...)
		case gosax.EventCData:
			d.text = append(d.text, bytes.TrimSuffix(bytes.TrimPrefix(e.Bytes, []byte("<![CDATA[")), []byte("]]>"))...)
		case gosax.EventEnd:
			if err := d.end(d.closing(e)); err != nil {
				return page{}, d.root, err
			}
			if d.truncated && d.next != "" && follow != nil {
				follow(d.next)
				follow = nil
			}
		case gosax.EventEOF:
			p, err := d.finish()
			return p, d.root, err
		}
	}
}

// element is the name of an element without the prefix of its namespace.
func element(e gosax.Event) string {
	switch string(e.Bytes) { // the frequent ones cost no memory, and little time
	case "<Key>":
		return "Key"
	case "<LastModified>":
		return "LastModified"
	case "<ETag>":
		return "ETag"
	case "<Size>":
		return "Size"
	case "<StorageClass>":
		return "StorageClass"
	case "<Contents>":
		return "Contents"
	case "<Prefix>":
		return "Prefix"
	case "<CommonPrefixes>":
		return "CommonPrefixes"
	}
	raw, _ := gosax.Name(e.Bytes)
	if i := bytes.IndexByte(raw, ':'); i >= 0 {
		raw = raw[i+1:]
	}
	return string(raw)
}

// document is a ListBucketResult on its way.
type document struct {
	page
	root      string   // element of the document
	names     []string // of the elements that are open
	text      []byte   // of the innermost one
	truncated bool
	restored  bool // the row is of an object that has been restored
	most      int  // rows, as the store says
}

// open begins an element.
func (d *document) open(name string) {
	if d.root == "" {
		d.root = name
	}
	d.names, d.text = append(d.names, name), d.text[:0]
	switch {
	case len(d.names) == 2 && name == "Contents":
		if d.objects == nil {
			d.objects = make([]backend.Entry, 0, d.most)
		}
		d.objects, d.restored = append(d.objects, backend.Entry{Object: backend.Object{Partial: true}}), false
	case len(d.names) == 2 && name == "CommonPrefixes":
		d.prefixes = append(d.prefixes, backend.Entry{Prefix: true})
	case len(d.names) == 3 && name == "RestoreStatus":
		d.restored = true
	}
}

// closing is element for an end. Most end what was opened last, as it was written then.
func (d *document) closing(e gosax.Event) string {
	if n := len(d.names); n > 0 && len(e.Bytes) == len("</>")+len(d.names[n-1]) && string(e.Bytes[2:len(e.Bytes)-1]) == d.names[n-1] {
		return d.names[n-1]
	}
	return element(e)
}

// end takes what the innermost of the open elements says.
func (d *document) end(name string) error {
	n := len(d.names)
	if n == 0 || d.names[n-1] != name {
		return fmt.Errorf("unexpected end of %q", name)
	}
	within := ""
	if n > 1 {
		within = d.names[1]
	}
	var err error
	switch {
	case n == 2:
		err = d.fact(name)
	case n == 3 && within == "Contents":
		err = d.attribute(&d.objects[len(d.objects)-1].Object, name)
	case n == 3 && within == "CommonPrefixes" && name == "Prefix":
		d.prefixes[len(d.prefixes)-1].Key = string(d.text)
	case n == 4 && within == "Contents" && name == "IsRestoreInProgress" && string(d.text) == "true":
		d.restored = false
	}
	d.names, d.text = d.names[:n-1], d.text[:0]
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// fact takes what an element below the document's says.
func (d *document) fact(name string) (err error) {
	switch name {
	case "Contents":
		o := &d.objects[len(d.objects)-1].Object
		restore := ""
		if d.restored {
			restore = `ongoing-request="false"` // as HeadObject would say it
		}
		o.Archived = archived(types.StorageClass(o.StorageClass), restore, "")
	case "EncodingType":
		d.encoded = string(d.text) == string(types.EncodingTypeUrl)
	case "KeyCount":
		d.most, _ = strconv.Atoi(string(d.text))
		d.most = max(0, min(d.most, 1000))
	case "IsTruncated":
		d.truncated, err = strconv.ParseBool(string(d.text))
	case "NextContinuationToken":
		d.next = string(d.text)
	}
	return err
}

// attribute takes what an element of a row says of its object.
func (d *document) attribute(o *backend.Object, name string) (err error) {
	switch name {
	case "Key":
		o.Key = string(d.text)
	case "ETag":
		o.ETag = string(d.text)
	case "Size":
		o.Size, err = strconv.ParseInt(string(d.text), 10, 64)
	case "StorageClass":
		if class := class(types.StorageClass(d.text)); class != "" {
			o.StorageClass = class
		}
	case "LastModified":
		if o.Updated, err = time.Parse(time.RFC3339, string(d.text)); err != nil {
			o.Updated, err = smithytime.ParseDateTime(string(d.text)) // knows more ways to write it
		}
	}
	return err
}

// finish ends the document and decodes its keys.
func (d *document) finish() (page, error) {
	if len(d.names) > 0 || d.root == "" {
		return page{}, io.ErrUnexpectedEOF
	}
	switch {
	case !d.truncated:
		d.next = ""
	case d.next == "":
		return page{}, errors.New("there is more, but no NextContinuationToken")
	}
	for _, rows := range [][]backend.Entry{d.objects, d.prefixes} {
		for i := range rows {
			if !d.encoded {
				break
			}
			key, err := url.QueryUnescape(rows[i].Key)
			if err != nil {
				return page{}, err
			}
			rows[i].Key = key
		}
	}
	return d.page, nil
}

// entries merges the objects and the common prefixes, each of which is in order.
func (p *page) entries() []backend.Entry {
	all := append(p.objects, p.prefixes...)
	if len(p.prefixes) > 0 {
		slices.SortStableFunc(all, func(a, b backend.Entry) int { return cmp.Compare(a.Key, b.Key) })
	}
	return all
}
