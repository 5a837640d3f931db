package flink

import (
	"context"
	"fmt"
	"time"

	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/util/grpcx"
)

// ending is how long cancelling may take: an interrupted process has four seconds.
const ending = 3 * time.Second

// cancel ends the jobs of a name, so that nobody works on what the next run of the
// same command will do.
func cancel(endpoint, name string) error {
	ctx, stop := context.WithTimeout(context.Background(), ending)
	defer stop()
	connection, err := grpcx.Dial(ctx, endpoint, ending)
	if err != nil {
		return fmt.Errorf("cancel job %s: %w; cancel it on Flink's web page", name, err)
	}
	defer connection.Close()
	client := jobpb.NewJobServiceClient(connection)
	list, err := client.GetJobs(ctx, &jobpb.GetJobsRequest{})
	if err != nil {
		return fmt.Errorf("cancel job %s: %w; cancel it on Flink's web page", name, err)
	}
	for _, j := range list.GetJobInfo() {
		if j.GetJobName() != name {
			continue
		}
		if _, err := client.Cancel(ctx, &jobpb.CancelJobRequest{JobId: j.GetJobId()}); err != nil {
			return fmt.Errorf("cancel job %s: %w; cancel it on Flink's web page", name, err)
		}
	}
	return nil
}
