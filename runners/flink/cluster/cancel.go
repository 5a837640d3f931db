package cluster

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Cancel ends the jobs whose names begin with one. It asks Flink itself: Beam's job
// server only stops waiting for a job, which goes on.
func Cancel(ctx context.Context, s State, name string) error {
	for _, j := range jobs(ctx, s.REST) {
		if !strings.HasPrefix(j.Name, name) {
			continue
		}
		ctx, stop := context.WithTimeout(ctx, 3*time.Second)
		defer stop()
		request, err := http.NewRequestWithContext(ctx, http.MethodPatch, "http://"+s.REST+"/jobs/"+j.ID+"?mode=cancel", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return fmt.Errorf("cancel job %s: %w; cancel it on Flink's page", j.Name, err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			return fmt.Errorf("cancel job %s: %s; cancel it on Flink's page", j.Name, response.Status)
		}
	}
	return nil
}
