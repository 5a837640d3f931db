package zarr

import (
	"context"
	"encoding/json"
	"fmt"

	"noisystudent/io/store"
)

// groupJSON is zarr.json of a group.
type groupJSON struct {
	ZarrFormat int            `json:"zarr_format"`
	NodeType   string         `json:"node_type"`
	Attributes map[string]any `json:"attributes,omitempty"`
}

// CreateGroup writes a group, replacing its attributes if it exists. Arrays in it are created under prefix/name.
func CreateGroup(ctx context.Context, st *store.Store, prefix string, attributes map[string]any) error {
	text, err := json.MarshalIndent(groupJSON{3, "group", attributes}, "", "  ")
	if err == nil {
		err = st.Write(ctx, metaKey(prefix), text)
	}
	if err != nil {
		return fmt.Errorf("zarr: create group %s: %w", prefix, err)
	}
	return nil
}

// OpenGroup returns a group's attributes, numbers as float64. A group that does not exist is fs.ErrNotExist.
func OpenGroup(ctx context.Context, st *store.Store, prefix string) (attributes map[string]any, err error) {
	data, err := readMeta(ctx, st, prefix)
	if err == nil {
		attributes, err = parseGroup(data)
	}
	if err != nil {
		return nil, fmt.Errorf("zarr: open group %s: %w", prefix, err)
	}
	return attributes, nil
}

func parseGroup(data []byte) (map[string]any, error) {
	// Consolidated metadata is a copy of the members' own, which is what this package reads.
	if err := checkNode(data, "group", "zarr_format", "node_type", "attributes", "consolidated_metadata"); err != nil {
		return nil, err
	}
	var j groupJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return nil, fmt.Errorf("%w: %.200v", ErrMalformed, err)
	}
	return j.Attributes, nil
}
