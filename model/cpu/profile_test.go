package cpu
import ("testing";"os";"strconv")
func TestProfile(t *testing.T) {
	which := os.Getenv("PROFILE")
	if which == "" { t.Skip() }
	runs, _ := strconv.Atoi(os.Getenv("RUNS"))
	n, train := demo, true
	switch which {
	case "demo8": n = demo.withFeatures(8,16,32,64)
	case "paper": n, train = paper, false
	case "papertrain": n = paper
	}
	th, _ := strconv.Atoi(os.Getenv("THREADS"))
	d := open(tables()[0], max(1, th))
	l := n.load(t, d, train)
	profile(t, l, max(runs, 3))
	l.Close(); d.Close()
}
