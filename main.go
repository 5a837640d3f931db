// Command noisystudent turns a folder of CT scans, a few of them labelled, into a
// segmentation model by the noisy student method, and keeps labelling what arrives.
//
// It is one binary: the command line for people, and, started by a runner, the
// Beam worker.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"noisystudent/pipelines/command"
	"noisystudent/runners/worker"
)

// grace is how long a first interrupt waits for work in flight.
const grace = 4 * time.Second

// ballast is never touched, so it takes no memory, but the collector counts it: it comes once in tens of
// megabytes of garbage, and not for each small scan.
var ballast = make([]byte, 32<<20)

func main() {
	defer runtime.KeepAlive(ballast)
	if worker.Wanted(os.Args[1:]) {
		fmt.Fprintln(os.Stderr, worker.Serve())
		os.Exit(command.Failed)
	}
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, command.Interruption(os.Args))
		cancel()
		select {
		case <-signals:
		case <-time.After(grace):
		}
		os.Exit(command.Interrupted)
	}()
	os.Exit(command.Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
