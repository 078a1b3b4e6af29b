package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"multiserver"
)

// TestPostCommand: what a command is told of a result, and that nothing of what came over
// the network is taken for a command, a line or another variable.
func TestPostCommand(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "out")
	r := result{status: 6, verdict: verdictFailed, err: errors.New("one line\nand another"), stats: multiserver.ClientStats{
		Output: "/dev/x", Name: "a\x00RESULT_STATUS=0\nRESULT_STATUS=0;$(touch " + folder + "/evil)\x1b[2J", SizeBytes: 10, Verified: true,
	}}
	if err := runAfter("env | grep ^RESULT_ | sort >"+out+"; echo $RESULT_IMAGE >/dev/null", r); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"RESULT_BYTES=10",
		"RESULT_ERROR=one line?and another",
		"RESULT_IMAGE=a?RESULT_STATUS=0?RESULT_STATUS=0;$(touch " + folder + "/evil)?[2J",
		"RESULT_SERVER=",
		"RESULT_STATUS=6",
		"RESULT_TARGET=/dev/x",
		"RESULT_VERDICT=failed",
		"RESULT_VERIFIED=0", // whatever was read back, it failed
	}, "\n") + "\n"
	if string(got) != want {
		t.Errorf("the command is told\n%s\nwant\n%s", got, want)
	}
	if _, err := os.Stat(filepath.Join(folder, "evil")); err == nil {
		t.Error("a name was run as a command")
	}
	var exit *exec.ExitError
	if err := runAfter("exit 7", r); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("a command that fails: %v", err)
	}
}
