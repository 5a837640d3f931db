package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"noisystudent/io/store"
)

// What is wrong with a dataset.json: ErrMalformed is for its author to correct,
// ErrUnsupported is what nnU-Net allows and this program does not yet.
var (
	ErrMalformed   = errors.New("malformed")
	ErrUnsupported = errors.New("unsupported")
)

// maxDatasetJSON bounds dataset.json; nnU-Net's are a few kilobytes.
const maxDatasetJSON = 16 << 20

// rawDataset is nnU-Net v2's dataset.json, the fields that matter here.
type rawDataset struct {
	Name         string                     `json:"name"`
	ChannelNames map[string]string          `json:"channel_names"`
	Modality     map[string]string          `json:"modality"` // channel_names of older files
	Labels       map[string]json.RawMessage `json:"labels"`
	NumTraining  *int                       `json:"numTraining"`
	FileEnding   string                     `json:"file_ending"`
	Listed       json.RawMessage            `json:"dataset"`
}

// parseDataset reads dataset.json. Its errors end with a remedy.
func parseDataset(data []byte) (*Dataset, *rawDataset, error) {
	var raw rawDataset
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, nil, fmt.Errorf("%w: %w; correct the file", ErrMalformed, err)
	}
	d := &Dataset{Name: raw.Name, Ignore: -1, FileEnding: raw.FileEnding, Warnings: channelWarnings(raw)}
	err := raw.check()
	if err == nil {
		err = d.setLabels(raw.Labels)
	}
	if err != nil && !errors.Is(err, ErrUnsupported) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return d, &raw, err
}

// check refuses, with a remedy, what is missing and what later versions may read.
func (raw rawDataset) check() error {
	channels := len(raw.ChannelNames) + len(raw.Modality)
	switch {
	case raw.Listed != nil:
		return fmt.Errorf(`%w: files listed under "dataset"; put the scans into imagesTr/ and labelsTr/ and remove the entry`, ErrUnsupported)
	case channels == 0:
		return errors.New(`channel_names is missing; add "channel_names": {"0": "CT"}`)
	case channels > 1:
		return fmt.Errorf("%w: %d channels; keep one, <case>_0000, in channel_names and in the folders", ErrUnsupported, channels)
	case len(raw.Labels) == 0:
		return errors.New(`labels is missing; add "labels": {"background": 0, "liver": 1, ...}`)
	case raw.FileEnding == "":
		return errors.New(`file_ending is missing; add "file_ending": ".nii.gz"`)
	case !slices.Contains(endings, raw.FileEnding):
		return fmt.Errorf("%w: file_ending %q; convert the files to .nii.gz", ErrUnsupported, raw.FileEnding)
	}
	return nil
}

func channelWarnings(raw rawDataset) []string {
	for _, names := range []map[string]string{raw.ChannelNames, raw.Modality} {
		for _, name := range names {
			if !strings.EqualFold(name, "CT") {
				return []string{fmt.Sprintf("dataset.json calls the channel %q; it is normalised as CT in HU all the same", name)}
			}
		}
	}
	return nil
}

// setLabels takes the label list: background 0, then ids without gaps, then the
// ignore label, as nnU-Net requires.
func (d *Dataset) setLabels(raw map[string]json.RawMessage) error {
	ids := map[int]string{}
	for name, value := range raw {
		id, err := labelID(name, value)
		if err != nil {
			return err
		}
		if other, twice := ids[id]; twice {
			return fmt.Errorf("labels: %q and %q both have the value %d; give each its own", min(name, other), max(name, other), id)
		}
		ids[id] = name
	}
	if ids[0] != "background" {
		return fmt.Errorf(`labels: the value 0 must be "background", not %q`, ids[0])
	}
	for id := 1; id < len(ids); id++ {
		name, ok := ids[id]
		switch {
		case !ok:
			return fmt.Errorf("labels: there is no value %d; number them 0 to %d without gaps, here and in all label files, as nnU-Net asks too", id, len(ids)-1)
		case name == "ignore" && id != len(ids)-1:
			return fmt.Errorf(`labels: "ignore" must have the highest value, %d, not %d`, len(ids)-1, id)
		case name == "ignore":
			d.Ignore = id
		default:
			d.Labels = append(d.Labels, Label{ID: id, Name: name})
		}
	}
	if len(d.Labels) == 0 {
		return errors.New("labels: there is no class besides background; add one")
	}
	return nil
}

// labelID reads one value; older files write the number as a string.
func labelID(name string, value json.RawMessage) (int, error) {
	var list []any
	if json.Unmarshal(value, &list) == nil {
		return 0, fmt.Errorf("%w: the label %q is a region, a list of labels; give each class one number in dataset.json and in the label files", ErrUnsupported, name)
	}
	text := strings.Trim(string(value), `"`)
	id, err := strconv.Atoi(text)
	if err != nil || id < 0 || id > 254 {
		return 0, fmt.Errorf("labels: %q has the value %.40s; want a whole number from 0 to 254", name, value)
	}
	return id, nil
}

// baseName names a dataset after its folder.
func baseName(root string) string {
	return path.Base(strings.ReplaceAll(strings.TrimRight(root, `/\`), `\`, "/"))
}

// ReadScheme reads the names of the labels, and the ignore label or -1, from the
// dataset.json at an address.
func ReadScheme(ctx context.Context, address string) ([]Label, int, error) {
	data, err := store.ReadAddress(ctx, address)
	if err != nil {
		return nil, -1, fmt.Errorf("cases: labels of %s: %w", address, err)
	}
	d, _, err := parseDataset(data)
	if err != nil {
		return nil, -1, fmt.Errorf("cases: labels of %s: %w", address, err)
	}
	return d.Labels, d.Ignore, nil
}
