package plan

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"noisystudent/io/store"
	"noisystudent/transforms/manifest"
)

// Names of the files in the store.
const (
	File       = "plan.json"
	SplitsFile = "splits.json"
)

// What is wrong with a file that Decode or LoadSplits refuses: ErrMalformed is a
// mistake in it, ErrUnsupported a format of a newer program.
var (
	ErrMalformed   = errors.New("malformed")
	ErrUnsupported = errors.New("unsupported")
)

// maxFileBytes bounds plan.json and splits.json.
const maxFileBytes = 16 << 20

// Encode gives the text of plan.json.
func Encode(p Plan) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	return manifest.Encode(p)
}

// Decode reads plan.json. It refuses by name what a person may have got wrong in
// editing: unknown or missing fields, lists of the wrong length, values out of
// range.
func Decode(data []byte) (Plan, error) {
	var p Plan
	err := newer(data)
	if err == nil {
		err = decodeFile(data, &p)
	}
	p.upgrade()
	if err == nil {
		err = p.check()
	}
	if err == nil {
		return p, nil
	}
	if !errors.Is(err, ErrUnsupported) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Plan{}, fmt.Errorf("plan: decode: %w", err)
}

// upgrade says what an older plan left unsaid.
func (p *Plan) upgrade() {
	p.Inference.completeTiles()
	if p.Format != 1 {
		return
	}
	p.Format = FormatVersion
	for _, precision := range []*string{&p.Training.Precision, &p.Inference.Precision} {
		if *precision == "" {
			*precision = Exact
		}
	}
}

// newer refuses a plan of a later format before its fields are judged.
func newer(data []byte) error {
	var head struct{ Format int }
	if len(data) <= maxFileBytes && json.Unmarshal(data, &head) == nil && head.Format > FormatVersion {
		return fmt.Errorf("%w: format %d; this program reads up to %d", ErrUnsupported, head.Format, FormatVersion)
	}
	return nil
}

// Load reads the store's plan.
func Load(ctx context.Context, st *store.Store) (Plan, error) {
	data, err := read(ctx, st, File)
	if errors.Is(err, fs.ErrNotExist) {
		return Plan{}, fmt.Errorf("plan: load: %s has no plan yet; run `noisystudent plan` first: %w", st.Root(), err)
	}
	if err != nil {
		return Plan{}, fmt.Errorf("plan: load: %w", err)
	}
	p, err := Decode(data)
	if err != nil {
		return Plan{}, fmt.Errorf("plan: load %s: %w; correct the file, or make it anew with --replan", st.Address(File), err)
	}
	return p, nil
}

// Save writes the store's plan.
func Save(ctx context.Context, st *store.Store, p Plan) error {
	data, err := Encode(p)
	if err != nil {
		return fmt.Errorf("plan: save: %w", err)
	}
	return write(ctx, st, File, data)
}

// LoadSplits reads the store's folds. Their number must be the plan's, and no case
// may both train and validate a fold unless it is the only one.
func LoadSplits(ctx context.Context, st *store.Store, folds int) ([]Split, error) {
	data, err := read(ctx, st, SplitsFile)
	if err != nil {
		return nil, fmt.Errorf("plan: load splits: %w", err)
	}
	var splits []Split
	if err = decodeFile(data, &splits); err == nil {
		err = checkSplits(splits, folds)
	}
	if err != nil {
		return nil, fmt.Errorf("plan: load %s: %w: %w; correct the file, or make it anew with --replan", st.Address(SplitsFile), ErrMalformed, err)
	}
	return splits, nil
}

// SaveSplits writes the store's folds.
func SaveSplits(ctx context.Context, st *store.Store, splits []Split) error {
	data, err := manifest.Encode(splits)
	if err != nil {
		return fmt.Errorf("plan: save splits: %w", err)
	}
	return write(ctx, st, SplitsFile, data)
}

func checkSplits(splits []Split, folds int) error {
	if len(splits) != folds {
		return fmt.Errorf("%d folds, the plan has %d", len(splits), folds)
	}
	all := Cases(splits)
	for k, s := range splits {
		if len(s.Train) == 0 || len(s.Val) == 0 {
			return fmt.Errorf("fold %d: %d cases to train and %d to validate; it needs both", k, len(s.Train), len(s.Val))
		}
		for _, id := range s.Val {
			if len(all) > 1 && slices.Contains(s.Train, id) {
				return fmt.Errorf("fold %d: case %s both trains and validates", k, id)
			}
		}
	}
	return nil
}

// Overrides turns "path=value" settings, as given on a command line, into
// Options.Overrides. It refuses fields that are not there and values of another type.
func Overrides(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, s := range list {
		path, value, ok := strings.Cut(s, "=")
		if path = strings.TrimSpace(path); !ok || path == "" {
			return nil, fmt.Errorf("plan: setting %q: want field=value, such as training.initial_lr=0.02", s)
		}
		if _, err := findField(&Plan{}, path); err != nil {
			return nil, fmt.Errorf("plan: setting %q: %w", s, err)
		}
		out[path] = strings.TrimSpace(value)
		if err := settable(path, out[path]); err != nil {
			return nil, fmt.Errorf("plan: setting %q: %w", s, err)
		}
	}
	return out, nil
}

func decodeFile(data []byte, into any) error {
	if len(data) > maxFileBytes {
		return fmt.Errorf("%d bytes are too many for this file", len(data))
	}
	return decodeStrict(data, reflect.ValueOf(into), "")
}

func read(ctx context.Context, st *store.Store, key string) ([]byte, error) {
	info, err := st.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.Size > maxFileBytes {
		return nil, fmt.Errorf("%s: %d bytes are too many for this file", st.Address(key), info.Size)
	}
	return st.Read(ctx, key)
}

func write(ctx context.Context, st *store.Store, key string, data []byte) error {
	if err := st.Write(ctx, key, data); err != nil {
		return fmt.Errorf("plan: save %s: %w", st.Address(key), err)
	}
	return nil
}
