package main_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// importRules say who may import whom: "a < b" lets b import a, and all that a may import; "a !< b" states that the rules let
// b reach a on no path. Each name is defined once, on the right-hand side, before it is used on the left. The notation is that of
// go/build/deps_test.go in the Go tree.
//
// A name in capitals stands for code from elsewhere (see outside) and is not handed on: whoever imports it is named beside it. What
// lies in an internal folder counts as the package around that folder.
const importRules = `
	NONE < AWS, AZURE, GOOGLE, PROMETHEUS, LIBRARY;

	NONE < backend;
	NONE < backend/link/rawio;
	LIBRARY < protocol/auth, protocol/codec, protocol/socket, protocol/wire;
	backend/link/rawio, protocol/socket, LIBRARY < protocol/dataconn;
	NONE < backend/storetest/free;
	backend/storetest/free, LIBRARY < backend/storetest/{azurite,fakegcs,versitygw};

	backend/link/rawio < backend/link;
	backend, LIBRARY < backend/{breaker,file,mem,storetest,transfer}, cache;
	backend/{breaker,link}, LIBRARY, AWS < backend/s3;
	backend/{breaker,link}, LIBRARY, AZURE < backend/azure;
	backend/{breaker,link}, LIBRARY, GOOGLE < backend/gcs;

	backend/transfer, LIBRARY < backend/vfs;
	backend/vfs, LIBRARY < backend/vfs/vfstest;
	backend/vfs < protocol/listing;
	backend/vfs, protocol/{codec,dataconn,listing,socket,wire}, LIBRARY < protocol;
	protocol, backend/mem < protocol/wiretest;

	backend/{azure,file,gcs,mem,s3}, cache, protocol, protocol/auth, LIBRARY, PROMETHEUS < cmd/sluice;

	NONE < deploy, helm;

	AWS, AZURE, GOOGLE, PROMETHEUS !< protocol;
	protocol !< backend, backend/{azure,file,gcs,mem,s3,storetest,transfer,vfs}, cache;
`

// outside maps the start of a foreign import path to its name in the rules; LIBRARY is everything that is not listed.
var outside = map[string]string{
	"cloud.google.com/":                             "GOOGLE",
	"github.com/googleapis/":                        "GOOGLE",
	"google.golang.org/api/":                        "GOOGLE",
	"github.com/Azure/":                             "AZURE",
	"github.com/AzureAD/":                           "AZURE",
	"github.com/aws/":                               "AWS",
	"github.com/prometheus/":                        "PROMETHEUS",
	"go.opentelemetry.io/otel/exporters/prometheus": "PROMETHEUS",
}

// Tests may also import libraries and the test helpers. The tests of the program, which start all of it, see everything.
var (
	testHelpers = []string{"backend/mem", "backend/storetest", "backend/storetest/azurite", "backend/storetest/fakegcs", "backend/storetest/versitygw", "backend/vfs/vfstest", "protocol/wiretest"}
	seesAll     = []string{"cmd/sluice", "deploy", "helm"}
)

// topLevel is all that the top of the repository may hold, besides what git ignores.
var topLevel = []string{
	"cmd", "backend", "protocol", "cache", "deploy", "helm", "testdata",
	"go.mod", "go.sum", "README.md", "LICENSE", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile",
	".ci", ".git", ".gitignore", ".golangci.yml",
}

// source is what the rules need to know of one Go file.
type source struct {
	name    string // slash-separated, from the top of the repository
	imports []string
}

