// Package efficiency measures what a command takes as the FLARE challenge does: wall
// time from the start of its process, memory, GPU memory and CPU, every 0.1 s, and the
// areas under the curves of the last two.
//
// The one idea: the command is watched from outside, so that start-up, reading weights
// and writing labels count, as they do for whoever waits. Memory is PSS, summed over the
// process and its children, so that pages that several share count once; where the
// system does not tell PSS it is RSS, and the result says so. CPU is the part of all
// processors of the machine that these processes took: FLARE reads how idle the machine
// is, which says the same where nothing else runs, and other things where it does. GPU
// memory is what the program's networks have on cards; the driver's own is not in it.
//
// Reference: JunMa11/FLARE, FLARE22/Evaluation: samples every 0.1 s, areas are the sum of
// samples times 0.1 s (here: times what has passed), in MB s and per cent s; 2,048 MB of
// GPU memory cost nothing.
package efficiency

import "runtime"

// Version is raised when other things are measured.
const Version = 1

// Sample is what is taken at one moment.
type Sample struct {
	At  float64 `json:"s"`             // seconds since the process was started
	RAM int64   `json:"ram"`           // bytes
	GPU int64   `json:"gpu,omitempty"` // bytes
	CPU float64 `json:"cpu"`           // per cent of all processors, since the sample before
}

// Use is what one command took. GPU values are 0 where no card was used.
type Use struct {
	Seconds    float64 `json:"seconds"` // wall
	CPUSeconds float64 `json:"cpu_seconds"`
	Processors int     `json:"processors"` // of the machine
	Load       float64 `json:"load"`       // of the machine, mean of the minute before: what else ran
	Memory     string  `json:"memory"`     // pss or rss
	PeakRAM    int64   `json:"peak_ram_bytes"`
	PeakGPU    int64   `json:"peak_gpu_bytes"`
	CPU        float64 `json:"cpu_percent"` // mean, of all processors
	// Areas under the curves. GPUAreaOver counts what is above tolerated MB only.
	CPUArea     float64  `json:"cpu_area_percent_s"`
	GPUArea     float64  `json:"gpu_area_mb_s"`
	GPUAreaOver float64  `json:"gpu_area_over_2048_mb_s"`
	Samples     []Sample `json:"samples,omitempty"`
}

// tolerated MB of GPU memory cost nothing in FLARE's ranking.
const tolerated = 2048

// processors of the machine.
var processors = runtime.NumCPU()

// sum fills in what follows from the samples, the wall time and the CPU time.
func (u *Use) sum() {
	u.Processors = processors
	u.CPU = percent(u.CPUSeconds, u.Seconds, u.Processors)
	before := 0.0
	for _, s := range u.Samples {
		passed, mb := s.At-before, float64(s.GPU)/(1<<20)
		u.CPUArea += s.CPU * passed
		u.GPUArea += mb * passed
		u.GPUAreaOver += max(mb-tolerated, 0) * passed
		u.PeakRAM, u.PeakGPU = max(u.PeakRAM, s.RAM), max(u.PeakGPU, s.GPU)
		before = s.At
	}
}

// percent of so many processors that CPU seconds are of wall seconds.
func percent(cpu, wall float64, processors int) float64 {
	if wall <= 0 {
		return 0
	}
	return 100 * cpu / wall / float64(processors)
}
