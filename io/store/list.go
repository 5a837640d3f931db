package store

import (
	"context"
	"fmt"
	"sort"
)

// List describes every object whose key begins with prefix, at any depth, sorted by key. The prefix is compared as text,
// as object stores do: end it with a slash to list a folder. A prefix that nothing matches gives an empty list.
// Temporary files of writers, living or dead, are not objects. A link in a folder that leads nowhere is listed, without
// size and generation; opening it fails.
func (s *Store) List(ctx context.Context, prefix string) ([]Info, error) {
	err := checkPrefix(prefix)
	if err == nil {
		err = s.ready(ctx, "list", prefix)
	}
	if err != nil {
		return nil, fmt.Errorf("store: list %q in %s: %w", prefix, s.root, err)
	}
	infos, err := s.backend.list(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("store: list %q in %s: %w", prefix, s.root, err)
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Key < infos[j].Key })
	return infos, nil
}
