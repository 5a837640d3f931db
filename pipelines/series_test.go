package pipelines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/suyashkumar/dicom/pkg/tag"

	"noisystudent/io/dicom/dicomtest"
	"noisystudent/io/iotest"
	"noisystudent/io/nifti"
	"noisystudent/io/volume"
	"noisystudent/transforms/cases"
	"noisystudent/transforms/fit"
	"noisystudent/transforms/manifest"
	"noisystudent/transforms/phantom"
	"noisystudent/transforms/plan"
)

// series makes an axial series of a NIfTI file, on the same grid.
func series(t *testing.T, file, uid string) []dicomtest.Slice {
	t.Helper()
	v := canonical(t, file)
	_, ny, nx := v.Shape[0], v.Shape[1], v.Shape[2]
	first := v.World([3]float64{0, float64(ny - 1), float64(nx - 1)}) // the most posterior and left pixel of LPS is the last
	end := v.World([3]float64{0, 0, 0})
	return dicomtest.Series{
		UID: uid, Shape: v.Shape, Spacing: v.Spacing, Origin: [3]float64{-first[0], -first[1], end[2]},
		Value: func(z, y, x int) int { return int(v.Data[(z*ny+ny-1-y)*nx+nx-1-x]) },
	}.Slices()
}

func canonical(t *testing.T, file string) *volume.Volume {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, _, err := nifti.Read(bytes.NewReader(b), nifti.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func putSeries(t *testing.T, folder string, list []dicomtest.Slice) {
	t.Helper()
	for i, s := range list {
		put(t, filepath.Join(folder, fmt.Sprintf("IM%04d", i)), s.Bytes())
	}
}

func packed(list []dicomtest.Slice) []byte {
	files := map[string][]byte{}
	for i, s := range list {
		files[fmt.Sprintf("series/%d.dcm", i)] = s.Bytes()
	}
	return dicomtest.Zip(files)
}

// TestSeriesInsteadOfFiles gives the same cohort as NIfTI files and as DICOM series,
// in folders and archives: the prepared cases are the same bytes, and so are the labels
// of scans, on the series' grid.
func TestSeriesInsteadOfFiles(t *testing.T) {
	folder := t.TempDir()
	files, dicoms := filepath.Join(folder, "files"), filepath.Join(folder, "dicoms")
	tinyCohort(t, files, 2, 2, 2, 0)
	tinyCohort(t, dicoms, 2, 2, 2, 0)
	images, err := filepath.Glob(filepath.Join(dicoms, "images*", "*_0000.nii.gz"))
	if err != nil || len(images) != 6 {
		t.Fatal(images, err)
	}
	for i, image := range images {
		name := strings.TrimSuffix(image, ".nii.gz")
		list := series(t, image, fmt.Sprintf("1.2.%d", i))
		if i%2 == 0 {
			putSeries(t, filepath.Join(name, "deep"), list)
		} else {
			put(t, name+".zip", packed(list))
		}
		if err := os.Remove(image); err != nil {
			t.Fatal(err)
		}
	}
	stores := map[string]string{files: filepath.Join(folder, "s1"), dicoms: filepath.Join(folder, "s2")}
	prepared := map[string]map[string]string{}
	for root, st := range stores {
		p, err := Preprocess(t.Context(), tinyOptions(root, st, &notes{}))
		if err != nil || p.Cases != 4 || len(p.Rejected) != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
		text, _ := contents(t, st)
		prepared[root] = map[string]string{}
		for key, data := range text {
			if strings.HasPrefix(key, "preprocessed/") && !strings.HasSuffix(key, "zarr.json") {
				prepared[root][key] = data
			}
		}
		again, err := Preprocess(t.Context(), tinyOptions(root, st, &notes{}))
		if err != nil || again.New != 0 {
			t.Errorf("a second run: %+v, %v", again, err)
		}
	}
	if len(prepared[files]) == 0 || len(prepared[files]) != len(prepared[dicoms]) {
		t.Errorf("%d objects of files, %d of series", len(prepared[files]), len(prepared[dicoms]))
	}
	for key, want := range prepared[files] {
		if prepared[dicoms][key] != want {
			t.Errorf("%s differs", key)
		}
	}
	o := tinyOptions(files, stores[files], &notes{})
	if _, err := Train(t.Context(), o, fit.Teacher, nil); err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{files: filepath.Join(folder, "l1"), dicoms: filepath.Join(folder, "l2")}
	for root, out := range labels {
		p, err := Predict(t.Context(), o, PredictRequest{Input: filepath.Join(root, "imagesTs"), Output: out})
		if err != nil || p.Cases != 2 || p.New != 2 || len(p.Rejected) != 0 {
			t.Fatalf("%+v, %v", p, err)
		}
	}
	for _, name := range []string{"test_0000.nii.gz", "test_0001.nii.gz"} {
		want, got := canonical(t, filepath.Join(labels[files], name)), canonical(t, filepath.Join(labels[dicoms], name))
		if !slices.Equal(want.Data, got.Data) || !want.SameGrid(got.Geometry, 1e-3) {
			t.Errorf("%s: other labels, or on another grid: %v, %v", name, want.Geometry, got.Geometry)
		}
	}
}

// TestPredictRefusesSeries labels what a hospital sends: a folder with two series, one
// of which is a scout view, and an MR; each refusal has its reason and names the series.
func TestPredictRefusesSeries(t *testing.T) {
	c := newClinic(t)
	c.q.Input = c.folder
	file := filepath.Join(t.TempDir(), "a.nii.gz")
	g := gridOf(9, 16, 22)
	put(t, file, iotest.Image(t, g, nifti.Int16, func(i int) float32 { return float32(i%200 - 100) }))
	ct, scout, mr, cut := series(t, file, "1.2.111111"), series(t, file, "1.2.222222"), series(t, file, "1.3"), series(t, file, "1.4")
	for i := range scout {
		scout[i][tag.ImageType] = []string{"ORIGINAL", "PRIMARY", "LOCALIZER"}
		mr[i][tag.Modality] = []string{"MR"}
	}
	putSeries(t, filepath.Join(c.folder, "anna", "ct"), ct)
	putSeries(t, filepath.Join(c.folder, "anna", "scout"), scout)
	put(t, filepath.Join(c.folder, "mr.zip"), packed(mr))
	putSeries(t, filepath.Join(c.folder, "cut"), cut)
	put(t, filepath.Join(c.folder, "cut", "IM0004"), cut[4].Bytes()[:700])
	put(t, filepath.Join(c.folder, "bomb.zip"), []byte("PK\x03\x04"))
	want := map[string]told{
		"anna#222222": {"", filepath.Join(c.folder, "anna") + "#1.2.222222", "remove it, or give the CT series", cases.Localizer},
		"mr":          {"", filepath.Join(c.folder, "mr.zip") + "#1.3", "remove it, or give the CT series", cases.OtherModality},
		"cut":         {"", filepath.Join(c.folder, "cut") + "#1.4", "copy or export the series again", cases.Truncated},
		"bomb":        {"", filepath.Join(c.folder, "bomb.zip"), "pack the slices again", cases.BadArchive},
	}
	check := func(what string, rejected []Rejected) {
		t.Helper()
		rejected = slices.Clone(rejected)
		for i := range rejected {
			if strings.Contains(rejected[i].Message, "DOE") {
				t.Errorf("%s: a patient's name: %s", what, rejected[i].Message)
			}
			rejected[i].Stage = ""
		}
		checkRejected(t, rejected, want)
	}
	out := t.TempDir()
	p, err := Predict(t.Context(), Options{Store: c.st.Root(), Progress: &notes{}}, PredictRequest{Input: c.folder, Output: out})
	if err != nil || p.New != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	check("predict", p.Rejected)
	labels := canonical(t, filepath.Join(out, "anna#111111.nii.gz"))
	if !labels.SameGrid(g, 1e-3) {
		t.Errorf("labels on %+v, scan on %+v", labels.Geometry, g)
	}
	r := c.reprocess()
	if r.New != 1 || r.Scans != 4 {
		t.Errorf("%+v", r)
	}
	check("reprocess", r.Rejected)
	if r := c.reprocess(); r.New != 0 {
		t.Errorf("nothing has changed: %+v", r)
	}
	status, err := ReadStatus(t.Context(), c.st.Root())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(status)
	if err != nil || !strings.Contains(string(text), "#1.2.222222") || strings.Contains(string(text), "DOE") {
		t.Errorf("the status does not name the series: %s, %v", text, err)
	}
	rows, err := manifest.Rows(t.Context(), c.st, "reprocess")
	if err != nil || rows["anna#222222"].Reason != cases.Localizer {
		t.Errorf("%+v, %v", rows["anna#222222"], err)
	}
}

// TestRealSeries labels the public DICOM series with a model that was trained for seconds on
// phantoms. SimpleITK must find the labels on the voxels of the series as it reads it itself,
// and they are those of the NIfTI file that it makes of the series.
func TestRealSeries(t *testing.T) {
	ct, python := os.Getenv("NOISYSTUDENT_CT"), os.Getenv("NOISYSTUDENT_PYTHON")
	if ct == "" {
		t.Skip("needs the real CT: set NOISYSTUDENT_CT")
	}
	if python == "" {
		t.Skip("needs Python peers: set NOISYSTUDENT_PYTHON (testdata/peers/setup makes one)")
	}
	packed := filepath.Join(ct, "crlm_ct_1004_dicom.tar.xz")
	if _, err := os.Stat(packed); err != nil {
		t.Skipf("needs the real DICOM series: %v", err)
	}
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skipf("needs tar and xz: %v", err)
	}
	if testing.Short() {
		t.Skip("seconds of training: not with -short")
	}
	folder := t.TempDir()
	incoming, out := filepath.Join(folder, "incoming"), filepath.Join(folder, "labels")
	o := Options{
		Dataset: filepath.Join(folder, "cohort"), Store: filepath.Join(folder, "store"), Preset: plan.Demo, Seed: 1, Progress: &notes{},
		Set: []string{"training.folds=2", "training.teacher_epochs=4"},
	}
	if _, err := Phantom(t.Context(), o, PhantomRequest{Out: o.Dataset, Options: phantom.Options{Labelled: 4, Seed: 1}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Train(t.Context(), o, fit.Teacher, []int{0}); err != nil {
		t.Fatal(err)
	}
	series := filepath.Join(incoming, "crlm")
	if err := os.MkdirAll(series, 0o777); err != nil {
		t.Fatal(err)
	}
	run := func(name string, args ...string) {
		t.Helper()
		text, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if len(text) > 0 {
			t.Logf("%s", text)
		}
	}
	run("tar", "-xJf", packed, "-C", series)
	run(python, "testdata/series.py", "convert", series, filepath.Join(incoming, "converted_0000.nii.gz"))
	p, err := Predict(t.Context(), o, PredictRequest{Input: incoming, Output: out, Model: "teacher/0"})
	if err != nil || p.New != 2 || len(p.Rejected) > 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	run(python, "testdata/series.py", "check", series, filepath.Join(out, "crlm.nii.gz"), filepath.Join(out, "converted.nii.gz"))
}
