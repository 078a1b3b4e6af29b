package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"multiserver"
)

// CheckArgument in the place of a file's name asks for a check.
const CheckArgument = "check"

// Diagnose runs a check of the library, prints its findings, a line each, and returns
// how the program ends.
func (o *Output) Diagnose(check func(context.Context, func(multiserver.Finding)) error) error {
	ctx, received, release := Signals(context.Background())
	defer release()
	wrong := false
	err := check(ctx, func(f multiserver.Finding) {
		bad := f.Level == multiserver.FindingWrong
		wrong = wrong || bad
		switch {
		case o.Quiet && !bad:
		case o.JSON:
			line, _ := json.Marshal(f) // strings cannot fail
			fmt.Printf("%s\n", line)
		default:
			fmt.Println(f)
		}
	})
	if errors.Is(err, multiserver.ErrConfig) {
		return err
	}
	if err == nil && wrong {
		err = errors.New("something is wrong") // its lines say so
	}
	return Ended(ExitStatus(err, received()))
}
