package main

import (
	"fmt"
	"html"
	"strings"
)

// Sizes of the plot in pixels.
const (
	plotWidth = 760
	barHeight = 16
	labelSpan = 90
	chartGap  = 28
)

// colour of each server; readable on white and on black.
var colour = map[string]string{"sluice": "#1f77b4", "vsftpd": "#7f7f7f", "proftpd": "#a0a0a0", "rclone": "#d07a2a", "raw": "#c0c0c0"}

// plot draws the CPU time of the benchmarks that have one session and files as bars, one chart each.
func (r report) plot() string {
	var body strings.Builder
	y := 10
	text := func(x, y int, class, format string, args ...any) {
		_, _ = fmt.Fprintf(&body, `<text x="%d" y="%d"%s>%s</text>`+"\n", x, y, class, html.EscapeString(fmt.Sprintf(format, args...)))
	}
	for i := 0; i < len(r.results); {
		j := i
		longest := 0.0
		for ; j < len(r.results) && r.results[j].group == r.results[i].group && r.results[j].benchmark.name == r.results[i].benchmark.name; j++ {
			if len(r.results[j].samples) > 0 {
				longest = max(longest, r.results[j].cost())
			}
		}
		chart := r.results[i:j]
		i = j
		if b := chart[0].benchmark; b.sessions != 1 || b.latency > 0 || b.per == "listing" || longest == 0 {
			continue
		}
		unit := map[bool]string{true: "CPU seconds per GiB", false: "CPU milliseconds per file"}[chart[0].per == "GiB"]
		y += 14
		text(10, y, ` font-weight="bold"`, "%s: %s", chart[0].benchmark.name, unit)
		y += 6
		for _, res := range chart {
			if len(res.samples) == 0 || res.kind.name == "raw" {
				continue
			}
			width := int(res.cost() / longest * (plotWidth - labelSpan - 80))
			text(10, y+barHeight-4, "", "%s", res.kind.name)
			_, _ = fmt.Fprintf(&body, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", labelSpan, y, max(width, 1), barHeight-3, colour[res.kind.name])
			text(labelSpan+width+6, y+barHeight-4, "", "%s", figure(res.cost()))
			y += barHeight
		}
		y += chartGap - barHeight
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n%s</svg>\n", plotWidth, y, plotWidth, y, &body)
}
