package pipelines

import (
	"encoding/binary"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noisystudent/io/iotest"
	"noisystudent/io/nifti"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
)

// badScan is a scan file that nobody can use: its name's ending, its bytes, and what
// people are to be told.
type badScan struct {
	name, ending string
	data         []byte
	kind         cases.Kind
	remedy       string
}

// badScans lists what hospitals and broken copies send.
func badScans(t *testing.T) []badScan {
	g := gridOf(9, 16, 22)
	packed := iotest.Image(t, g, nifti.Int16, func(i int) float32 { return float32(i%200 - 100) })
	floats := unpack(t, iotest.Image(t, g, nifti.Float32, func(i int) float32 { return float32(i % 100) }))
	plain := func(spoil func(header []byte)) []byte {
		b := unpack(t, packed)
		spoil(b)
		return b
	}
	dim := func(axis int, n int16) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint16(b[40+2*axis:], uint16(n)) }
	}
	const whole = "a file must hold one 3-D volume"
	return []badScan{
		{"gzip_cut", ".nii.gz", packed[:len(packed)*3/5], cases.Truncated, "copy or export the file again"},
		{"gzip_damaged", ".nii.gz", damage(packed), cases.Truncated, "copy or export the file again"},
		{"empty_file", ".nii.gz", nil, cases.Truncated, "copy or export the file again"},
		{"not_nifti", ".nii", []byte(strings.Repeat("text ", 200)), cases.UnsupportedType, "convert the file to NIfTI"},
		{"data_short", ".nii", plain(dim(1, 23)), cases.Truncated, "copy or export the file again"},
		{"data_long", ".nii", plain(dim(1, 21)), cases.HeaderMismatch, "export the file again"},
		{"dim_0", ".nii", plain(dim(2, 0)), cases.BadDimensions, whole},
		{"dim_negative", ".nii", plain(dim(2, -16)), cases.BadDimensions, whole},
		{"dim_2_31", ".nii", nifti2(1 << 31), cases.BadDimensions, whole},
		{"many_voxels", ".nii", plain(func(b []byte) { dim(1, 32767)(b); dim(2, 32767)(b); dim(3, 2)(b) }), cases.Truncated, "copy or export the file again"},
		{"four_d", ".nii", plain(func(b []byte) { dim(0, 4)(b); dim(4, 2)(b) }), cases.UnsupportedType, "take one 3-D volume out of it first"},
		{"spacing_0", ".nii", plain(spacing(0)), cases.BadGeometry, "correct spacing and directions in the header"},
		{"nan", ".nii", voxel(floats, math.NaN()), cases.NonFinite, "replace the NaN or infinite voxels"},
		{"infinite", ".nii", voxel(floats, math.Inf(-1)), cases.NonFinite, "replace the NaN or infinite voxels"},
		{"all_zero", ".nii.gz", iotest.Image(t, g, nifti.Int16, func(int) float32 { return 0 }), cases.Empty, "every voxel is zero"},
	}
}

// spacing writes the same one for all axes.
func spacing(mm float32) func(header []byte) {
	return func(b []byte) {
		for i := range 3 {
			binary.LittleEndian.PutUint32(b[80+4*i:], math.Float32bits(mm))
			binary.LittleEndian.PutUint32(b[280+20*i:], math.Float32bits(mm))
		}
	}
}

// badNames are files that are refused by their names, wherever they lie.
var badNames = []struct {
	files  []string
	id     string
	kind   cases.Kind
	remedy string
}{
	{[]string{"twice_0000.nii.gz", "twice_0000.nii"}, "twice", cases.DuplicateCase, "keep one of the files"},
	{[]string{"two_0000.nii.gz", "two_0001.nii.gz"}, "two", cases.SeveralChannels, "keep one channel"},
	{[]string{"a_0000.nrrd"}, "a", cases.UnsupportedType, "convert it to .nii.gz"},
	{[]string{"b_0000.mha"}, "b", cases.UnsupportedType, "convert it to .nii.gz"},
	{[]string{"c_0000.tif"}, "c", cases.UnsupportedType, "convert it to .nii.gz"},
	{[]string{"series/1.dcm", "series/2.dcm"}, "series", cases.UnsupportedType, "put the slices of a CT series there"},
}

