package config

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// decoder fills Go values from a YAML tree. Unlike the library's own decoder it goes on after a problem, knows the place of
// every value for the checks that come later, expands ${env:} and ${file:}, and shows no value that it expanded.
type decoder struct {
	file, dir string
	problems  Problems
	places    map[string]*token.Position // by path
	anchors   map[string]ast.Node
	sources   Sources
}

// decode reads data into v, a pointer to a struct.
func (d *decoder) decode(data []byte, v any) {
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		p := Problem{File: d.file, Text: "not YAML"}
		var e yaml.Error
		if errors.As(err, &e) {
			p.Text = "not YAML: " + e.GetMessage()
			if tk := e.GetToken(); tk != nil {
				p.Line, p.Column = tk.Position.Line, tk.Position.Column
			}
		}
		d.problems = append(d.problems, p)
		return
	}
	for i, doc := range file.Docs {
		switch {
		case i > 0 && doc.Body != nil:
			d.fail(doc.Body, "", "a second document: the configuration is one")
		case doc.Body != nil:
			d.node(doc.Body, "", reflect.ValueOf(v).Elem())
		}
	}
}

func (d *decoder) fail(n ast.Node, path, format string, args ...any) {
	p := Problem{File: d.file, Path: path, Text: fmt.Sprintf(format, args...)}
	if pos := place(n); pos != nil {
		p.Line, p.Column = pos.Line, pos.Column
	}
	d.problems = append(d.problems, p)
}

// place is where a reader of the file sees a node begin.
func place(n ast.Node) *token.Position {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Position
	}
	return nil
}

// node decodes n into v, which is settable.
func (d *decoder) node(n ast.Node, path string, v reflect.Value) {
	switch n := n.(type) {
	case *ast.NullNode:
		return // as if the key were not there
	case *ast.AnchorNode:
		d.node(n.Value, path, v)
		d.anchors[n.Name.GetToken().Value] = n.Value
		return
	case *ast.AliasNode:
		if to, ok := d.anchors[n.Value.GetToken().Value]; ok {
			d.node(to, path, v)
		} else {
			d.fail(n, path, "no anchor *%s stands before this", n.Value.GetToken().Value)
		}
		return
	case *ast.TagNode:
		d.node(n.Value, path, v)
		return
	}
	if _, scalar := text(n); scalar || d.places[path] == nil {
		d.places[path] = place(n) // otherwise that of its key
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case text:
		d.scalar(n, path, v)
	case v.Kind() == reflect.Struct:
		d.mapping(n, path, func(key *ast.MappingValueNode, name, path string) { d.field(key, name, path, v) })
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, path, func(key *ast.MappingValueNode, name, path string) {
			elem := reflect.New(v.Type().Elem()).Elem()
			d.node(key.Value, path, elem)
			v.SetMapIndex(reflect.ValueOf(name), elem)
		})
	case v.Kind() == reflect.Slice:
		d.list(n, path, v)
	default:
		d.scalar(n, path, v)
	}
}

// mapping calls entry for every key of n.
func (d *decoder) mapping(n ast.Node, path string, entry func(kv *ast.MappingValueNode, name, path string)) {
	m, ok := n.(*ast.MappingNode)
	if !ok {
		d.fail(n, path, "keys with values are expected here")
		return
	}
	var seen []string
	for _, kv := range m.Values {
		if kv.Key.IsMergeKey() {
			d.fail(kv.Key, path, "merge keys are not supported: let users extend a profile")
			continue
		}
		name := kv.Key.GetToken().Value
		if slices.Contains(seen, name) {
			d.fail(kv.Key, join(path, name), "given twice")
			continue
		}
		seen = append(seen, name)
		d.places[join(path, name)] = place(kv.Key)
		entry(kv, name, join(path, name))
	}
}

// field decodes one key of the struct v.
func (d *decoder) field(kv *ast.MappingValueNode, name, path string, v reflect.Value) {
	var known []string
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == "-" {
			continue
		}
		if tag == name {
			d.node(kv.Value, path, v.Field(i))
			return
		}
		known = append(known, tag)
	}
	if near := nearest(name, known); near != "" {
		d.fail(kv.Key, path, "unknown key: did you mean %s?", near)
		return
	}
	slices.Sort(known)
	d.fail(kv.Key, path, "unknown key: there are %s", strings.Join(known, ", "))
}

// list decodes a sequence, or one value as a sequence of it.
func (d *decoder) list(n ast.Node, path string, v reflect.Value) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		if _, scalar := text(n); !scalar {
			d.fail(n, path, "a list is expected here")
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		d.node(n, path, v.Index(0))
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
	for i, item := range seq.Values {
		d.node(item, fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
}

// scalar decodes one value.
func (d *decoder) scalar(n ast.Node, path string, v reflect.Value) {
	raw, ok := text(n)
	if !ok {
		d.fail(n, path, "one value is expected here")
		return
	}
	s, err := expand(raw, d.dir, d.sources.read)
	if err == nil {
		err = set(v, s)
	}
	if err == nil {
		return
	}
	if _, secret := v.Addr().Interface().(hidden); secret || raw == "" {
		d.fail(n, path, "%v", err)
		return
	}
	d.fail(n, path, "%s: %v", raw, err) // the text of the file, not what it expands to
}

// text returns a scalar as the file has it.
func text(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func set(v reflect.Value, s string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(s))
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := time.ParseDuration(s)
		if err != nil || t < 0 {
			return errors.New("not a duration such as 30s or 5m")
		}
		v.SetInt(int64(t))
	case v.Kind() == reflect.String:
		v.SetString(s)
	case v.Kind() == reflect.Bool:
		if s != "true" && s != "false" {
			return errors.New("neither true nor false")
		}
		v.SetBool(s == "true")
	case v.Kind() == reflect.Int:
		i, err := strconv.Atoi(s)
		if err != nil || i < 0 {
			return errors.New("not a whole number")
		}
		v.SetInt(int64(i))
	default:
		panic("config: no way to decode a " + v.Type().String())
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
