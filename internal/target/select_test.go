package target

import (
	"errors"
	"strings"
	"testing"
)

func TestParseSelection(t *testing.T) {
	for _, c := range []struct {
		expr string
		want []condition
		err  string // part of the error; it names the condition
	}{
		{"serial=S3Z*", []condition{{key: "serial", operator: "=", pattern: "s3z*"}}, ""},
		{" Model = Samsung SSD 860 ", []condition{{key: "model", operator: "=", pattern: "samsung ssd 860"}}, ""},
		{"size>=100G,rotational=0", []condition{{key: "size", operator: ">=", number: 100 << 30}, {key: "rotational", operator: "="}}, ""},
		{"size<100GB", []condition{{key: "size", operator: "<", number: 100e9}}, ""},
		{"size > 1kB, size <= 2TiB", []condition{{key: "size", operator: ">", number: 1000}, {key: "size", operator: "<=", number: 2 << 40}}, ""},
		{"size=512", []condition{{key: "size", operator: "=", number: 512}}, ""},
		{"size=512B", []condition{{key: "size", operator: "=", number: 512}}, ""},
		{"size=3K", []condition{{key: "size", operator: "=", number: 3 << 10}}, ""},
		{"size=3P", []condition{{key: "size", operator: "=", number: 3 << 50}}, ""},
		{"removable=1", []condition{{key: "removable", operator: "=", number: 1}}, ""},
		{"name=/dev/nvme0n1", []condition{{key: "name", operator: "=", pattern: "nvme0n1"}}, ""},
		{"path=/dev/disk/by-path/pci-0*", []condition{{key: "path", operator: "=", pattern: "pci-0*"}}, ""},
		{"model=a=b", []condition{{key: "model", operator: "=", pattern: "a=b"}}, ""},
		{"", nil, `condition "": want KEY=VALUE`},
		{"/dev/sda", nil, `condition "/dev/sda": want KEY=VALUE`},
		{"serial=x,", nil, `condition "": want`},
		{"serial=x,sise>=1", nil, `condition "sise>=1": there is no key "sise": want serial, wwn`},
		{"=x", nil, `there is no key ""`},
		{"serial>=x", nil, `condition "serial>=x": only a size can be compared by >=`},
		{"serial=", nil, `condition "serial=": it has no value`},
		{"size>=", nil, "it has no value"},
		{"size=>100G", nil, "want a size"},
		{"size>=lots", nil, "want a size"},
		{"size>=1.5T", nil, "want a size"},
		{"size>=-1", nil, "want a size"},
		{"size>=1GBB", nil, "want a size"},
		{"size>=1BG", nil, "want a size"},
		{"size>=1GK", nil, "want a size"},
		{"size>=16384P", nil, "too large"},
		{"size>=99999999999999999999", nil, "too large"},
		{"rotational=no", nil, `condition "rotational=no": want 0 or 1`},
		{"rotational=2", nil, "want 0 or 1"},
		{"serial=[", nil, "no shell glob"},
		{"serial=a[b", nil, "no shell glob"},
		{`serial=ab\`, nil, "no shell glob"},
	} {
		s, err := ParseSelection(c.expr)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %q", c.expr, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.expr, err)
			continue
		}
		if len(s.conditions) != len(c.want) {
			t.Errorf("%q: %+v, want %+v", c.expr, s.conditions, c.want)
			continue
		}
		for i := range c.want {
			if s.conditions[i] != c.want[i] {
				t.Errorf("%q: %+v, want %+v", c.expr, s.conditions[i], c.want[i])
			}
		}
	}
}

var samsung = Disk{
	Name: "sda", Path: "/dev/sda", SizeBytes: 500107862016,
	Models: []string{"Samsung SSD 860 EVO 500GB", "Samsung SSD 860"}, Serials: []string{"S3Z1NB0K"},
	WWNs: []string{"0x5002538e", "5002538e"}, ByPath: []string{"pci-0000:00:1f.2-ata-1"}, Transport: "sata",
	Use: "/dev/sda1 is mounted on /",
}

var unknown = Disk{Name: "sdb", Path: "/dev/sdb", SizeBytes: 8 << 40, Models: []string{"A/B C"}, Rotational: true, Removable: true}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		expr string
		d    Disk
		want bool
	}{
		{"serial=S3Z1NB0K", samsung, true},
		{"serial=s3z1nb0k", samsung, true},
		{"serial=S3Z1NB0", samsung, false},
		{"serial=S3Z*", samsung, true},
		{"serial=*", samsung, true},
		{"serial=*", unknown, false}, // of what is unknown nothing is true
		{"transport=*", unknown, false},
		{"model=samsung ssd 860", samsung, true}, // any of several spellings
		{"model=samsung*500gb", samsung, true},
		{"model=samsung?ssd*", samsung, true},
		{"model=A/B*", unknown, true},
		{"model=*C", unknown, true}, // a slash is a letter like others
		{"wwn=5002538E", samsung, true},
		{"path=pci-*-ata-1", samsung, true},
		{"path=/dev/disk/by-path/pci-0000:00:1f.2-ata-1", samsung, true},
		{"path=*-ata-2", samsung, false},
		{"name=sd[ab]", unknown, true},
		{"transport=SATA", samsung, true},
		{"size=500107862016", samsung, true},
		{"size>=500107862016", samsung, true},
		{"size>500107862016", samsung, false},
		{"size<=500107862016", samsung, true},
		{"size<500107862016", samsung, false},
		{"size>=500GB", samsung, true},
		{"size>=500G", samsung, false},
		{"size>=465G,size<466G", samsung, true},
		{"rotational=0", samsung, true},
		{"rotational=1", samsung, false},
		{"rotational=1,removable=1", unknown, true},
		{"rotational=1,removable=0", unknown, false},
	} {
		s, err := ParseSelection(c.expr)
		if err != nil {
			t.Errorf("%q: %v", c.expr, err)
		} else if s.Match(c.d) != c.want {
			t.Errorf("%q of %s: %v", c.expr, c.d.Name, !c.want)
		}
	}
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		expr       string
		disks      []Disk
		want       string // name
		candidates int
		err        string
	}{
		{"size>=100G,rotational=0", []Disk{samsung, unknown}, "sda", 0, ""},
		{"size>=100G", []Disk{samsung, unknown}, "", 2, `target "size>=100G" is refused: 2 disks match; add a condition: sda, sdb`},
		{"size>=100T", []Disk{samsung, unknown}, "", 2, "none of 2 disks matches"},
		{"size>=100T", []Disk{samsung}, "", 1, "the only disk, sda, does not match"},
		{"serial=x", []Disk{samsung, unknown}, "", 2, "none of 2 disks matches; no serial is known here of sdb"},
		{"path=x,wwn=y", []Disk{unknown, unknown}, "", 2, "; no wwn is known here of sdb and 1 more; no path is known here of sdb and 1 more"},
		{"serial=x", nil, "", 0, "there is no disk here"},
	} {
		s, err := ParseSelection(c.expr)
		if err != nil {
			t.Fatal(err)
		}
		d, candidates, err := s.Pick(c.disks)
		if d.Name != c.want || len(candidates) != c.candidates {
			t.Errorf("%q: picked %q of %v", c.expr, d.Name, candidates)
		}
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%q: %v", c.expr, err)
		case c.err != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: error %v, want %q", c.expr, err, c.err)
		}
	}
}

func TestDiskText(t *testing.T) {
	for _, c := range []struct {
		d    Disk
		want string
	}{
		{samsung, "465.8 GiB Samsung SSD 860 EVO 500GB, serial S3Z1NB0K, sata, /dev/sda1 is mounted on /"},
		{Disk{SizeBytes: 1 << 30}, "1.0 GiB"},
		{Disk{Models: []string{"a\x1b[2Jb\n"}}, "0.0 GiB a?[2Jb?"},
	} {
		if got := c.d.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func FuzzParseSelection(f *testing.F) {
	for _, s := range []string{"serial=S3Z*", "size>=100G,rotational=0", "model=a=b", "size=>1", "name=/dev/sda", "serial=[", ",", "size<1PiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		s, err := ParseSelection(expr)
		if err != nil {
			if !strings.Contains(err.Error(), "condition ") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q: %v", expr, err)
			}
			return
		}
		if len(s.conditions) != strings.Count(expr, ",")+1 {
			t.Fatalf("%q: %d conditions", expr, len(s.conditions))
		}
		d, candidates, err := s.Pick([]Disk{samsung, unknown})
		matching := 0
		for _, each := range []Disk{samsung, unknown} {
			if s.Match(each) {
				matching++
			}
		}
		if (err == nil) != (matching == 1) || (err == nil) != (d.Name != "") || (err != nil) != (len(candidates) == 2) {
			t.Fatalf("%q matches %d of 2: picked %q of %v, %v", expr, matching, d.Name, candidates, err)
		}
	})
}
