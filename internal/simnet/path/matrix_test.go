package path

import (
	"os"
	"regexp"
	"testing"
	"time"
)

func TestExplore(t *testing.T) {
	only := regexp.MustCompile(os.Getenv("ONLY"))
	var known Known
	for _, c := range append(Matrix(), Special()...) {
		if !only.MatchString(c.Name) {
			continue
		}
		begun := time.Now()
		f, err := Measure(c, &known)
		t.Logf("%-55s sent %.3f time %.3f (%.1f s, best %.3g: %.1f s) wait %v blind %.2g to90 %v %.1fs %v %v", c.Name, f.SentRatio, f.TimeRatio, f.Finish.Seconds(), f.Best, f.BestTime.Seconds(), f.Wait, f.Blind, f.To90, time.Since(begun).Seconds(), f.Missed, err)
	}
}
