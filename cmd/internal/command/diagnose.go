package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"multiserver"
	"multiserver/internal/quote"
)

// CheckText is the Text of a program's check. Word and exit statuses are the same in both
// programs.
func CheckText(summary, examples, notes string) Text {
	return Text{
		Name:     "check",
		Summary:  summary,
		Examples: examples,
		Notes:    notes,
		Statuses: `
  0      nothing is WRONG
  1      something is WRONG: its line says what, and what to do
  2      usage
  128+n  ended by signal n`,
	}
}

// Diagnose runs a check of the library and prints its findings, one per line. It returns
// how the program ends, as a run function does.
func (o *Output) Diagnose(check func(context.Context, func(multiserver.Finding)) error) error {
	ctx, received, release := Signals(context.Background())
	defer release()
	wrong := false
	err := check(ctx, func(f multiserver.Finding) {
		f = FlagFinding(f)
		bad := f.Level == multiserver.FindingWrong
		wrong = wrong || bad
		switch {
		case o.Quiet && !bad:
		case o.JSON:
			line, _ := json.Marshal(f) // strings cannot fail
			fmt.Printf("%s\n", line)
		default:
			fmt.Println(quote.Lines(f.String()))
		}
	})
	if errors.Is(err, multiserver.ErrConfig) {
		return FlagError(err)
	}
	if err == nil && wrong {
		err = errors.New("something is wrong") // its lines say so
	}
	return Ended(ExitStatus(err, received()))
}
