package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"multiserver"
	"multiserver/cmd/internal/command"
)

// checkArgument in the place of a file's name asks for a check.
const checkArgument = "check"

// diagnose prints the findings of a check, a line each.
func (o *options) diagnose() error {
	ctx, received, release := command.Signals(context.Background())
	defer release()
	wrong := false
	err := multiserver.CheckClient(ctx, o.config, func(f multiserver.Finding) {
		bad := f.Level == multiserver.FindingWrong
		wrong = wrong || bad
		switch {
		case o.output.Quiet && !bad:
		case o.output.JSON:
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
	return command.Ended(command.ExitStatus(err, received()))
}