// told is what people must have been told about a case.
type told struct {
	stage, file, remedy string
	kind                cases.Kind
}

// badCohort writes a cohort of good cases and bad files, and gives what is wrong by case.
func badCohort(t *testing.T, root string) map[string]told {
	t.Helper()
	tinyCohort(t, root, 3, 2, 1, 0)
	g := gridOf(9, 16, 22)
	labels := iotest.Labels(t, g, func(i int) uint8 { return uint8(i % 14) })
	want := map[string]told{}
	for _, b := range badScans(t) {
		for prefix, folder := range map[string]string{"u_": "imagesUn", "t_": "imagesTr"} {
			id := prefix + b.name
			file := filepath.Join(root, folder, id+"_0000"+b.ending)
			put(t, file, b.data)
			want[id] = told{"preprocess", file, b.remedy, b.kind}
			if prefix == "t_" {
				put(t, filepath.Join(root, "labelsTr", id+".nii.gz"), labels)
				want[id] = told{"fingerprint", file, b.remedy, b.kind}
			}
		}
	}
	good := iotest.Image(t, g, nifti.Int16, func(i int) float32 { return float32(i%200 - 100) })
	for id, b := range map[string]struct {
		labels []byte
		kind   cases.Kind
		remedy string
	}{
		"label_14":   {iotest.Labels(t, g, func(i int) uint8 { return uint8(i % 15) }), cases.UnknownLabel, "correct the labels, or list the value in dataset.json"},
		"grid_shape": {iotest.Labels(t, gridOf(9, 16, 21), func(i int) uint8 { return uint8(i % 14) }), cases.GridMismatch, "resample the labels onto the image's grid"},
		"grid_place": {iotest.Labels(t, moved(g), func(i int) uint8 { return uint8(i % 14) }), cases.GridMismatch, "resample the labels onto the image's grid"},
		"labels_cut": {labels[:len(labels)/2], cases.Truncated, "copy or export the file again"},
	} {
		file := filepath.Join(root, "labelsTr", id+".nii.gz")
		put(t, filepath.Join(root, "imagesTr", id+"_0000.nii.gz"), good)
		put(t, file, b.labels)
		want[id] = told{"fingerprint", file, b.remedy, b.kind}
	}
	put(t, filepath.Join(root, "imagesTr", "no_labels_0000.nii.gz"), good)
	want["no_labels"] = told{"load", filepath.Join(root, "labelsTr", "no_labels.nii.gz"), "add the labels", cases.Missing}
	for _, b := range badNames {
		for _, name := range b.files {
			put(t, filepath.Join(root, "imagesUn", name), good)
		}
		want[b.id] = told{"load", filepath.Join(root, "imagesUn", b.id), b.remedy, b.kind}
	}
	if unreadable(filepath.Join(root, "imagesUn", "locked_0000.nii.gz")) {
		want["locked"] = told{"preprocess", filepath.Join(root, "imagesUn", "locked_0000.nii.gz"), "check the file, its permissions", cases.Unreadable}
	}
	dangling := filepath.Join(root, "imagesUn", "dangling_0000.nii.gz")
	if os.Symlink(filepath.Join(root, "none.nii.gz"), dangling) == nil {
		want["dangling"] = told{"preprocess", dangling, "put the file back", cases.Missing}
	}
	return want
}

// TestBadInput runs the method over a cohort with everything that may be wrong in it:
// each file is refused for its own reason, and nothing else is lost.
func TestBadInput(t *testing.T) {
	root, st := filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "store")
	want := badCohort(t, root)
	log := &notes{}
	o := tinyOptions(root, st, log)
	o.MemoryBytes = 1 << 45 // so that nothing is refused for its size alone
	taken := allocated()
	p, err := Preprocess(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if taken = allocated() - taken; taken > 1<<30 { // the largest header declares 8 GiB of float32
		t.Errorf("%d MiB were allocated", taken>>20)
	}
	t.Logf("%d MiB were allocated", taken>>20)
	checkRejected(t, p.Rejected, want)
	checkLedger(t, st, want)
	if p.Cases != 5 || p.New != 5 {
		t.Errorf("%d cases, %d new, want all 5 good ones", p.Cases, p.New)
	}
	checkWhole(t, st)
	again, err := Preprocess(t.Context(), o)
	if err != nil || again.New != 0 || again.Cases != 5 {
		t.Errorf("a second run: %+v, %v", again, err)
	}
	for id, x := range want { // without a fingerprint to make, preprocessing meets them
		if x.stage == "fingerprint" {
			x.stage = "preprocess"
			want[id] = x
		}
	}
	checkRejected(t, again.Rejected, want)
}

