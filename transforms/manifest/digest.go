package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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
