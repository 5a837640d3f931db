package fit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"noisystudent/io/store"
	"noisystudent/model/engine"
	"noisystudent/transforms/plan"
)

// farOff is how many times the cross-entropy of a network that knows nothing, ln(classes),
// the mean of an epoch may be: training that is worse does not come back.
const farOff = 100

// DivergedError says that a job cannot go on: its values are not finite any more, or
// far off. Its last good checkpoint stays. The same job diverges again.
type DivergedError struct {
	Job    string `json:"job"`
	Epoch  int64  `json:"epoch"` // in which it diverged, from 0; as many are durable
	Cause  string `json:"cause"`
	Remedy string `json:"remedy"`
	Inputs string `json:"inputs"` // of the job
}

func (e *DivergedError) Error() string {
	kept := "no checkpoint was made yet"
	if e.Epoch > 0 {
		kept = fmt.Sprintf("the checkpoint after %d epochs stays", e.Epoch)
	}
	return fmt.Sprintf("fit: %s diverged in epoch %d: %s; %s; %s", e.Job, e.Epoch, e.Cause, kept, e.Remedy)
}

// diverged is the error of a job in an epoch, which was computed in a precision.
func diverged(j Job, computed string, epoch int64, cause string) *DivergedError {
	field := "training.initial_lr"
	if j.Role == Finetuned {
		field = "training.finetune_lr"
	}
	remedies := []string{fmt.Sprintf("a lower learning rate, --set %s=%.2g", field, j.Rate/10)}
	if computed == plan.FP16 || computed == plan.BF16 {
		remedies = append([]string{fmt.Sprintf("--precision %s (it is %s)", plan.FP32, computed)}, remedies...)
	}
	if clip := j.Plan.Training.ClipNorm; clip == 0 || clip > 1 {
		remedies = append(remedies, fmt.Sprintf("--set training.clip_norm=1 (it is %g)", clip))
	}
	return &DivergedError{j.Name(), epoch, cause, "give --replan --retrain with " + strings.Join(remedies, " or "), j.Inputs}
}

// divergence tells whether the engine's error means that the job diverged, or where there
// is none whether the epoch's record does.
func (s *session) divergence(e Epoch, err error) error {
	var d *engine.DivergedError
	limit, computed := farOff*math.Log(float64(s.job.Plan.Classes())), plan.PrecisionName(s.trainer.Precision())
	switch {
	case errors.As(err, &d):
		return diverged(s.job, computed, e.Epoch, fmt.Sprintf("after %d steps %d were skipped for gradients that are not finite, the last %d in a row; the last loss is %g", d.Steps, d.Skipped, d.InARow, d.Loss))
	case err == nil && !(e.CE <= limit):
		return diverged(s.job, computed, e.Epoch, fmt.Sprintf("the mean cross-entropy is %.3g, that of a network that knows nothing is %.3g", e.CE, limit/farOff))
	}
	return err
}

// DivergedFile lies beside latest where a job diverged.
const DivergedFile = "diverged.json"

func divergedKey(folder string) string { return folder + "/" + DivergedFile }

// note keeps in the store that a job diverged, for whoever waits for it.
func (e *DivergedError) note(ctx context.Context, st *store.Store, j Job) error {
	data, err := json.MarshalIndent(e, "", " ")
	if err == nil {
		err = st.Write(ctx, divergedKey(j.Folder()), data)
	}
	if err != nil {
		return fmt.Errorf("fit: note that %s diverged: %w", j.Name(), err)
	}
	return nil
}

// Diverged returns why the training of a model ended early, or nil: also where it has got
// further since, or was begun anew with other inputs; empty ones are any.
func Diverged(ctx context.Context, st *store.Store, folder, inputs string) (*DivergedError, error) {
	data, err := st.Read(ctx, divergedKey(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var e DivergedError
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil {
		return nil, fmt.Errorf("fit: read %s: %w", st.Address(divergedKey(folder)), err)
	}
	l, _, err := ReadLatest(ctx, st, folder)
	if err != nil || l.Epochs != e.Epoch || inputs != "" && e.Inputs != inputs {
		return nil, err
	}
	return &e, nil
}
