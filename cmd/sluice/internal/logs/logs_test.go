package logs

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"
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