func TestImports(t *testing.T) {
	files, err := sources(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range violations(importRules, files) {
		t.Error(p)
	}
}

func TestImportsRefused(t *testing.T) {
	const rules = `
		NONE < AWS, LIBRARY;
		NONE < backend, protocol/wire;
		backend, AWS < backend/s3;
		backend, LIBRARY < backend/{mem,vfs};
		backend/vfs, protocol/wire < protocol;
		protocol, backend/s3 < cmd/sluice;
	`
	for _, c := range []struct {
		name, rules, file, imports string
		want                       string // empty: allowed
	}{
		{"direct", rules, "backend/s3/s3.go", "sluice/backend", ""},
		{"through another", rules, "protocol/reply.go", "sluice/backend", ""},
		{"standard library", rules, "backend/backend.go", "net/http", ""},
		{"own SDK", rules, "backend/s3/s3.go", "github.com/aws/aws-sdk-go-v2/aws", ""},
		{"inside internal", rules, "cmd/sluice/internal/config/config.go", "sluice/backend/s3", ""},
		{"helper in a test", rules, "protocol/list_test.go", "sluice/backend/mem", ""},
		{"library in a test", rules, "backend/backend_test.go", "pgregory.net/rapid", ""},
		{"program's test", rules, "cmd/sluice/serve_test.go", "github.com/aws/aws-sdk-go-v2/aws", ""},

		{"upwards", rules, "backend/vfs/tree.go", "sluice/protocol", "backend/vfs may not import protocol"},
		{"sideways", rules, "backend/vfs/tree.go", "sluice/backend/s3", "backend/vfs may not import backend/s3"},
		{"upwards in a test", rules, "backend/vfs/tree_test.go", "sluice/protocol", "backend/vfs may not import protocol"},
		{"SDK elsewhere", rules, "cmd/sluice/run.go", "github.com/aws/smithy-go", "cmd/sluice may not import AWS"},
		{"SDK in a test elsewhere", rules, "protocol/list_test.go", "github.com/aws/smithy-go", "protocol may not import AWS"},
		{"library", rules, "backend/backend.go", "golang.org/x/sync/errgroup", "backend may not import LIBRARY"},
		{"helper in the program", rules, "protocol/list.go", "sluice/backend/mem", "protocol may not import backend/mem"},
		{"unknown package", rules, "util/strings.go", "fmt", "util: no rule"},
		{"unknown import", rules, "cmd/sluice/run.go", "sluice/util", "cmd/sluice may not import util"},

		{"defined twice", "NONE < a; NONE < a;", "a/a.go", "fmt", "a: defined twice"},
		{"used before", "b < a; NONE < b;", "a/a.go", "fmt", "b: used before its definition"},
		{"no operator", "NONE a;", "a/a.go", "fmt", `rule "NONE a"`},
		{"broken never", "NONE < a; a < b; b < c; a !< c;", "a/a.go", "fmt", "a !< c: the rules let it"},
		{"never about nothing", "NONE < a; b !< a;", "a/a.go", "fmt", "b !< a: not defined"},
		{"never through an SDK", "NONE < AWS; AWS < a; a < b; AWS !< b;", "a/a.go", "fmt", "AWS !< b: the rules let it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(violations(c.rules, []source{{c.file, []string{c.imports}}}), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSources(t *testing.T) {
	files, err := sources(fstest.MapFS{
		"a/a_windows.go":       {Data: []byte("//go:build e2e && windows\n\npackage a\n\nimport `x`\nimport _ \"y\"\n")},
		"a/testdata/broken.go": {Data: []byte("no Go")},
		".tools/broken.go":     {Data: []byte("no Go")},
	})
	want := []source{{"a/a_windows.go", []string{"x", "y"}}}
	if err != nil || !reflect.DeepEqual(files, want) {
		t.Errorf("got %v, %v; want %v", files, err, want)
	}
	if _, err := sources(fstest.MapFS{"broken.go": {Data: []byte("no Go")}}); err == nil {
		t.Error("a broken file went unnoticed")
	}
}

func TestTopLevel(t *testing.T) {
	ignore, err := os.ReadFile("../../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ignored := slices.ContainsFunc(strings.Fields(string(ignore)), func(pattern string) bool {
			ok, err := path.Match(strings.Trim(pattern, "/"), e.Name())
			return ok && err == nil
		})
		if !ignored && !slices.Contains(topLevel, e.Name()) {
			t.Errorf("%s does not belong at the top of the repository", e.Name())
		}
	}
}

// sources parses the imports of every Go file below root, whatever its build tags.
func sources(root fs.FS) ([]source, error) {
	var files []source
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.ContainsAny(d.Name()[:1], "._") || d.Name() == "testdata"):
			return fs.SkipDir // the go command does not look there either
		case d.IsDir() || filepath.Ext(name) != ".go":
			return nil
		}
		text, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
		if err != nil {
			return err
		}
		s := source{name: name}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			s.imports = append(s.imports, p)
		}
		files = append(files, s)
		return nil
	})
	return files, err
}

