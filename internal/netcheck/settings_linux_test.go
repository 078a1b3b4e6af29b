package netcheck

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree makes a folder of files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// lines puts findings into one text.
func lines(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.String() + "\n")
	}
	return b.String()
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name       string
		files      map[string]string
		interfaces []string
		want       []string // a part of each line
	}{
		{"as usual", map[string]string{"igmp_max_memberships": "20\n", "conf/all/rp_filter": "0\n", "conf/eth0/rp_filter": "2\n", "conf/eth0/force_igmp_version": "0\n"},
			[]string{"eth0", "eth1"}, nil},
		{"nothing to read", nil, []string{"eth0"}, nil},
		{"no memberships", map[string]string{"igmp_max_memberships": "0\n"}, nil,
			[]string{"WRONG kernel: net.ipv4.igmp_max_memberships is 0: no group can be joined: sysctl -w net.ipv4.igmp_max_memberships=20"}},
		{"strict for all", map[string]string{"conf/all/rp_filter": "1\n", "conf/eth0/rp_filter": "0\n", "conf/eth1/rp_filter": "2\n"}, []string{"eth0", "eth1"},
			[]string{"note  kernel: rp_filter of eth0 is strict"}},
		{"strict with one interface", map[string]string{"conf/all/rp_filter": "1\n"}, []string{"eth0"}, nil},
		{"strict for one", map[string]string{"conf/eth1/rp_filter": "1\n"}, []string{"eth0", "eth1"}, []string{"net.ipv4.conf.eth1.rp_filter=2"}},
		{"forced", map[string]string{"conf/eth0/force_igmp_version": "1\n"}, []string{"eth0"}, []string{"note  kernel: force_igmp_version of eth0 is 1"}},
	} {
		got := settings{tree(t, c.files)}.findings(c.interfaces)
		if len(got) != len(c.want) {
			t.Errorf("%s: %d findings, want %d:\n%s", c.name, len(got), len(c.want), lines(got))
			continue
		}
		for n, want := range c.want {
			if !strings.Contains(got[n].String(), want) {
				t.Errorf("%s: %q, want %q", c.name, got[n], want)
			}
		}
	}
}

func TestSpeed(t *testing.T) {
	for _, c := range []struct {
		carrier, speed string
		want           uint64
		up             bool
	}{
		{"1\n", "1000\n", 1e9, true},
		{"1\n", "-1\n", 0, true},
		{"1\n", "4294967295\n", 0, true},
		{"1\n", "", 0, true},
		{"0\n", "10\n", 10e6, false},
	} {
		got, up := link{tree(t, map[string]string{"carrier": c.carrier, "speed": c.speed})}.speed()
		if got != c.want || up != c.up {
			t.Errorf("carrier %q, speed %q: %d, %v; want %d, %v", c.carrier, c.speed, got, up, c.want, c.up)
		}
	}
	if got, up := (link{t.TempDir()}).speed(); got != 0 || !up {
		t.Errorf("of no files: %d, %v", got, up)
	}
}

func TestLegacyTables(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  []string
	}{
		{nil, nil},
		{map[string]string{"ip_tables_names": ""}, nil},
		{map[string]string{"ip_tables_names": "filter\nnat\n", "ip6_tables_names": "raw\n"}, []string{
			"note  firewall: iptables-legacy has tables (filter, nat), which cannot be seen here: look at them: iptables-legacy -S",
			"note  firewall: ip6tables-legacy has tables (raw), which cannot be seen here: look at them: ip6tables-legacy -S"}},
	} {
		got, _ := legacyTables(tree(t, c.files)) // some are missing
		want := ""
		for _, line := range c.want {
			want += line + "\n"
		}
		if lines(got) != want {
			t.Errorf("%v: %q, want %q", c.files, lines(got), want)
		}
	}
}