// checkRejected compares what was refused with what had to be.
func checkRejected(t *testing.T, rejected []Rejected, want map[string]told) {
	t.Helper()
	missing := maps.Clone(want)
	for _, x := range rejected {
		w, ok := want[x.Case]
		delete(missing, x.Case)
		if !ok || x.Reason != w.kind || x.Stage != w.stage || !strings.HasPrefix(x.File, w.file) ||
			!strings.Contains(x.Message, w.remedy) || !strings.Contains(x.Message, w.file) {
			t.Errorf("%s: %s at %s: %s\n\twant %+v", x.Case, x.Reason, x.Stage, x.Message, w)
		}
	}
	if len(missing) > 0 || len(rejected) != len(want) {
		t.Errorf("%d rejected, want %d; missing %v", len(rejected), len(want), slices.Sorted(maps.Keys(missing)))
	}
}

// checkLedger looks for the row of each.
func checkLedger(t *testing.T, root string, want map[string]told) {
	t.Helper()
	st := mustOpen(t, root)
	for id, w := range want {
		row, found, err := manifest.Lookup(t.Context(), st, w.stage, id)
		if err != nil || !found || row.Outcome != manifest.Rejected || row.Reason != w.kind || !strings.Contains(row.Message, w.remedy) {
			t.Errorf("%s: row %+v, %v, %v", id, row, found, err)
		}
	}
}

