package main

import "testing"

func TestNewestKernel(t *testing.T) {
	for _, c := range []struct{ description, want string }{
		{"Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\nSize: 1\n", "linux-image-6.1.0-56-cloud-amd64"},
		{"Depends: a (>= 1), linux-image-6.12.1-cloud-amd64, b\n", "linux-image-6.12.1-cloud-amd64"},
		{"Package: linux-image-cloud-amd64\n", ""},
		{"Depends: a\n", ""},
	} {
		got, err := newestKernel(c.description)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q: %q, %v; want %q", c.description, got, err, c.want)
		}
	}
}
