package fit

import (
	"slices"
	"testing"

	"noisystudent/transforms/patch"
	"noisystudent/transforms/plan"
	"noisystudent/transforms/resample"
)

// TestDoubtIsOffByDefault: what the plan says of pseudo-labels makes no teacher stale, and
// no student where it is off.
func TestDoubtIsOffByDefault(t *testing.T) {
	for _, role := range []Role{Teacher, Student} {
		_, j := prepare(t, role)
		q := j
		q.Plan.Pseudo = plan.Pseudo{DropPart: 0.3, MinOrgans: 0.5, MinConfidence: 0.1, MoreRounds: 2}
		if q.Sealed().Inputs != j.Inputs {
			t.Errorf("%s: a rule that has dropped nothing changes the inputs", role)
		}
		q.Plan.Pseudo.WeighVoxels = true
		if changed := q.Sealed().Inputs != j.Inputs; changed != (role == Student) {
			t.Errorf("%s: weights change the inputs: %v", role, changed)
		}
	}
	_, j := prepare(t, Student)
	q := j
	q.Pseudo = slices.Clone(j.Pseudo)
	q.Pseudo[0].Ignored = []uint8{1}
	if q.Sealed().Inputs == j.Inputs || j.ignore() != -1 || q.ignore() != 4 {
		t.Errorf("an organ that is left out: ignore %d", q.ignore())
	}
}

// TestDoubtedCase: an organ that does not count is in no patch's labels or centre, and the
// probabilities are there.
func TestDoubtedCase(t *testing.T) {
	st, j := prepare(t, Student)
	j.Plan.Pseudo.WeighVoxels = true
	ref := &j.Pseudo[0]
	ref.Ignored, ref.Certain = []uint8{1}, "pseudo/1/u.certain"
	stored, err := resample.OpenCase(t.Context(), st, ref.Prepared)
	if err != nil {
		t.Fatal(err)
	}
	shape := stored.Shape()
	certain := make([]uint8, shape[0]*shape[1]*shape[2])
	for i := range certain {
		certain[i] = uint8(i)
	}
	if err := resample.WriteCertain(t.Context(), st, ref.Certain, shape, certain); err != nil {
		t.Fatal(err)
	}
	s := &session{job: j, store: st}
	c, err := s.open(t.Context(), patch.Slot{Pseudo: true})
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]uint8, len(certain))
	if err := c.ReadLabels(t.Context(), [3]int{}, shape, labels); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Classes(), []uint8{2, 3}) || slices.Contains(labels, 1) || !slices.Contains(labels, 4) || !slices.Contains(labels, 2) {
		t.Errorf("classes %v", c.Classes())
	}
	got := make([]uint8, len(certain))
	if err := c.(patch.Doubted).ReadCertain(t.Context(), [3]int{}, shape, got); err != nil || !slices.Equal(got, certain) {
		t.Errorf("other probabilities (%v)", err)
	}
	// Second classes of an organ that does not count do not count either.
	j.Plan.Pseudo, ref.Second = plan.Pseudo{Soft: true}, "pseudo/1/u.second"
	second := make([]uint8, len(certain))
	for i := range second {
		second[i] = uint8(i % 3)
	}
	if err := resample.WriteCertain(t.Context(), st, ref.Second, shape, second); err != nil {
		t.Fatal(err)
	}
	s.job = j
	if c, err = s.open(t.Context(), patch.Slot{Pseudo: true}); err != nil {
		t.Fatal(err)
	}
	if err := c.(patch.Soft).ReadSecond(t.Context(), [3]int{}, shape, got); err != nil || !slices.Equal(got[:6], []uint8{0, 4, 2, 0, 4, 2}) {
		t.Errorf("second classes %v (%v)", got[:6], err)
	}
	if c, err = s.open(t.Context(), patch.Slot{}); err != nil || !slices.Equal(c.Classes(), []uint8{1, 2, 3}) {
		t.Errorf("a labelled case: %v", err)
	}
	ref.Certain = "pseudo/1/nowhere"
	if _, err := s.open(t.Context(), patch.Slot{Pseudo: true}); err == nil {
		t.Error("lost probabilities are not missed")
	}
}

// TestDoubtTrains: hidden voxels change the weights, the same each time; hiding all of the
// pseudo-labels leaves what labelled cases teach.
func TestDoubtTrains(t *testing.T) {
	train := func(change func(*Job)) map[string][]byte {
		st, j := prepare(t, Student)
		for i, ref := range j.Pseudo {
			stored, err := resample.OpenCase(t.Context(), st, ref.Prepared)
			if err != nil {
				t.Fatal(err)
			}
			shape := stored.Shape()
			certain := slices.Repeat([]uint8{128}, shape[0]*shape[1]*shape[2])
			j.Pseudo[i].Certain = "pseudo/1/" + ref.Case + ".certain"
			if err := resample.WriteCertain(t.Context(), st, j.Pseudo[i].Certain, shape, certain); err != nil {
				t.Fatal(err)
			}
			j.Pseudo[i].Second = "pseudo/1/" + ref.Case + ".second"
			if err := resample.WriteCertain(t.Context(), st, j.Pseudo[i].Second, shape, make([]uint8, len(certain))); err != nil {
				t.Fatal(err)
			}
		}
		change(&j)
		j = j.Sealed()
		if err := Run(t.Context(), j, onRef, nil); err != nil {
			t.Fatal(err)
		}
		return files(t, st, j)
	}
	plain := train(func(*Job) {})
	weigh := func(j *Job) { j.Plan.Pseudo.WeighVoxels = true }
	one, two := train(weigh), train(weigh)
	without := train(func(j *Job) {
		for i := range j.Pseudo {
			j.Pseudo[i].Ignored = []uint8{2, 3}
		}
	})
	soft := train(func(j *Job) { j.Plan.Pseudo.Soft = true })
	if same(plain, soft) || same(one, soft) {
		t.Error("weights do not follow the second classes")
	}
	if !same(plain, trained(t, Student, onRef)) {
		t.Error("probabilities that nobody asked for change the weights")
	}
	if same(plain, one) || !same(one, two) || same(plain, without) || same(one, without) {
		t.Error("weights do not follow the doubts")
	}
}
