package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Programs are the paths of the project's commands.
type Programs struct {
	Server, Client string
}

// BuildPrograms builds the commands of the module that the working directory
// is in, into an existing directory; with the race detector if this program
// has it.
func BuildPrograms(directory string) (Programs, error) {
	root, err := moduleRoot()
	if err != nil {
		return Programs{}, err
	}
	return buildPrograms(root, directory)
}

func buildPrograms(root, directory string) (Programs, error) {
	// Version control's stamp would need git, and git to trust the directory.
	arguments := []string{"build", "-buildvcs=false", "-o", directory + string(filepath.Separator)}
	environment := append(os.Environ(),
		// In the lab there is no network; to wait for it would end worse.
		"GOPROXY=off")
	if raceDetector {
		arguments = append(arguments, "-race")
	} else {
		environment = append(environment, "CGO_ENABLED=0")
	}
	build := exec.Command("go", append(arguments, "./cmd/multiserver", "./cmd/multiclient")...)
	build.Dir, build.Env = root, environment
	if output, err := build.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		return Programs{}, fmt.Errorf("build the programs: the Go toolchain is not in PATH: %w", err)
	} else if err != nil {
		return Programs{}, fmt.Errorf("build the programs (if modules are missing, run go mod download): %w\n%s", err, output)
	}
	return Programs{
		Server: filepath.Join(directory, "multiserver"),
		Client: filepath.Join(directory, "multiclient"),
	}, nil
}

// moduleRoot returns the nearest directory, from the working directory
// upwards, that has a go.mod.
func moduleRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for directory := start; ; directory = filepath.Dir(directory) {
		if _, err := os.Stat(filepath.Join(directory, "go.mod")); err == nil {
			return directory, nil
		}
		if directory == filepath.Dir(directory) {
			return "", fmt.Errorf("no go.mod in %s or above", start)
		}
	}
}

// programsDirectory is where buildOnce built, for Main to remove; empty
// before.
var programsDirectory string

var buildOnce = sync.OnceValues(func() (Programs, error) {
	directory, err := os.MkdirTemp("", "multiserver-programs-")
	if err != nil {
		return Programs{}, err
	}
	programsDirectory = directory
	return BuildPrograms(directory)
})

// BuildOnce builds the commands at its first call in a test binary, which
// must have called Main, and fails the test if that fails.
func BuildOnce(t testing.TB) Programs {
	t.Helper()
	programs, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

func removePrograms() {
	if programsDirectory != "" {
		os.RemoveAll(programsDirectory)
	}
}
