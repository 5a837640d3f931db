package command

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"noisystudent/model/engine"
	"noisystudent/transforms/metrics"
)

// here ends each help text.
const here = ", in this process; on a cluster ask the runner for its metrics"

// What /metrics shows of package metrics.
var (
	casesDesc    = prometheus.NewDesc("noisystudent_cases_total", "Cases by stage and outcome: done now, standing since an earlier run, rejected"+here, []string{"stage", "outcome"}, nil)
	rejectedDesc = prometheus.NewDesc("noisystudent_rejected_total", "Rejected cases by stage and reason"+here, []string{"stage", "reason"}, nil)
	forwardsDesc = prometheus.NewDesc("noisystudent_forwards_total", "Tiles that a network has computed"+here, []string{"stage"}, nil)
	epochsDesc   = prometheus.NewDesc("noisystudent_epochs_total", "Epochs trained"+here, []string{"stage"}, nil)
	secondsDesc  = prometheus.NewDesc("noisystudent_seconds", "Wall seconds of a case that was worked on, or of an epoch"+here, []string{"stage"}, nil)
	bytesDesc    = prometheus.NewDesc("noisystudent_bytes", "Bytes of the files of a case that was worked on"+here, []string{"stage"}, nil)
)

// What /metrics shows of cards.
var (
	cardSecondsDesc = prometheus.NewDesc("noisystudent_card_seconds_total", "Seconds that a card was computing networks"+here, []string{"card", "name"}, nil)
	cardBytesDesc   = prometheus.NewDesc("noisystudent_card_bytes_total", "Bytes copied to a card and from it"+here, []string{"card", "direction"}, nil)
	cardBusyDesc    = prometheus.NewDesc("noisystudent_card_busy_percent", "Percent of the last moments in which a card was computing, for whomever", []string{"card"}, nil)
	cardMemoryDesc  = prometheus.NewDesc("noisystudent_card_memory_bytes", "Bytes of a card's memory that networks have now, and the most that they had"+here, []string{"card", "which"}, nil)
)

// cards gives Prometheus what this process has done on cards.
type cards func() map[int]engine.CardUse

func (cards) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cardSecondsDesc, cardBytesDesc, cardMemoryDesc, cardBusyDesc} {
		ch <- d
	}
}

func (c cards) Collect(ch chan<- prometheus.Metric) {
	for n, u := range c() {
		card := strconv.Itoa(n)
		ch <- prometheus.MustNewConstMetric(cardSecondsDesc, prometheus.CounterValue, u.Seconds, card, u.Name)
		ch <- prometheus.MustNewConstMetric(cardBytesDesc, prometheus.CounterValue, float64(u.Up), card, "up")
		ch <- prometheus.MustNewConstMetric(cardBytesDesc, prometheus.CounterValue, float64(u.Down), card, "down")
		ch <- prometheus.MustNewConstMetric(cardMemoryDesc, prometheus.GaugeValue, float64(u.Memory), card, "now")
		ch <- prometheus.MustNewConstMetric(cardMemoryDesc, prometheus.GaugeValue, float64(u.Peak), card, "peak")
		if u.Busy >= 0 {
			ch <- prometheus.MustNewConstMetric(cardBusyDesc, prometheus.GaugeValue, float64(u.Busy), card)
		}
	}
}

// totals gives Prometheus the totals of this process.
type totals struct{}

func (totals) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{casesDesc, rejectedDesc, forwardsDesc, epochsDesc, secondsDesc, bytesDesc} {
		ch <- d
	}
}

func (totals) Collect(ch chan<- prometheus.Metric) {
	count := func(d *prometheus.Desc, n int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for _, t := range metrics.Totals() {
		count(casesDesc, t.Done, t.Stage, "done")
		count(casesDesc, t.Standing, t.Stage, "standing")
		count(casesDesc, t.Refused(), t.Stage, "rejected")
		for reason, n := range t.Rejected {
			count(rejectedDesc, n, t.Stage, reason)
		}
		count(forwardsDesc, t.Forwards, t.Stage)
		count(epochsDesc, t.Epochs, t.Stage)
		ch <- histogram(secondsDesc, t.Seconds, t.Stage)
		ch <- histogram(bytesDesc, t.Bytes, t.Stage)
	}
}

func histogram(d *prometheus.Desc, h metrics.Histogram, stage string) prometheus.Metric {
	buckets := map[float64]uint64{}
	for i, bound := range h.Bounds {
		buckets[bound] = h.UpTo[i]
	}
	return prometheus.MustNewConstHistogram(d, h.Count, h.Sum, buckets, stage)
}

// serveMetrics answers /metrics at an address until stop. It returns the address that
// it got, for :0 names none.
func serveMetrics(address string) (at string, stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, fmt.Errorf("--metrics-addr: %w; give HOST:PORT, or :PORT, that is free", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(totals{}, cards(engine.Cards), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(listener) }() // ends with stop
	return listener.Addr().String(), func() { _ = server.Close() }, nil
}

// taken reports whether an address is another process's, such as the run that a
// schedule has started before.
func taken(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }
