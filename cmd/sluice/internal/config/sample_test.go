package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestSample: the configuration that claims to show every key does so.
func TestSample(t *testing.T) {
	sample, err := os.ReadFile("../../../../deploy/sluice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[reflect.Type]bool{}
	var walk func(at string, typ reflect.Type)
	walk = func(at string, typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(at, typ.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key != "" && key != "-" && !regexp.MustCompile(`\b`+key+`\b`).Match(sample) {
				t.Errorf("%s.%s is not in the sample", at, key)
			}
			walk(at+"."+key, f.Type)
		}
	}
	walk("", reflect.TypeFor[Config]())
}
