package main

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"

	"noisystudent/io/store"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/resample"
)

// preprocessed takes a labelled case from its files into a store.
func preprocessed(t task) (work, error) {
	ctx, root := context.Background(), filepath.Join(t.Folder, "store")
	p, err := t.plan()
	if err != nil {
		return work{}, err
	}
	c := cases.Case{ID: "case", Set: cases.Labelled, Image: t.Image, Labels: t.Labels}
	run := func() error {
		if err := os.RemoveAll(root); err != nil {
			return err
		}
		st, err := store.Open(ctx, root)
		if err != nil {
			return err
		}
		row, err := resample.Process(ctx, st, c, p, 0)
		if err == nil && row.Outcome != manifest.Done {
			err = errors.New(row.Message)
		}
		return err
	}
	save := func() error {
		st, err := store.Open(ctx, root)
		if err != nil {
			return err
		}
		s, err := resample.OpenCase(ctx, st, resample.Prefix(p, c.ID))
		if err != nil {
			return err
		}
		shape := s.Shape()
		image, labels := make([]float32, shape[0]*shape[1]*shape[2]), make([]uint8, shape[0]*shape[1]*shape[2])
		if err := s.ReadImage(ctx, [3]int{}, shape, image); err != nil {
			return err
		}
		if err := s.ReadLabels(ctx, [3]int{}, shape, labels); err != nil {
			return err
		}
		return errors.Join(t.leave("image", image), t.leave("labels", labels))
	}
	return work{run, save}, nil
}

// leave writes the bytes of values to the folder, for compare.py.
func (t task) leave(name string, values any) error {
	data, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.Folder, "ours."+name), data, 0o644)
}