// checkWhole looks for anything half-written: a temporary file, or an array without
// its group, which is written last.
func checkWhole(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".store-tmp") {
			t.Errorf("%s was left", path)
		}
		if err == nil && d.IsDir() && strings.HasSuffix(path, ".zarr") {
			_, err = os.Stat(filepath.Join(path, "zarr.json"))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestBadInputOfPredict gives predict the same files, without a dataset around them.
func TestBadInputOfPredict(t *testing.T) {
	folder := t.TempDir()
	root, st, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "out")
	tinyCohort(t, root, 2, 2, 0, 0)
	o := tinyOptions(root, st, &notes{})
	if _, err := Train(t.Context(), o, fit.Teacher, nil); err != nil {
		t.Fatal(err)
	}
	want := map[string]told{}
	for _, b := range badScans(t) {
		file := filepath.Join(root, "imagesUn", b.name+"_0000"+b.ending)
		put(t, file, b.data)
		want[b.name] = told{"", file, b.remedy, b.kind}
	}
	images := filepath.Join(root, "imagesUn")
	// What only predict meets here: cohorts are planned without these.
	far := unpack(t, iotest.Image(t, gridOf(9, 16, 22), nifti.Int16, func(i int) float32 { return float32(i % 200) }))
	spacing(1e6)(far)
	put(t, filepath.Join(images, "spacing_1e6_0000.nii"), far)
	want["spacing_1e6"] = told{"", filepath.Join(images, "spacing_1e6_0000.nii"), "check the spacing in the header", cases.TooLarge}
	long := filepath.Join(images, "long_0000.nii") // 1,100 slices, as a hole in the disk
	put(t, long, header([3]int{1100, 512, 512}, [3]float64{1, 0.8, 0.8}))
	if err := os.Truncate(long, 352+2*1100*512*512); err != nil {
		t.Fatal(err)
	}
	want["long"] = told{"", long, "allow more memory with --memory", cases.TooLarge}
	// And what is odd, but a scan: smaller than a patch, air alone, outside of the folder.
	put(t, filepath.Join(images, "small_0000.nii.gz"), iotest.Image(t, gridOf(1, 3, 2), nifti.Int16, func(i int) float32 { return float32(i) + 1 }))
	put(t, filepath.Join(images, "air_0000.nii.gz"), iotest.Image(t, gridOf(9, 16, 22), nifti.Int16, func(int) float32 { return -1000 }))
	good := []string{"air.nii.gz", "small.nii.gz", "unlabelled_0000.nii.gz", "unlabelled_0001.nii.gz"}
	put(t, filepath.Join(folder, "elsewhere.nii.gz"), iotest.Image(t, gridOf(9, 16, 22), nifti.Int16, func(i int) float32 { return float32(i % 300) }))
	if os.Symlink(filepath.Join(folder, "elsewhere.nii.gz"), filepath.Join(images, "linked_0000.nii.gz")) == nil {
		good = slices.Insert(good, 1, "linked.nii.gz")
		dangling := filepath.Join(images, "dangling_0000.nii.gz")
		if err := os.Symlink(filepath.Join(root, "none.nii.gz"), dangling); err != nil {
			t.Fatal(err)
		}
		want["dangling"] = told{"", dangling, "put the file back", cases.Missing}
	}
	log := &notes{}
	p, err := Predict(t.Context(), Options{Store: st, Progress: log, MemoryBytes: 384 << 20}, PredictRequest{Input: images, Output: out})
	if err != nil {
		t.Fatal(err)
	}
	const note = "memory, predict: the largest scan takes "
	if i := slices.IndexFunc(log.text, func(s string) bool { return strings.HasPrefix(s, note) }); i < 0 || !strings.Contains(log.text[i], " = input 550 + models 2 x ") {
		t.Errorf("notes %q: none of the memory", log.text)
	}
	for i := range p.Rejected {
		p.Rejected[i].Stage = "" // one a model
	}
	checkRejected(t, p.Rejected, want)
	text, _ := contents(t, out)
	if got := slices.Sorted(maps.Keys(text)); !slices.Equal(got, good) || p.New != len(good) || p.Model != "the ensemble of 2 teachers" {
		t.Errorf("%v, %+v", got, p)
	}
}

// TestNotWritten lets writes fail as a full disk does, by a file where a folder has to
// be: root writes to read-only folders too.
func TestNotWritten(t *testing.T) {
	root, st := filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "store")
	tinyCohort(t, root, 2, 1, 0, 0)
	o := tinyOptions(root, st, &notes{})
	if _, err := Plan(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(st, "preprocessed"), nil)
	p, err := Preprocess(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if p.Cases != 0 || len(p.Rejected) != 3 {
		t.Errorf("%+v", p)
	}
	for _, x := range p.Rejected {
		row, found, err := manifest.Lookup(t.Context(), mustOpen(t, st), "preprocess", x.Case)
		if x.Reason != cases.NotWritten || !strings.Contains(x.Message, "make room") || err != nil || !found || row.Rejection() != x {
			t.Errorf("%+v, row %+v, %v", x, row, err)
		}
	}
	if err := os.Remove(filepath.Join(st, "preprocessed")); err != nil {
		t.Fatal(err)
	}
	if p, err = Preprocess(t.Context(), o); err != nil || p.New != 3 || len(p.Rejected) != 0 {
		t.Errorf("once there is room: %+v, %v", p, err)
	}
	checkWhole(t, st)
}

