//go:build e2e

package main_test

import (
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestE2EScanners has the usual scanners look at the program. What they find has to be explained here.
func TestE2EScanners(t *testing.T) {
	t.Parallel()
	d := start(t, nil, forgiving)
	explicit, implicit := strconv.Itoa(d.explicit), strconv.Itoa(d.implicit)

	t.Run("sslscan", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"--starttls-ftp", "127.0.0.1:" + explicit}, {"127.0.0.1:" + implicit}} {
			out := run(t, exec.Command(tool(t, "sslscan"), append([]string{"--no-colour"}, args...)...))
			for _, want := range []string{
				`SSLv2 +disabled`, `SSLv3 +disabled`, `TLSv1.0 +disabled`, `TLSv1.1 +disabled`, `TLSv1.2 +enabled`, `TLSv1.3 +enabled`,
				`Server supports TLS Fallback SCSV`, `Session renegotiation not supported`, `TLSv1.3 not vulnerable to heartbleed`, `TLSv1.2 not vulnerable to heartbleed`,
			} {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("%q does not say %q:\n%s", args, want, out)
				}
			}
			ciphers := regexp.MustCompile(`(?m)^(?:Preferred|Accepted) .*$`).FindAllString(out, -1)
			for _, c := range ciphers {
				if !strings.Contains(c, " TLS_") && !strings.Contains(c, " ECDHE-") {
					t.Errorf("a cipher without forward secrecy: %s", c)
				}
			}
			if len(ciphers) < 6 {
				t.Errorf("%d ciphers:\n%s", len(ciphers), out)
			}
		}
	})

	t.Run("testssl", func(t *testing.T) {
		t.Parallel()
		cmd := exec.Command(tool(t, "testssl"), "--quiet", "--color", "0", "--warnings", "off", "--fast", "-t", "ftp", "-p", "-U", "127.0.0.1:"+explicit)
		raw, err := cmd.Output() // its exit code counts what it dislikes
		out := string(raw)
		if !strings.Contains(out, " Done ") {
			t.Fatalf("%v\n%s", err, out)
		}
		// The verdicts, and why those that are not "OK" are no finding.
		for _, line := range strings.Split(out, "\n") {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "  ")
			if name == "" || !verdict.MatchString(line) {
				continue
			}
			reason, known := explained[strings.Fields(name)[0]]
			if !known {
				t.Errorf("unexplained: %s", line)
			}
			t.Logf("%s (%s)", strings.TrimSpace(line), reason)
		}
		for _, want := range []string{`TLS 1\.3 +offered \(OK\)`, `TLS 1\.2 +offered \(OK\)`, `TLS 1 +not offered`, `TLS 1\.1 +not offered`, `Heartbleed .*not vulnerable \(OK\)`,
			`Secure Client-Initiated Renegotiation +not vulnerable \(OK\)`, `ROBOT +Server does not support any cipher suites that use RSA key transport`, `SWEET32 .*not vulnerable \(OK\)`} {
			if !regexp.MustCompile(want).MatchString(out) {
				t.Errorf("does not say %q:\n%s", want, out)
			}
		}
	})

	// The port rules of the scripts are overridden (+), since these ports are not theirs. ftp-bounce would ask an outside host without
	// checkhost.
	t.Run("nmap", func(t *testing.T) {
		t.Parallel()
		out := run(t, exec.Command(tool(t, "nmap"), "-Pn", "-n", "-p", explicit+","+implicit, "--script", "+ftp-anon,+ftp-bounce,+ftp-syst,+ftp-vsftpd-backdoor,+ftp-proftpd-backdoor,+ssl-enum-ciphers",
			"--script-args", "ftp-bounce.checkhost=127.0.0.2,ftp-bounce.username="+user+",ftp-bounce.password=wrong", "127.0.0.1"))
		for _, bad := range []string{"Anonymous FTP login allowed", "bounce working", "VULNERABLE", "least strength: [B-F]", "TLSv1.[01]:", "SSLv3:"} {
			if regexp.MustCompile(bad).MatchString(out) {
				t.Errorf("it says %q:\n%s", bad, out)
			}
		}
		for _, want := range []string{explicit + "/tcp open", implicit + "/tcp open", "least strength: A"} {
			if !strings.Contains(out, want) {
				t.Errorf("it does not say %q:\n%s", want, out)
			}
		}
	})
}

// verdict is what testssl says of what it does not like.
var verdict = regexp.MustCompile(`VULNERABLE|NOT ok|offered \(NOT|problem|potentially|Local`)

// explained are the verdicts of testssl that are no finding, by their first word.
var explained = map[string]string{
	"LUCKY13": "it names every server with a CBC cipher; of these there are only those with SHA-1, which crypto/tls checks in constant time",
	"RC4":     "the scanner's OpenSSL cannot test it; sslscan's list has none",
}
