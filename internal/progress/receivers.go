package progress

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"multiserver"
	"multiserver/internal/quote"
)

// receivers are the clients of MXB 2 in one sample of a Server, by first offer: a
// later sample has the same ones, in the same places, and perhaps more.
type receivers []multiserver.Receiver

// count says how many are still receiving, how many have the image, how many refused it, and how
// many ended without it otherwise and have not come again.
func (rs receivers) count() (receiving, done, refused, failed int) {
	for _, r := range rs {
		switch r.Outcome {
		case multiserver.OutcomePending:
			receiving++
		case multiserver.OutcomeDone:
			done++
		case multiserver.OutcomeRestarted:
		case multiserver.OutcomeRefused:
			refused++
		default:
			failed++
		}
	}
	return receiving, done, refused, failed
}

// fields leave out what there is none of.
func (rs receivers) fields() []string {
	var fields []string
	receiving, done, refused, failed := rs.count()
	for _, f := range []struct {
		n    int
		what string
	}{{receiving, "receiving"}, {done, "done"}, {refused, "refused"}, {failed, "failed"}} {
		if f.n > 0 {
			fields = append(fields, fmt.Sprintf("%d %s", f.n, f.what))
		}
	}
	return fields
}

// names lists those that name has a text for, as many as a line takes.
func (rs receivers) names(name func(multiserver.Receiver) (string, bool)) string {
	var names []string
	more := 0
	for _, r := range rs {
		switch text, ok := name(r); {
		case !ok:
		case len(names) < maxNamesWaiting:
			names = append(names, text)
		default:
			more++
		}
	}
	text := strings.Join(names, ", ")
	if more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// silent names those that are waited for because they have gone silent.
func (rs receivers) silent() string {
	return rs.names(func(r multiserver.Receiver) (string, bool) {
		return fmt.Sprintf("%s, silent for %s", receiverText(r), clockText(r.SilentFor)), r.SilentFor > 0
	})
}

// news has a line for each that came, or ended, since the sample before.
func (rs receivers) news(before receivers) []string {
	var news []string
	for i, r := range rs {
		was := multiserver.OutcomePending
		if i < len(before) {
			was = before[i].Outcome
		} else if r.Outcome != multiserver.OutcomeRefused {
			news = append(news, receiverText(r)+" joins")
		}
		if r.Outcome != was {
			news = append(news, receiverText(r)+" "+outcomeNews(r))
		}
	}
	return news
}

// receiverText names a client for people: "pc07 (10.0.0.7)".
func receiverText(r multiserver.Receiver) string {
	if r.Name == "" {
		return r.Addr.Addr().String()
	}
	return quote.Line(fmt.Sprintf("%s (%s)", quote.Name(r.Name), r.Addr.Addr()))
}

func outcomeNews(r multiserver.Receiver) string {
	switch r.Outcome {
	case multiserver.OutcomePending:
		return "joins again"
	case multiserver.OutcomeDone:
		return "is done"
	case multiserver.OutcomeFailed:
		if r.Reason == "" {
			return "failed"
		}
		return quote.Line("failed: " + r.Reason)
	case multiserver.OutcomeInterrupted:
		if r.Reason == "" {
			return "was interrupted"
		}
		return quote.Line("was interrupted: " + r.Reason)
	case multiserver.OutcomeRefused:
		if r.Reason == "" {
			return "refused"
		}
		return quote.Line("refused: " + r.Reason)
	case multiserver.OutcomeRestarted:
		return "had ended; its machine has come again"
	default:
		return "was " + r.Outcome.String()
	}
}

// table has a line for each, below one with the titles; none if there is nobody.
func (rs receivers) table(sizeBytes uint64) []string {
	if len(rs) == 0 {
		return nil
	}
	var text strings.Builder
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "client\taddress\toutcome\thas\tlost\tdropped\tlimit\treason")
	for _, r := range rs {
		fmt.Fprintf(columns, "%s\t%v\t%s\t%s\t%s\t%d\t%s\t%s\n", quote.Name(orUnknown(r.Name)), r.Addr, outcomeText(r),
			shareText(r.BytesDone, sizeBytes), lossText(r), r.Dropped, orUnknown(r.Limit), reasonText(r))
	}
	columns.Flush() // a strings.Builder takes everything
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ") // the room before an empty last column
	}
	return lines
}

// reasonText is how a client ended in its own words, or that its address is not its own.
func reasonText(r multiserver.Receiver) string {
	if r.SharesAddress && r.Reason == "" {
		return "another machine has its address"
	}
	return quote.Line(r.Reason)
}

func outcomeText(r multiserver.Receiver) string {
	switch {
	case r.SilentFor > 0:
		return "silent"
	case r.Outcome == multiserver.OutcomePending:
		return "receiving"
	}
	return r.Outcome.String()
}

// lossText gives what the wire lost of all packets that were on their way to r.
// What its socket dropped had arrived.
func lossText(r multiserver.Receiver) string {
	sent := r.Received + r.Dropped + r.LostOnWire
	if sent == 0 {
		return unknown
	}
	return fmt.Sprintf("%.2f%%", float64(r.LostOnWire)/float64(sent)*100)
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}
