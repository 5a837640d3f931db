package cases

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const datasetJSON = `{"name": "Mini", "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "spleen": 2}, "numTraining": 2, "file_ending": ".nii.gz"}`

// folder makes a dataset of empty files: Load opens none of them.
func folder(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	put(t, root, "dataset.json", datasetJSON)
	for _, f := range files {
		put(t, root, f, "")
	}
	return root
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// short writes cases as set:id and rejections as kind:id.
func short(cases []Case, rejected []Rejected) (got, refused []string) {
	for _, c := range cases {
		got = append(got, string(c.Set)+":"+c.ID)
	}
	for _, r := range rejected {
		refused = append(refused, string(r.Reason)+":"+r.Case)
	}
	return got, refused
}

func TestLoad(t *testing.T) {
	root := folder(t,
		"imagesTr/b_0000.nii.gz", "labelsTr/b.nii.gz", "imagesTr/a_0000.nii", "labelsTr/a.nii.gz",
		"imagesTr/.DS_Store", "imagesTr/._a_0000.nii.gz", "imagesTr/README.txt",
		"imagesTs/t_0000.nii.gz", "imagesTs/u_0000.nii.gz", "labelsTs/t.nii.gz",
		"imagesUn/FLARE22_Tr_0001.nii.gz", "imagesUn/p_0000.nii.gz")
	d, rejected, err := Load(context.Background(), root, Options{})
	if err != nil || len(rejected) != 0 {
		t.Fatalf("error %v, rejected %v", err, rejected)
	}
	at := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	want := &Dataset{
		Name: "Mini", Root: root, Ignore: -1, FileEnding: ".nii.gz",
		Labels: []Label{{1, "liver"}, {2, "spleen"}},
		Cases: []Case{
			{ID: "a", Set: Labelled, Image: at("imagesTr/a_0000.nii"), Labels: at("labelsTr/a.nii.gz")},
			{ID: "b", Set: Labelled, Image: at("imagesTr/b_0000.nii.gz"), Labels: at("labelsTr/b.nii.gz")},
			{ID: "t", Set: Test, Image: at("imagesTs/t_0000.nii.gz"), Labels: at("labelsTs/t.nii.gz")},
			{ID: "u", Set: Test, Image: at("imagesTs/u_0000.nii.gz")},
			{ID: "FLARE22_Tr_0001", Set: Unlabelled, Image: at("imagesUn/FLARE22_Tr_0001.nii.gz")},
			{ID: "p", Set: Unlabelled, Image: at("imagesUn/p_0000.nii.gz")},
		},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("dataset (-want +got)\n%s", diff)
	}
}

func TestLoadRejectsFiles(t *testing.T) {
	for _, c := range []struct {
		name          string
		files         []string
		want, refused []string
	}{
		{"two files of one id", []string{"imagesTr/x_0000.nii", "imagesTr/x_0000.nii.gz", "labelsTr/x.nii.gz"}, nil, []string{"duplicate-case:x"}},
		{"two labels of one id", []string{"imagesTr/x_0000.nii", "labelsTr/x.nii", "labelsTr/x.nii.gz"}, nil, []string{"duplicate-case:x"}},
		{"second channel", []string{"imagesTr/x_0000.nii.gz", "imagesTr/x_0001.nii.gz", "labelsTr/x.nii.gz"}, nil, []string{"several-channels:x"}},
		{"only a second channel", []string{"imagesTr/x_0001.nii.gz", "labelsTr/x.nii.gz"}, nil, []string{"missing-file:x"}},
		{"no labels", []string{"imagesTr/x_0000.nii.gz"}, nil, []string{"missing-file:x"}},
		{"labels without image", []string{"labelsTr/x.nii.gz"}, nil, []string{"missing-file:x"}},
		{"no channel number", []string{"imagesTr/x.nii.gz"}, nil, []string{"missing-file:x"}},
		{
			"other formats",
			[]string{"imagesTr/x_0000.nrrd", "labelsTr/x.nii.gz", "imagesTr/y_0000.mha", "imagesUn/z.TIF"},
			nil,
			[]string{"unsupported-type:x", "unsupported-type:y", "unsupported-type:z"},
		},
		{"a DICOM series", []string{"imagesUn/p1/1.dcm", "imagesUn/p1/2.dcm"}, nil, []string{"unsupported-type:p1"}},
		{
			"folders in place of files", // some programs unpack into one
			[]string{"imagesUn/x_0000.nii.gz/x_0000.nii", "imagesUn/y.nii/notes.txt", "imagesUn/y.nii/more.txt", "imagesUn/.z.nii/notes.txt"},
			nil,
			[]string{"unsupported-type:x", "unsupported-type:y"},
		},
		{"a name with a backslash", []string{`imagesUn/a\b.nii.gz`}, nil, nil},
		{
			"channels in the pool",
			[]string{"imagesUn/x_0000.nii.gz", "imagesUn/x_0001.nii.gz", "imagesUn/y_0001.nii.gz"},
			[]string{"unlabelled:y_0001"},
			[]string{"several-channels:x"},
		},
		{
			"one id in two sets",
			[]string{"imagesTs/ok_0000.nii.gz", "imagesTs/t_0000.nii.gz", "imagesUn/t.nii.gz"},
			[]string{"test:t"},
			[]string{"duplicate-case:ok", "duplicate-case:t"},
		},
	} {
		files := append([]string{"imagesTr/ok_0000.nii.gz", "labelsTr/ok.nii.gz"}, c.files...)
		d, rejected, err := Load(context.Background(), folder(t, files...), Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, refused := short(d.Cases, rejected)
		if diff := cmp.Diff(append([]string{"labelled:ok"}, c.want...), got); diff != "" {
			t.Errorf("%s: cases (-want +got)\n%s", c.name, diff)
		}
		if diff := cmp.Diff(c.refused, refused); diff != "" {
			t.Errorf("%s: rejected (-want +got)\n%s", c.name, diff)
		}
		for _, r := range rejected {
			if r.Stage != "load" || r.File == "" || !strings.Contains(r.Message, "; ") {
				t.Errorf("%s: %+v lacks stage, file or remedy", c.name, r)
			}
		}
	}
}

func TestLoadRefusesDatasets(t *testing.T) {
	for _, c := range []struct{ name, json, want string }{
		{"regions", `"labels": {"background": 0, "whole": [1, 2], "core": 2}`, `unsupported: the label "whole" is a region`},
		{"no background", `"labels": {"liver": 1}`, `malformed: labels: the value 0 must be "background"`},
		{"gap", `"labels": {"background": 0, "a": 1, "b": 3}`, "no value 2"},
		{"twice", `"labels": {"background": 0, "a": 1, "b": 1}`, `"a" and "b" both have the value 1`},
		{"low ignore", `"labels": {"background": 0, "ignore": 1, "b": 2}`, `"ignore" must have the highest value`},
		{"only background", `"labels": {"background": 0}`, "no class besides"},
		{"label too high", `"labels": {"background": 0, "a": 300}`, "from 0 to 254"},
		{"fraction", `"labels": {"background": 0, "a": 1.5}`, "whole number"},
		{"channels", `"channel_names": {"0": "CT", "1": "PET"}`, "unsupported: 2 channels"},
		{"ending", `"file_ending": ".nrrd"`, `unsupported: file_ending ".nrrd"; convert`},
		{"listed files", `"dataset": {"a": {}}`, `unsupported: files listed under "dataset"`},
		{"syntax", `"labels": `, "malformed: "},
	} {
		root := folder(t, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
		base := map[string]string{"labels": `"labels": {"background": 0, "liver": 1}`, "channel_names": `"channel_names": {"0": "CT"}`, "file_ending": `"file_ending": ".nii.gz"`}
		key := strings.Split(c.json, `"`)[1]
		base[key] = c.json
		var parts []string
		for _, p := range base {
			parts = append(parts, p)
		}
		slices.Sort(parts)
		put(t, root, "dataset.json", "{"+strings.Join(parts, ",")+"}")
		_, _, err := Load(context.Background(), root, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "dataset.json") {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"empty":        {nil, "imagesTr holds no scan"},
		"none usable":  {[]string{"imagesTr/x_0000.nii.gz"}, "no labelled case can be used; the first of 1"},
		"no labelled":  {[]string{"imagesTs/x_0000.nii.gz"}, "imagesTr holds no scan"},
		"only foreign": {[]string{"imagesTr/x_0000.nrrd"}, "convert it to .nii.gz"},
	} {
		if _, _, err := Load(context.Background(), folder(t, c.files...), Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
	if _, _, err := Load(context.Background(), t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "raw layout") {
		t.Errorf("no dataset.json: %v", err)
	}
}

func TestLoadIgnoreLabelAndWarnings(t *testing.T) {
	root := folder(t, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz")
	put(t, root, "dataset.json", `{"modality": {"0": "MRI"}, "labels": {"ignore": "2", "background": "0", "liver": "1"}, "numTraining": 5, "file_ending": ".nii.gz"}`)
	d, _, err := Load(context.Background(), root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Ignore != 2 || d.Classes() != 2 || d.Scheme() != (Scheme{Classes: 2, Ignore: 2}) || d.Name != filepath.Base(root) {
		t.Errorf("dataset %+v", d)
	}
	if len(d.Warnings) != 2 || !strings.Contains(d.Warnings[0], "MRI") || !strings.Contains(d.Warnings[1], "numTraining 5") {
		t.Errorf("warnings %q", d.Warnings)
	}
}

func TestLoadMoreUnlabelled(t *testing.T) {
	root := folder(t, "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz", "imagesTs/t_0000.nii.gz")
	pool := t.TempDir()
	put(t, pool, "p.nii.gz", "")
	put(t, pool, "t.nii.gz", "")
	d, rejected, err := Load(context.Background(), root, Options{UnlabelledScans: pool})
	if err != nil {
		t.Fatal(err)
	}
	got, refused := short(d.Cases, rejected)
	if diff := cmp.Diff([][]string{{"labelled:a", "test:t", "unlabelled:p"}, {"duplicate-case:t"}}, [][]string{got, refused}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// The test folder itself as pool: the same files, so nothing to complain of, and nothing to train on.
	d, rejected, err = Load(context.Background(), root, Options{UnlabelledScans: filepath.Join(root, "imagesTs")})
	if got, _ := short(d.Cases, nil); err != nil || len(rejected) != 0 || len(got) != 2 {
		t.Errorf("cases %v, rejected %v, error %v", got, rejected, err)
	}
}

func TestScans(t *testing.T) {
	root := t.TempDir()
	for _, f := range []string{"scan_1.nii.gz", "scan_2.nii", "other_0000.nii.gz", "notes.txt", "x.mha", "site1/ct.nii.gz", "site2/ct2.nii.gz"} {
		put(t, root, f, "")
	}
	nested := []string{"unsupported-type:site1", "unsupported-type:site2", "unsupported-type:x"}
	for _, c := range []struct {
		address       string
		want, refused []string
	}{
		{root, []string{"other", "scan_1", "scan_2"}, nested},
		{root + "/", []string{"other", "scan_1", "scan_2"}, nested},
		{root + "/scan_", []string{"scan_1", "scan_2"}, nil},
		{root + "/scan_1.nii.gz", []string{"scan_1"}, nil},
		{root + "/*.nii.gz", []string{"other", "scan_1"}, nil},
		{root + "/scan_[2].nii", []string{"scan_2"}, nil},
		{root + "/site?/*.nii.gz", []string{"ct", "ct2"}, nil},
		{root + "/*", []string{"other", "scan_1", "scan_2"}, []string{"unsupported-type:x"}},
	} {
		cases, rejected, err := Scans(context.Background(), c.address)
		if err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		var got, refused []string
		for _, s := range cases {
			got = append(got, s.ID)
		}
		_, refused = short(nil, rejected)
		if diff := cmp.Diff([][]string{c.want, c.refused}, [][]string{got, refused}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.address, diff)
		}
	}
	for _, address := range []string{root + "/none", root + "/notes.txt", root + "/[", "s3://b/x", ""} {
		if _, _, err := Scans(context.Background(), address); err == nil {
			t.Errorf("%q: no error", address)
		}
	}
}

func TestCheckID(t *testing.T) {
	for _, id := range []string{"a", "FLARE22_Tr_0001", "Müller 3", "x..y"} {
		if err := CheckID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", ".hidden", "a/b", `a\b`, "../../etc/passwd", "a\x00b", "a\nb", "\xff", strings.Repeat("x", 201)} {
		if CheckID(id) == nil {
			t.Errorf("%q was accepted", id)
		}
	}
}

func ExampleFault() {
	fmt.Println(&Fault{Kind: SeveralChannels, File: "imagesTr/a_0001.nii.gz", Remedy: "keep one channel"})
	// Output: imagesTr/a_0001.nii.gz: several-channels; keep one channel
}
