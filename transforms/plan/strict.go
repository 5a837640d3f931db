package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// decodeStrict reads JSON into the value that into points to. Unlike
// encoding/json it refuses, by name, a field that is unknown, misspelt in case or
// missing, a list of the wrong length, a null and anything after the value:
// people edit these files, and a typing error must not silently become a default.
// path names the value in errors; it may be empty.
func decodeStrict(data []byte, into reflect.Value, path string) error {
	var tree any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return syntaxError(data, err, path)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%smore data after the end", prefix(path))
	}
	if err := matches(tree, into.Type().Elem(), path); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into.Interface()); err != nil {
		return typeError(err, path)
	}
	return nil
}

// matches holds a decoded JSON value against the type that should take it.
func matches(tree any, t reflect.Type, path string) error {
	if tree == nil {
		return fmt.Errorf("%snull is not a value", prefix(path))
	}
	list, isList := tree.([]any)
	object, isObject := tree.(map[string]any)
	switch {
	case isObject && t.Kind() == reflect.Struct:
		return matchesStruct(object, t, path)
	case isList && t.Kind() == reflect.Array && len(list) != t.Len():
		return fmt.Errorf("%swant %d values, not %d", prefix(path), t.Len(), len(list))
	case isList && (t.Kind() == reflect.Array || t.Kind() == reflect.Slice):
		for i, item := range list {
			if err := matches(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return err
			}
		}
	}
	return nil // anything else is json.Unmarshal's to judge
}

func matchesStruct(object map[string]any, t reflect.Type, path string) error {
	known := map[string]bool{}
	for i := range t.NumField() {
		name := jsonName(t.Field(i))
		known[name] = true
		item, ok := object[name]
		at := strings.TrimPrefix(path+"."+name, ".")
		if !ok && !strings.HasSuffix(t.Field(i).Tag.Get("json"), ",omitempty") {
			return fmt.Errorf("field %q is missing", at)
		}
		if !ok {
			continue
		}
		if err := matches(item, t.Field(i).Type, at); err != nil {
			return err
		}
	}
	var unknown []string
	for name := range object {
		if !known[name] {
			unknown = append(unknown, strings.TrimPrefix(path+"."+name, "."))
		}
	}
	if unknown != nil {
		return fmt.Errorf("unknown field %q", slices.Min(unknown))
	}
	return nil
}

func prefix(path string) string {
	if path == "" {
		return ""
	}
	return path + ": "
}

// syntaxError adds the line to JSON's byte offset.
func syntaxError(data []byte, err error, path string) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		at := min(int(s.Offset), len(data))
		return fmt.Errorf("%sline %d: %w", prefix(path), 1+bytes.Count(data[:at], []byte("\n")), err)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%sit is empty", prefix(path))
	}
	return fmt.Errorf("%s%w", prefix(path), err)
}

// typeError says which field wanted what.
func typeError(err error, path string) error {
	var u *json.UnmarshalTypeError
	if errors.As(err, &u) {
		at := strings.Trim(path+"."+u.Field, ".")
		return fmt.Errorf("%swant %s, not a JSON %s", prefix(at), u.Type, u.Value)
	}
	return fmt.Errorf("%s%w", prefix(path), err)
}
