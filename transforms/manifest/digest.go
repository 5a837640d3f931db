package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// Digest names values by their content: the sha256, in hex, of their canonical JSON
// (keys sorted, so that neither the order of a struct's fields nor of a map's
// entries matters). It panics on what JSON cannot hold, such as a NaN: such a value
// should have been refused long before.
func Digest(parts ...any) string {
	data, err := json.Marshal(parts)
	if err != nil {
		panic(fmt.Sprintf("manifest: digest: %v", err))
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		panic(fmt.Sprintf("manifest: digest: %v", err))
	}
	if data, err = json.Marshal(tree); err != nil {
		panic(fmt.Sprintf("manifest: digest: %v", err))
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// numbers are the innermost lists of indented JSON that hold no strings.
var numbers = regexp.MustCompile(`\[\n[^\[\]{}"]*\]`)

// Encode gives JSON as people read and edit it: indented, each list of numbers on
// one line.
func Encode(v any) ([]byte, error) {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	data = numbers.ReplaceAllFunc(data, func(list []byte) []byte {
		line := bytes.Join(bytes.Fields(list[1:len(list)-1]), []byte(" "))
		return slices.Concat([]byte("["), line, []byte("]"))
	})
	return append(data, '\n'), nil
}