// violations returns one line for each import that the rules do not allow, and for each mistake in the rules.
func violations(rules string, files []source) []string {
	allowed, problems := parseRules(rules)
	for _, f := range files {
		node := nodeOf(path.Dir(f.name))
		if allowed[node] == nil {
			problems = append(problems, node+": no rule for this package")
			continue
		}
		test := strings.HasSuffix(f.name, "_test.go")
		for _, imp := range f.imports {
			to := target(imp)
			switch {
			case to == "" || to == node || allowed[node][to]:
			case test && (to == "LIBRARY" || slices.Contains(testHelpers, to) || slices.Contains(seesAll, node)):
			default:
				problems = append(problems, fmt.Sprintf("%s: %s may not import %s (%s)", f.name, node, to, imp))
			}
		}
	}
	return problems
}

// nodeOf names the package in the rules that a folder belongs to.
func nodeOf(dir string) string {
	before, _, _ := strings.Cut(dir+"/", "/internal/")
	return strings.TrimSuffix(before, "/")
}

// target names an import path as the rules do; the standard library has no name.
func target(imp string) string {
	if own, ok := strings.CutPrefix(imp, "sluice/"); ok {
		return nodeOf(own)
	}
	if first, _, _ := strings.Cut(imp, "/"); !strings.Contains(first, ".") {
		return ""
	}
	for prefix, name := range outside {
		if strings.HasPrefix(imp+"/", prefix) {
			return name
		}
	}
	return "LIBRARY"
}

// parseRules returns for each name what it may import, and the mistakes that it found.
func parseRules(text string) (allowed map[string]map[string]bool, problems []string) {
	allowed = map[string]map[string]bool{}
	reach := map[string]map[string]bool{} // as allowed, but names in capitals are handed on
	for rule := range strings.SplitSeq(text, ";") {
		rule = strings.TrimSpace(rule)
		if rule == "" {
			continue
		}
		never := strings.Contains(rule, "!<")
		left, right, ok := strings.Cut(strings.Replace(rule, "!<", "<", 1), "<")
		if !ok {
			problems = append(problems, fmt.Sprintf("rule %q has no < in it", rule))
			continue
		}
		for _, name := range names(right) {
			if !never && allowed[name] != nil {
				problems = append(problems, name+": defined twice")
				continue
			}
			if !never {
				allowed[name], reach[name] = map[string]bool{}, map[string]bool{}
			}
			for _, l := range names(left) {
				switch {
				case never && (allowed[name] == nil || allowed[l] == nil):
					problems = append(problems, l+" !< "+name+": not defined")
				case never && reach[name][l]:
					problems = append(problems, l+" !< "+name+": the rules let it")
				case never || l == "NONE":
				case allowed[l] == nil:
					problems = append(problems, l+": used before its definition")
				default:
					allowed[name][l], reach[name][l] = true, true
					maps.Copy(reach[name], reach[l])
					for next := range allowed[l] {
						if next != strings.ToUpper(next) {
							allowed[name][next] = true
						}
					}
				}
			}
		}
	}
	return allowed, problems
}

// names splits "a, b/{c,d}" into a, b/c and b/d.
func names(list string) []string {
	var all []string
	for list = strings.TrimSpace(list); list != ""; {
		end := strings.IndexAny(list, ",{")
		if end < 0 {
			end = len(list)
		}
		if end < len(list) && list[end] == '{' {
			inner, rest, _ := strings.Cut(list[end+1:], "}")
			for name := range strings.SplitSeq(inner, ",") {
				all = append(all, list[:end]+strings.TrimSpace(name))
			}
			list = rest
		} else {
			all = append(all, strings.TrimSpace(list[:end]))
			list = list[end:]
		}
		list = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(list), ","))
	}
	return all
}
