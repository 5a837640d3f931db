package plan

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// leaf is one field of a plan that holds a value, by its path in plan.json.
type leaf struct {
	path  string
	value reflect.Value
}

// leaves lists the fields in the order of the file, without the reasons.
func leaves(p *Plan) []leaf {
	var list []leaf
	walk("", reflect.ValueOf(p).Elem(), func(l leaf) { list = append(list, l) })
	return list
}

func walk(path string, v reflect.Value, visit func(leaf)) {
	for i := range v.NumField() {
		name := jsonName(v.Type().Field(i))
		switch at := strings.TrimPrefix(path+"."+name, "."); {
		case at == "reasons":
		case v.Field(i).Kind() == reflect.Struct:
			walk(at, v.Field(i), visit)
		default:
			visit(leaf{at, v.Field(i)})
		}
	}
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// setField writes a value, given as text, into the field at path. Lists may be
// written as JSON or with commas, words without quotes.
func setField(p *Plan, path, text string) error {
	l, err := findField(p, path)
	if err != nil {
		return err
	}
	return setValue(l, text)
}

// findField returns the field at path, or says what there is in its place.
func findField(p *Plan, path string) (leaf, error) {
	var group []string
	for _, l := range leaves(p) {
		if l.path == path {
			return l, nil
		}
		if strings.HasPrefix(l.path, path+".") {
			group = append(group, l.path)
		}
	}
	if group != nil {
		return leaf{}, fmt.Errorf("%s is a group of fields; set one of %s", path, strings.Join(group, ", "))
	}
	return leaf{}, fmt.Errorf("there is no field %q in a plan; %s", path, nearest(path, p))
}

// settable tells whether a field could take a text, before there is a plan. What a
// rule gives only the planner knows.
func settable(path, text string) error {
	if isRule(path, text) {
		return nil
	}
	return setField(&Plan{}, path, text)
}

// isRule reports whether a text stands for a list that is derived.
func isRule(path, text string) bool {
	lists := []string{"architecture.features_per_stage", "architecture.kernel_sizes", "architecture.n_conv_per_stage", "architecture.n_conv_per_stage_decoder"}
	return slices.Contains(lists, path) && strings.Contains(text, "..") ||
		path == "training.class_weights" && strings.HasPrefix(text, "frequency^")
}

func setValue(l leaf, text string) error {
	raw := text
	switch kind := l.value.Kind(); {
	case kind == reflect.String && !strings.HasPrefix(text, `"`):
		quoted, _ := json.Marshal(text)
		raw = string(quoted)
	case (kind == reflect.Slice || kind == reflect.Array) && !strings.HasPrefix(strings.TrimSpace(text), "["):
		raw = "[" + text + "]"
		if l.value.Type().Elem().Kind() == reflect.String {
			raw = words(text)
		}
	}
	fresh := reflect.New(l.value.Type())
	if err := decodeStrict([]byte(raw), fresh, l.path); err != nil {
		return fmt.Errorf("%w (got %q)", err, text)
	}
	l.value.Set(fresh.Elem())
	return nil
}

// words gives the JSON of words that commas separate.
func words(text string) string {
	list := []string{}
	for _, word := range strings.Split(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	raw, _ := json.Marshal(list)
	return string(raw)
}

// nearest names the fields that end like the wrong path, or all groups.
func nearest(path string, p *Plan) string {
	last := path[strings.LastIndexByte(path, '.')+1:]
	var close, all []string
	for _, l := range leaves(p) {
		all = append(all, l.path)
		if last != "" && strings.Contains(l.path, last) {
			close = append(close, l.path)
		}
	}
	if close != nil {
		return "did you mean " + strings.Join(close, ", ") + "?"
	}
	return "the fields are " + strings.Join(all, ", ")
}
