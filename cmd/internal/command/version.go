package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"multiserver"
)

func versionText(program string) string {
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		revision = revisionText(info.Settings)
	}
	return fmt.Sprintf("%s %s%s\n%s %s/%s\nLicense: GPL-2.0-or-later; this binary, with Apache-2.0 libraries in it, version 3.\nThere is no warranty.\n",
		program, multiserver.Version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revisionText is " (0123456789ab)", with ", modified" if it was, or "".
func revisionText(settings []debug.BuildSetting) string {
	revision, modified := "", ""
	for _, s := range settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				modified = ", modified"
			}
		}
	}
	if revision == "" {
		return ""
	}
	return fmt.Sprintf(" (%s%s)", revision, modified)
}
