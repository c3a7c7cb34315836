package logs

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sluice/backend"
)

// Durations are text with a unit, in groups and behind With as well.
func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20576830023: "20.577s", time.Minute: "1m0s", 1234567: "1.235ms", 0: "0s", -2 * time.Second: "-2s",
	} {
		var out strings.Builder
		New(&out, slog.LevelInfo).With(Grace, d).WithGroup("g").Info("done", Duration, d, "bytes", 7)
		var got struct {
			Grace any
			G     struct{ Duration, Bytes any }
		}
		if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.Grace != want || got.G.Duration != want || got.G.Bytes != 7.0 {
			t.Errorf("%d ns: %s, %v, want %s", d, out.String(), err, want)
		}
	}
}

// What a store said stands beside the error, however deep it lies; other errors are as they were.
func TestFailures(t *testing.T) {
	f := &backend.Failure{Store: "drops", Driver: "s3", Op: "put", Key: "a", Class: backend.ErrThrottled, Status: 503, Code: "SlowDown", Request: "R", Err: io.EOF}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{f, `"error":"s3 put a: store unavailable: it throttles: EOF","storage":{"store":"drops","type":"s3","op":"put","key":"a","class":"throttled","code":"SlowDown","request_id":"R","status":503}}`},
		{fmt.Errorf("x: %w", f), `"error":"x: s3 put a: store unavailable: it throttles: EOF","storage":{"store":"drops",`},
		{io.EOF, `"error":"EOF"}`},
	} {
		var out strings.Builder
		New(&out, slog.LevelInfo).Info("m", Error, tt.err)
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: %s, want %s", tt.err, out.String(), tt.want)
		}
	}
}
