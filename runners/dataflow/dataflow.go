// Package dataflow submits pipelines to Google Cloud Dataflow.
package dataflow

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/gcpopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/dataflow"
)

// Options name a project and what its workers are.
type Options struct {
	Project, Region string
	Staging         string // gs://bucket/prefix for the binary
	Image           string // worker container image
	MachineType     string
}

// Check reports options that cannot work.
func (o Options) Check() error {
	switch {
	case o.Project == "":
		return errors.New("dataflow: no project; give --project=ID")
	case o.Region == "":
		return errors.New("dataflow: no region; give --region=NAME")
	case o.Staging == "":
		return errors.New("dataflow: no staging folder; give --staging=gs://BUCKET/PREFIX")
	}
	return nil
}

// Run submits a pipeline and waits for its end.
func Run(ctx context.Context, p *beam.Pipeline, o Options) error {
	*gcpopts.Project, *gcpopts.Region = o.Project, o.Region
	for name, value := range map[string]string{
		"staging_location":    o.Staging,
		"sdk_container_image": o.Image,
		"worker_machine_type": o.MachineType,
	} {
		if value == "" {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			return fmt.Errorf("dataflow: set %s: %w", name, err)
		}
	}
	if _, err := dataflow.Execute(ctx, p); err != nil {
		return fmt.Errorf("dataflow: %w", err)
	}
	return nil
}
