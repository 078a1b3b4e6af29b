//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"multiserver/internal/lab"
)

// packages are Debian's of the peers.
var packages = map[string]string{"udpcast": "udpcast", udpcastLimited: "udpcast", "UFTP": "uftp"}

// udpcastLimited is udpcast that is told how fast the network is: what its manual
// says for bottlenecks and slow receivers.
const udpcastLimited = "udpcast, --max-bitrate"

// triedVariable says that installPeers has run: this program runs itself again
// inside of the lab.
const triedVariable = "MULTISERVER_BENCH_TRIED"

// installPeers installs the peers that are missing, as root on a system with
// apt-get. What cannot be had is left out of the table, which says so.
func installPeers() {
	if os.Getenv(triedVariable) != "" || os.Geteuid() != 0 {
		return
	}
	os.Setenv(triedVariable, "1")
	var missing []string
	for _, s := range []system{udpcastSystem(), uftpSystem()} {
		if _, err := exec.LookPath(s.programs[0]); err != nil {
			missing = append(missing, packages[s.name])
		}
	}
	if len(missing) == 0 {
		return
	}
	installPackages(missing...)
}

// installPackages installs Debian's packages, or says why it could not.
func installPackages(names ...string) {
	fmt.Fprintln(os.Stderr, "bench: installing", strings.Join(names, ", "))
	for _, arguments := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, names...)} {
		install := exec.Command("apt-get", arguments...)
		install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if output, err := install.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: apt-get %s: %v\n%s\n", arguments[0], err, tail(output))
		}
	}
}

// udpcastMeeting is where its programs find each other; otherwise it is the
// interface's broadcast address, if that is set.
const udpcastMeeting = "239.77.0.1"

// udpcastSystem is udpcast as its manual says for switched networks. With
// --max-bitrate 900m or in half-duplex mode it is slower here, and a larger receive
// buffer changes nothing.
func udpcastSystem() system {
	return system{
		name:     "udpcast",
		programs: []string{"udp-sender", "udp-receiver"},
		server: func(j *job) *lab.Cmd {
			return j.lab.Hosts[0].Command(j.ctx, "udp-sender", "--file", j.image, "--interface", "eth0", "--nokbd",
				"--mcast-rdv-address", udpcastMeeting, "--min-receivers", fmt.Sprint(len(j.clients())), "--full-duplex")
		},
		client: func(j *job, n int) *lab.Cmd {
			flags := []string{"--interface", "eth0", "--nokbd", "--mcast-rdv-address", udpcastMeeting}
			if j.pipeBytesPerSec(n) == 0 {
				flags = append(flags, "--file", j.output(n))
			}
			return j.clients()[n].Command(j.ctx, "udp-receiver", flags...)
		},
		check: sameAsImage,
		note:  "`udp-sender --file IMAGE --interface eth0 --nokbd --mcast-rdv-address GROUP --min-receivers N --full-duplex` and `udp-receiver --file OUT --interface eth0 --nokbd --mcast-rdv-address GROUP`",
	}
}

func udpcastLimitedSystem() system {
	s := udpcastSystem()
	server := s.server
	s.server = func(j *job) *lab.Cmd {
		c := server(j)
		c.Args = append(c.Args, "--max-bitrate", j.row.maxBitrate)
		return c
	}
	s.name, s.optional = udpcastLimited, true
	s.note = "the same with `--max-bitrate` a tenth below what the row's network or pipes take"
	return s
}

// uftpRate is as fast as the interface allows, which the manual says for gigabit
// networks where all paths are alike. A limit of 900000 or 950000 kbit/s is 15%
// slower here; larger buffers or blocks change nothing.
const uftpRate = "-1"

func uftpSystem() system {
	return system{
		name:     "UFTP",
		programs: []string{"uftp", "uftpd"},
		server: func(j *job) *lab.Cmd {
			// Told whom to expect, it begins as soon as all are there.
			ids := make([]string, len(j.clients()))
			for n := range ids {
				ids[n] = uftpID(n)
			}
			return j.lab.Hosts[0].Command(j.ctx, "uftp", "-I", "eth0", "-R", uftpRate, "-H", strings.Join(ids, ","), j.image)
		},
		client: func(j *job, n int) *lab.Cmd {
			return j.clients()[n].Command(j.ctx, "uftpd", "-d", "-q", "-I", "eth0", "-U", uftpID(n), "-D", j.clientFolder(n))
		},
		daemons: true,
		check:   sameAsImage,
		note:    "`uftp -I eth0 -R " + uftpRate + " -H CLIENTS IMAGE` and `uftpd -d -q -I eth0 -U ID -D FOLDER`; its clients are daemons, so that its wall time is that of the server",
	}
}

func uftpID(n int) string { return fmt.Sprintf("0x%08x", n+1) }
