package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"sluice/cmd/sluice/internal/bench/content"
)

const (
	rawPart  = 8 << 20 // bytes of a part
	rawParts = 4       // parts at once
)

// raw is a client of the store itself. It signs nothing, which the store does not mind.
type raw struct {
	client *http.Client
	url    string // of the bucket
}

func startRaw(_ context.Context, k kind, at place) (*server, error) {
	open := func(context.Context) (session, error) {
		t := &http.Transport{MaxIdleConnsPerHost: rawParts, WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10}
		return &raw{client: &http.Client{Transport: t}, url: at.store + "/" + bucket + "/"}, nil
	}
	return &server{kind: k, open: open}, nil
}

// do sends a request and hands its answer to read.
func (r *raw) do(ctx context.Context, method, target string, body io.Reader, size int64, read func(*http.Response) error) error {
	req, err := http.NewRequestWithContext(ctx, method, r.url+target, body)
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, target, resp.Status)
	}
	if read != nil {
		err = read(resp)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return err
}

// Store implements session: one request, or one for each part.
func (r *raw) Store(ctx context.Context, name string, size int64) error {
	if size <= rawPart {
		return r.do(ctx, http.MethodPut, name, content.Reader(0, size), size, nil)
	}
	var upload struct {
		ID string `xml:"UploadId"`
	}
	if err := r.do(ctx, http.MethodPost, name+"?uploads", nil, 0, func(resp *http.Response) error { return xml.NewDecoder(resp.Body).Decode(&upload) }); err != nil {
		return err
	}
	tags := make([]string, (size+rawPart-1)/rawPart)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(rawParts)
	for i := range tags {
		off := int64(i) * rawPart
		n := min(rawPart, size-off)
		target := fmt.Sprintf("%s?partNumber=%d&uploadId=%s", name, i+1, upload.ID)
		group.Go(func() error {
			return r.do(groupCtx, http.MethodPut, target, content.Reader(off, n), n, func(resp *http.Response) error {
				tags[i] = resp.Header.Get("ETag")
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var parts strings.Builder
	for i, tag := range tags {
		_, _ = fmt.Fprintf(&parts, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, tag)
	}
	body := "<CompleteMultipartUpload>" + parts.String() + "</CompleteMultipartUpload>"
	return r.do(ctx, http.MethodPost, name+"?uploadId="+upload.ID, strings.NewReader(body), int64(len(body)), nil)
}

// Fetch implements session with one request.
func (r *raw) Fetch(ctx context.Context, name string, size int64) error {
	return r.do(ctx, http.MethodGet, name, nil, 0, func(resp *http.Response) error {
		check := content.From(0)
		if _, err := io.CopyBuffer(check, struct{ io.Reader }{resp.Body}, make([]byte, 256<<10)); err != nil {
			return err
		}
		if check.Wrong || check.Size != size {
			return fmt.Errorf("GET %s: %d bytes came, wanted were %d", name, check.Size, size)
		}
		return nil
	})
}

// List implements session with one request a page, whose rows it does not look at.
func (r *raw) List(ctx context.Context, _, dir string) (rows int, err error) {
	for token := ""; ; {
		target := "?list-type=2&delimiter=/&encoding-type=url&prefix=" + url.QueryEscape(dir+"/") + token
		err := r.do(ctx, http.MethodGet, target, nil, 0, func(resp *http.Response) error {
			page, err := io.ReadAll(resp.Body)
			rows += bytes.Count(page, []byte("<Key>"))
			_, next, _ := strings.Cut(string(page), "<NextContinuationToken>")
			next, _, _ = strings.Cut(next, "<")
			token = "&continuation-token=" + url.QueryEscape(next)
			if next == "" {
				token = ""
			}
			return err
		})
		if err != nil || token == "" {
			return rows, err
		}
	}
}

// Close implements session.
func (r *raw) Close() error {
	r.client.CloseIdleConnections()
	return nil
}