// TestModelsNotWritten is about training and prediction that find no room: training
// cannot go on and says why; a scan whose labels cannot be stored is rejected.
func TestModelsNotWritten(t *testing.T) {
	folder := t.TempDir()
	root, st, out := filepath.Join(folder, "cohort"), filepath.Join(folder, "store"), filepath.Join(folder, "out")
	tinyCohort(t, root, 2, 1, 1, 0)
	o := tinyOptions(root, st, &notes{})
	put(t, filepath.Join(st, "models"), nil)
	_, err := Train(t.Context(), o, fit.Teacher, nil)
	if err == nil || !strings.Contains(err.Error(), filepath.Join(st, "models")) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if err := os.Remove(filepath.Join(st, "models")); err != nil {
		t.Fatal(err)
	}
	if trained, err := Train(t.Context(), o, fit.Teacher, nil); err != nil || trained.Models[0].New != 2 {
		t.Fatalf("once there is room: %+v, %v", trained, err)
	}
	put(t, filepath.Join(st, "predictions"), nil)
	q := PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: out}
	p, err := Predict(t.Context(), o, q)
	if err != nil || len(p.Rejected) != 1 || p.Rejected[0].Reason != cases.NotWritten || p.Cases != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is an output")
	}
	if err := os.Remove(filepath.Join(st, "predictions")); err != nil {
		t.Fatal(err)
	}
	if p, err = Predict(t.Context(), o, q); err != nil || p.New != 1 || len(p.Rejected) != 0 {
		t.Errorf("once there is room: %+v, %v", p, err)
	}
	checkWhole(t, st)
}

// TestStoreUnusable is about a store that not even a ledger can be written to.
func TestStoreUnusable(t *testing.T) {
	root, st := filepath.Join(t.TempDir(), "cohort"), filepath.Join(t.TempDir(), "store")
	tinyCohort(t, root, 2, 1, 0, 0)
	put(t, filepath.Join(st, "ledger"), nil)
	_, err := Preprocess(t.Context(), tinyOptions(root, st, &notes{}))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(st, "ledger")) || strings.Count(err.Error(), "\n") > 3 {
		t.Errorf("%v", err)
	}
}

// TestUnusableDataset is about faults that leave nothing to go on with.
func TestUnusableDataset(t *testing.T) {
	g := gridOf(9, 16, 22)
	image := iotest.Image(t, g, nifti.Int16, func(i int) float32 { return float32(i % 50) })
	labels := iotest.Labels(t, g, func(i int) uint8 { return uint8(i % 2) })
	one := `{"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "numTraining": 1, "file_ending": ".nii.gz"}`
	region := strings.Replace(one, `"liver": 1`, `"liver": [1, 2]`, 1)
	gap := strings.Replace(one, `"liver": 1`, `"liver": 1, "spleen": 3`, 1)
	channels := strings.Replace(one, `{"0": "CT"}`, `{"0": "CT", "1": "PET"}`, 1)
	for _, c := range []struct {
		name  string
		files map[string][]byte
		want  string
		rows  int // of the ledger, for files that are refused unopened
	}{
		{"empty folder", nil, "there is none; a dataset is a folder in nnU-Net v2's raw layout", 0},
		{"no scans", map[string][]byte{"dataset.json": []byte(one)}, "imagesTr holds no scan", 0},
		{"region labels", map[string][]byte{"dataset.json": []byte(region)}, "give each class one number in dataset.json", 0},
		{"labels with a gap", map[string][]byte{"dataset.json": []byte(gap)}, "there is no value 2; number them 0 to 2 without gaps, here and in all label files", 0},
		{"several channels", map[string][]byte{"dataset.json": []byte(channels)}, "keep one, <case>_0000", 0},
		{"no labels", map[string][]byte{"dataset.json": []byte(one), "imagesTr/a_0000.nii.gz": image, "imagesTr/b_0000.nii.gz": image}, "add the labels", 2},
		{"nothing labelled is usable", map[string][]byte{
			"dataset.json": []byte(one), "imagesTr/a_0000.nii.gz": image[:100], "labelsTr/a.nii.gz": labels,
		}, "copy or export the file again", 0},
	} {
		root, st := t.TempDir(), filepath.Join(t.TempDir(), "store")
		for name, data := range c.files {
			put(t, filepath.Join(root, name), data)
		}
		_, err := Plan(t.Context(), tinyOptions(root, st, &notes{}))
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), root) {
			t.Errorf("%s: %v", c.name, err)
		}
		if rows, _ := filepath.Glob(filepath.Join(st, "ledger", "load", "*.json")); len(rows) != c.rows {
			t.Errorf("%s: the ledger has %d rows, want %d", c.name, len(rows), c.rows)
		}
		if _, err := os.Stat(filepath.Join(st, "plan.json")); err == nil {
			t.Errorf("%s: there is a plan", c.name)
		}
	}
}
