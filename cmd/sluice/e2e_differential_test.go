//go:build e2e

package main_test

import (
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the replies that the servers give into testdata/differential.txt")

// table is the file of probes. A line has the probe, the replies of ProFTPD, vsftpd, Pure-FTPd and Sluice, and why Sluice
// decides as it does, separated by " | ". "[clear]", "[tls]" and "[user]" say in which state the probes below them begin.
const table = "testdata/differential.txt"

// row is one line of the table; a line without probe is kept as it is.
type row struct {
	line   string
	state  string
	probe  string
	codes  []string // of each peer, in the order of peers
	reason string
}

func readTable(t *testing.T) []*row {
	t.Helper()
	text, err := os.ReadFile(table)
	must(t, err)
	var rows []*row
	state := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		r := &row{line: line}
		switch {
		case strings.HasPrefix(line, "["):
			state = line
		case line != "" && !strings.HasPrefix(line, "#"):
			cells := strings.Split(line, " | ")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			r.state, r.probe, r.reason = state, cells[0], cells[len(cells)-1]
			if len(cells) == 6 {
				r.codes = cells[1:5]
			} else if !*update {
				t.Fatalf("%s: %q has %d cells", table, line, len(cells))
			} else {
				r.reason = "="
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// TestE2EDifferential asks four servers the same. It fails if Sluice answers otherwise than the table says, and where the table has
// it differ from another without a reason.
func TestE2EDifferential(t *testing.T) {
	const shares = 8 // of the probes, each with servers of its own: most of the time is waiting
	rows := readTable(t)
	got := make([][]string, len(rows))
	var wg sync.WaitGroup
	for share := range shares {
		all := peers(t)
		for i := share; i < len(rows); i += shares {
			got[i] = make([]string, len(all))
		}
		for n, p := range all {
			wg.Go(func() {
				for i := share; i < len(rows); i += shares {
					if r := rows[i]; r.probe != "" {
						got[i][n] = p.ask(t, r.state, r.probe)
					}
				}
			})
		}
	}
	wg.Wait()
	if *update {
		writeTable(t, rows, got)
		return
	}
	for i, r := range rows {
		if r.probe == "" {
			continue
		}
		for n, server := range []string{"ProFTPD", "vsftpd", "Pure-FTPd", "Sluice"} {
			if got[i][n] != r.codes[n] {
				report := t.Logf // what others answer may depend on how busy the machine is
				if server == "Sluice" {
					report = t.Errorf
				}
				report("%s %s: %s answers %q, the table says %q", r.state, r.probe, server, got[i][n], r.codes[n])
			}
		}
		if r.reason == "=" && !agree(r.codes) {
			t.Errorf("%s %s: Sluice differs without a reason: %q", r.state, r.probe, got[i])
		}
	}
}

func agree(codes []string) bool { return len(slices.Compact(slices.Clone(codes))) == 1 }

func writeTable(t *testing.T, rows []*row, got [][]string) {
	t.Helper()
	var out strings.Builder
	for i, r := range rows {
		if r.probe == "" {
			out.WriteString(r.line + "\n")
			continue
		}
		fmt.Fprintf(&out, "%-34s | %-13s | %-13s | %-13s | %-13s | %s\n", r.probe, got[i][0], got[i][1], got[i][2], got[i][3], r.reason)
	}
	must(t, os.WriteFile(table, []byte(strings.ReplaceAll(out.String(), " \n", "\n")), 0o644))
}

// files is what each probe finds in the user's directory.
var files = map[string]string{"file.txt": "seventeen bytes!\n", "other.txt": "1\n2\n", "dir/inner.txt": "inner\n", "data.bin": "\x00\x01"}

// ask puts a fresh directory in place and runs one probe, a sequence of commands separated by " ; ", over a fresh connection.
func (p *peer) ask(t *testing.T, state, commands string) string {
	t.Helper()
	entries, err := os.ReadDir(p.home)
	must(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".sluice") {
			must(t, os.RemoveAll(filepath.Join(p.home, e.Name())))
		}
	}
	must(t, os.Mkdir(filepath.Join(p.home, "dir"), 0o755))
	must(t, os.Chown(filepath.Join(p.home, "dir"), servant, servant))
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(p.home, name), []byte(text), 0o644))
		must(t, os.Chown(filepath.Join(p.home, name), servant, servant))
	}
	q := p.open(t, &tls.Config{RootCAs: (&daemon{t: t, ca: p.ca}).roots(t), ServerName: "localhost", MaxVersion: tls.VersionTLS12})
	defer q.raw.Close()
	switch state {
	case "[user]":
		q.login()
	case "[tls]":
		q.want("AUTH TLS", "234")
		must(t, q.encrypt())
	}
	var answers []string
	for command := range strings.SplitSeq(commands, " ; ") {
		answers = append(answers, q.run(command))
	}
	all := strings.Join(answers, ", ")
	if strings.HasSuffix(all, "x") || strings.Contains(all, "+-") { // what is late may come or not
		return all
	}
	return all + q.surplus()
}

// run runs one command of a probe. "<trick>" is one of the tricks; backslashes escape as in Go.
func (q *probe) run(command string) string {
	q.t.Helper()
	command = strings.ReplaceAll(command, "$USER", q.p.user)
	if name, ok := strings.CutPrefix(command, "<"); ok {
		name, arg, _ := strings.Cut(name, "> ")
		return strings.TrimSpace(tricks[strings.TrimSuffix(name, ">")](q, arg))
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(command, `"`, `\"`) + `"`)
	must(q.t, err)
	verb, _, _ := strings.Cut(text, " ")
	switch verb {
	case "RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD":
		if q.secure || q.conn == q.raw && q.p.name == "" {
			return q.transfer(text)
		}
	}
	q.send(text + "\r\n")
	var codes []string
	for range strings.Count(text, "\r\n") + 1 {
		codes = append(codes, q.replies())
		if strings.HasSuffix(codes[len(codes)-1], "x") {
			break
		}
	}
	answer := strings.Join(codes, "/")
	switch {
	case verb == "SIZE" && answer == "213":
		answer += " " + q.text
	case verb == "MKD" && strings.Contains(text, `"`):
		answer += " " + regexp.MustCompile(`".*"`).FindString(q.text)
	}
	return answer
}
