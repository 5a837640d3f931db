package fit

import (
	"context"
	"encoding/json"
	"fmt"

	"noisystudent/io/store"
	"noisystudent/model/engine"
)

// Install writes weights as a finished model of a store, where nothing was trained.
// inputs stands for what they were made from.
func Install(ctx context.Context, st *store.Store, role Role, fold int, weights map[string]engine.Tensor, inputs string) error {
	folder := Folder(role, fold)
	data, err := encodeTensors(weights)
	if err == nil {
		err = st.Write(ctx, weightsKey(epochFolder(folder, 1)), data)
	}
	if err == nil {
		data, err = json.Marshal(Latest{Format: checkpointFormat, Epochs: 1, Inputs: inputs, Done: true})
	}
	if err == nil {
		err = st.Write(ctx, latestKey(folder), data)
	}
	if err != nil {
		return fmt.Errorf("fit: install %s fold %d: %w", role, fold, err)
	}
	return nil
}
